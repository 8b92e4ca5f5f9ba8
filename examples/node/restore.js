// Restores the picture of the README through a running server: node restore.js HOST:PORT PICTURES OUTPUT.png
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const [target, pictures, output] = process.argv.slice(2);
const protos = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../proto/src/main/proto');
const definition = loader.loadSync('priorart/v1/restoration.proto', {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  longs: String,
  oneofs: true,
});
const { RestorationService } = grpc.loadPackageDefinition(definition).priorart.v1;
const client = new RestorationService(target, grpc.credentials.createInsecure());

const read = (name) => ({ data: fs.readFileSync(path.join(pictures, name)) });
const call = client.Restore({
  image: read('dragonfly.png'),
  operators: [{ name: 'inpainting', artifacts: { mask: read('dragonfly.mask.png') } }],
  mask_polarity: 'MASK_POLARITY_WHITE_IS_MISSING',
  output: { format: 'FORMAT_PNG' },
});
call.on('data', (event) => {
  if (event.event === 'step') {
    console.log(`step ${event.step.step} of ${event.step.total}, ${event.step.eta.seconds} s left`);
  } else if (event.event === 'finished') {
    fs.writeFileSync(output, event.finished.outputs[0].data);
    console.log(event.finished.report.samples[0].verdict.judgement, output);
  }
});
call.on('error', (error) => {
  console.error(grpc.status[error.code], error.details);
  process.exitCode = 1;
});
call.on('end', () => client.close());
