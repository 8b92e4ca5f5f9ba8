package io.priorart.api;

import io.grpc.ManagedChannel;
import io.priorart.runtime.Machine;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.Prompt;
import io.priorart.v1.Operator;
import io.priorart.v1.Report;
import io.priorart.v1.RestorationServiceGrpc;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.RestoreRequest;
import io.quarkus.test.junit.QuarkusTest;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * What a request over gRPC costs above its solve: the same 512x512 PNG restored through the port
 * and by {@link Restorer} itself, in turns, in one process. Figures, no judgement:
 *
 * <pre>
 * mvn -pl api -am test -Dtest=ServiceOverheadBenchmark -Dbenchmarks.excluded=none -Dsurefire.failIfNoSpecifiedTests=false -Dpriorart.limits.pixels=4194304
 * </pre>
 */
@QuarkusTest
@Tag("benchmark")
class ServiceOverheadBenchmark {
  private static final int WARM_UP = 100;
  private static final int ROUNDS = 100;

  @Test
  void overhead() throws Exception {
    byte[] png = Wire.picture(512, 512, 3, 8, PictureFormat.PNG);
    Operator hole = Wire.operator("inpainting", "box", "200,200,64,64");
    RestoreRequest wire = Wire.restore(png, hole, 0, "opencv-telea").build();
    Restorer.Request direct =
        new Restorer.Request(
            List.of(new OperatorRequest("inpainting", Map.of("box", "200,200,64,64"))),
            null,
            "opencv-telea",
            "fast",
            Map.of(),
            null,
            true,
            Prompt.NONE,
            0,
            1,
            0,
            0);
    Picture measurement = PictureFiles.decode("image", png, 1 << 20);
    double[] alone = new double[ROUNDS];
    double[] codec = new double[ROUNDS];
    double[] served = new double[ROUNDS];
    double[] work = new double[ROUNDS];
    double[] solve = new double[ROUNDS];
    ManagedChannel channel = Wire.channel();
    for (int i = -WARM_UP; i < ROUNDS; i++) {
      long begin = System.nanoTime();
      Restorer.Restoration solved =
          Restorer.restore(
              measurement, direct, () -> null, 8, RestoreListener.NONE, Stopping.never());
      long afterSolve = System.nanoTime();
      PictureFiles.decode("image", png, 1 << 20);
      PictureFiles.encode(solved.samples().get(0).picture(), PictureFormat.PNG);
      long afterCodec = System.nanoTime();
      Iterator<RestoreEvent> events = RestorationServiceGrpc.newBlockingStub(channel).restore(wire);
      RestoreEvent last = null;
      while (events.hasNext()) {
        last = events.next();
      }
      long end = System.nanoTime();
      if (i >= 0) {
        alone[i] = (afterSolve - begin) * 1e-6;
        codec[i] = (afterCodec - afterSolve) * 1e-6;
        served[i] = (end - afterCodec) * 1e-6;
        Report report = last.getFinished().getReport();
        Report.Sample.Seconds sample = report.getSamples(0).getSeconds();
        work[i] = 1e3 * report.getSeconds().getTotal();
        solve[i] = 1e3 * (sample.getSolve() + sample.getFinish());
      }
    }
    channel.shutdownNow();
    System.out.printf(
        Locale.ROOT,
        "%s%nrevision %s, medians (90th percentiles) of %d rounds in ms, 512x512 RGB PNG of %d kB:%n"
            + "Restorer alone %s, decoding and encoding %s, over gRPC %s%n"
            + "of the call: the slot's work %s, in it solve and final step %s%n"
            + "overhead of the service above Restorer: %.1f, of which codecs %.1f%n",
        Machine.describe(),
        Machine.revision(),
        ROUNDS,
        png.length >> 10,
        shown(alone),
        shown(codec),
        shown(served),
        shown(work),
        shown(solve),
        at(served, 0.5) - at(alone, 0.5),
        at(codec, 0.5));
  }

  private static String shown(double[] values) {
    return String.format(Locale.ROOT, "%.1f (%.1f)", at(values, 0.5), at(values, 0.9));
  }

  private static double at(double[] values, double share) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[(int) (share * (sorted.length - 1))];
  }
}
