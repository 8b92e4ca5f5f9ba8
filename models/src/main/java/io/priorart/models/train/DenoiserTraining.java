package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains a {@link DenoisingUNet} on crops of pictures: {@code E || (D(x + sigma eps, sigma) - x) /
 * c_out ||^2} (Karras et al., NeurIPS 2022, arXiv 2206.00364, eq. 8 with lambda = 1/c_out^2),
 * {@code ln sigma} uniform, because restoration meets low levels as often as high ones; {@link
 * NoiseMaps} where the network takes a level for each pixel.
 */
public final class DenoiserTraining {
  /**
   * @param patch side of the training crops in pixels, a multiple of the network's stride
   * @param batch crops a step
   */
  public record Options(int patch, int batch, double learningRate, Duration duration, long seed) {}

  private DenoiserTraining() {}

  static Script script(DenoisingUNet.Config config, CompileOptions compile) {
    ScriptBuilder builder = TrainingScript.builder("DenoiserTraining", compile);
    DenoisingUNet net = new DenoisingUNet(config, builder.weights());
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value x = g.input("x");
    Value noise = g.input("noise");
    Value sigma = g.input("sigma");
    Value noisy = g.add(x, g.mul(noise, sigma));
    DenoisingUNet.Preconditioning at = net.precondition(g, noisy, sigma);
    Value map = config.noiseMap() ? g.toCompute(at.map(), true) : null;
    Value input = g.toCompute(at.input(), true);
    Value f = g.toFloat32Loss(net.forward(g, input, at.noise(), map), true);
    Value target = g.call("torch.div", g.sub(x, at.base()), at.out());
    Value error = g.sub(f, g.toFloat32Loss(target, true));
    Value loss = g.call("torch.mean", g.mul(error, error));
    return TrainingScript.finish(builder, g, loss, hyper);
  }

  /**
   * Trains until {@code options.duration()} is over or a stop is asked for, then writes the
   * averaged weights (float16) with their configuration as a checkpoint folder.
   */
  public static void run(
      DenoisingUNet.Config config, Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    if (options.patch() < 1 || options.patch() % config.stride() != 0) {
      throw PriorArtException.badField(
          "patch", "must be a multiple of " + config.stride() + ", was " + options.patch());
    }
    NoiseSource random = new NoiseSource(options.seed());
    PatchSampler sampler = new PatchSampler(pictures, options.patch(), random);
    Script script = script(config, CompileOptions.AUTO);
    try (Trainer trainer =
        new Trainer(
            script, lap.state(), random, StartingWeights.ofPart(script, lap.from(), "denoiser"))) {
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              List.of())
          .run(
              trainer,
              fraction -> batch(config, sampler, options.batch(), random, trainer.manager()),
              new DenoiserGrids(config, pictures, options.patch(), CompileOptions.AUTO));
      Path part = Files.createDirectories(lap.checkpoint().resolve("denoiser"));
      trainer.export(part.resolve("diffusion_pytorch_model.safetensors"), "", name -> true);
      CheckpointWriter.writeJson(part.resolve("config.json"), json(config));
      Map<String, Object> index = new LinkedHashMap<>();
      index.put("_class_name", "PixelDenoiserPipeline");
      index.put("denoiser", new String[] {"priorart", "DenoisingUNet"});
      CheckpointWriter.writeJson(lap.checkpoint().resolve("model_index.json"), index);
    }
  }

  /** What a step takes after its rates: x, noise, sigma. */
  static NDArray[] batch(
      DenoisingUNet.Config config,
      PatchSampler sampler,
      int n,
      NoiseSource random,
      NDManager manager) {
    NDArray x = sampler.batch(n).to(manager);
    NDArray noise = random.normal(manager, x.getShape());
    if (!config.noiseMap()) {
      float[] sigma = new float[n];
      for (int i = 0; i < n; i++) {
        sigma[i] = (float) level(random, config.sigmaMin(), config.sigmaMax());
      }
      return new NDArray[] {x, noise, manager.create(sigma, new Shape(n, 1, 1, 1))};
    }
    int size = (int) x.getShape().get(2);
    float[] sigma = new float[n * size * size];
    for (int i = 0; i < n; i++) {
      new NoiseMaps(config.sigmaMin(), config.sigmaMax(), random)
          .draw(size, sigma, i * size * size);
    }
    return new NDArray[] {x, noise, manager.create(sigma, new Shape(n, 1, size, size))};
  }

  /** {@code ln sigma} uniform. */
  static double level(NoiseSource random, double low, double high) {
    return low * Math.pow(high / low, random.uniform());
  }

  private static Map<String, Object> json(DenoisingUNet.Config config) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("_class_name", "DenoisingUNet");
    json.put("block_out_channels", config.blockOutChannels());
    json.put("channels", config.channels());
    json.put("embedding_width", config.embeddingWidth());
    json.put("layers_per_block", config.layersPerBlock());
    json.put("noise_map", config.noiseMap());
    json.put("patch_size", config.patchSize());
    json.put("sigma_data", config.sigmaData());
    json.put("sigma_max", config.sigmaMax());
    json.put("sigma_min", config.sigmaMin());
    return json;
  }
}
