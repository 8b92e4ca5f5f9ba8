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
import java.util.function.BooleanSupplier;

/**
 * Trains a {@link DenoisingUNet} on crops of pictures: {@code E || (D(x + sigma eps, sigma) - x) /
 * c_out ||^2} (Karras et al., NeurIPS 2022, arXiv 2206.00364, eq. 8 with lambda = 1/c_out^2),
 * {@code ln sigma} uniform, because restoration meets low levels as often as high ones.
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
    Value cIn = g.input("c_in");
    Value cNoise = g.input("c_noise");
    double s = config.sigmaData();
    Value scaled = g.mul(g.add(x, g.mul(noise, sigma)), cIn);
    Value f = g.toFloat32Loss(net.forward(g, g.toCompute(scaled, true), cNoise), true);
    // (x - c_skip (x + sigma eps)) / c_out = c_in (sigma x / s - s eps)
    Value target = g.mul(g.sub(g.mul(g.mul(x, sigma), 1 / s), g.mul(noise, s)), cIn);
    Value error = g.sub(f, g.toFloat32Loss(target, true));
    Value loss = g.call("torch.mean", g.mul(error, error));
    return TrainingScript.finish(builder, g, loss, hyper);
  }

  /**
   * Trains until {@code options.duration()} is over or a stop is asked for, then writes the
   * averaged weights (float16) with their configuration as a checkpoint folder.
   */
  public static void run(
      DenoisingUNet.Config config,
      Options options,
      List<TrainingPicture> pictures,
      Path state,
      Path checkpoint,
      BooleanSupplier stop,
      TrainingListener listener)
      throws IOException {
    if (options.patch() < 1 || options.patch() % config.stride() != 0) {
      throw PriorArtException.badField(
          "patch", "must be a multiple of " + config.stride() + ", was " + options.patch());
    }
    NoiseSource random = new NoiseSource(options.seed());
    PatchSampler sampler = new PatchSampler(pictures, options.patch(), random);
    try (Trainer trainer = new Trainer(script(config, CompileOptions.AUTO), state, random)) {
      new TrainingRun(
              state, options.duration(), options.learningRate(), options.batch(), stop, listener)
          .run(trainer, () -> batch(config, sampler, options.batch(), random, trainer.manager()));
      Path part = Files.createDirectories(checkpoint.resolve("denoiser"));
      trainer.export(part.resolve("diffusion_pytorch_model.safetensors"), "", name -> true);
      CheckpointWriter.writeJson(part.resolve("config.json"), json(config));
      Map<String, Object> index = new LinkedHashMap<>();
      index.put("_class_name", "PixelDenoiserPipeline");
      index.put("denoiser", new String[] {"priorart", "DenoisingUNet"});
      CheckpointWriter.writeJson(checkpoint.resolve("model_index.json"), index);
    }
  }

  /** What a step takes after its rates: x, noise, sigma, c_in, c_noise. */
  static NDArray[] batch(
      DenoisingUNet.Config config,
      PatchSampler sampler,
      int n,
      NoiseSource random,
      NDManager manager) {
    NDArray x = sampler.batch(n).to(manager);
    float[] sigma = new float[n];
    float[] cIn = new float[n];
    float[] cNoise = new float[n];
    double low = Math.log(config.sigmaMin());
    double high = Math.log(config.sigmaMax());
    for (int i = 0; i < n; i++) {
      double level = low + (high - low) * random.uniform();
      sigma[i] = (float) Math.exp(level);
      cIn[i] = (float) (1 / Math.hypot(sigma[i], config.sigmaData()));
      cNoise[i] = (float) (level / 4);
    }
    Shape each = new Shape(n, 1, 1, 1);
    return new NDArray[] {
      x,
      random.normal(manager, x.getShape()),
      manager.create(sigma, each),
      manager.create(cIn, each),
      manager.create(cNoise)
    };
  }

  private static Map<String, Object> json(DenoisingUNet.Config config) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("_class_name", "DenoisingUNet");
    json.put("block_out_channels", config.blockOutChannels());
    json.put("channels", config.channels());
    json.put("embedding_width", config.embeddingWidth());
    json.put("layers_per_block", config.layersPerBlock());
    json.put("patch_size", config.patchSize());
    json.put("sigma_data", config.sigmaData());
    json.put("sigma_max", config.sigmaMax());
    json.put("sigma_min", config.sigmaMin());
    return json;
  }
}
