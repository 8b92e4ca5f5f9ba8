package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Trains an {@link AutoencoderKL}: {@code rho(x - D(z)) + gradientWeight sum_k |grad P^k (x -
 * D(z))| / K + klWeight KL(q(z|x) || N(0, I))} with {@code z} drawn from the posterior, {@code rho}
 * the mean absolute or squared error and {@code P} halving by means (Rombach et al. 2022, with the
 * structure of K scales for the perceptual network, without the discriminator).
 */
public final class AutoencoderTraining {
  /**
   * @param patch side of the training crops in pixels, a multiple of the stride
   * @param klWeight weight of the KL divergence per latent element
   * @param gradientWeight weight of the difference of horizontal and vertical gradients
   * @param gradientScales K, how many scales these are taken at: the picture's own, then halves
   * @param squared whether the error counts squared instead of absolute
   */
  public record Options(
      int patch,
      int batch,
      double learningRate,
      double klWeight,
      double gradientWeight,
      int gradientScales,
      boolean squared,
      Duration duration,
      long seed) {
    public Options {
      if (gradientScales < 1 || patch >> (gradientScales - 1) < 2) {
        throw PriorArtException.badField(
            "gradient-scales",
            "must be at least 1 and leave two pixels of a crop of "
                + patch
                + ", was "
                + gradientScales);
      }
    }
  }

  private AutoencoderTraining() {}

  static Script script(AutoencoderKL.Config config, Options options, CompileOptions compile) {
    ScriptBuilder builder = TrainingScript.builder("AutoencoderTraining", compile);
    AutoencoderKL.Encoder encoder = new AutoencoderKL.Encoder(config, builder.weights());
    AutoencoderKL.Decoder decoder = new AutoencoderKL.Decoder(config, builder.weights());
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value x = g.input("x");
    Value noise = g.input("noise");
    int c = config.latentChannels();
    Value moments = g.toFloat32Loss(encoder.forward(g, g.toCompute(x, true)), true);
    Value mean = g.slice(moments, 1, 0, c);
    Value logVariance = g.clamp(g.slice(moments, 1, c, 2L * c), -30, 20);
    Value z = g.add(mean, g.mul(g.exp(g.mul(logVariance, 0.5)), noise));
    Value y = g.toFloat32Loss(decoder.forward(g, g.toCompute(z, true)), true);
    Value error = g.sub(y, g.toFloat32Loss(x, true));
    Value magnitude = options.squared() ? g.mul(error, error) : g.call("torch.abs", error);
    Value distance = g.call("torch.mean", magnitude);
    Value gradient = gradients(g, error, options.patch());
    Value scaled = error;
    for (int k = 1; k < options.gradientScales(); k++) {
      scaled = g.call("torch.avg_pool2d", scaled, Graph.raw("[2, 2]"));
      gradient = g.add(gradient, gradients(g, scaled, options.patch() >> k));
    }
    gradient = g.mul(gradient, 1.0 / options.gradientScales());
    Value kl =
        g.mul(
            g.call(
                "torch.mean",
                g.sub(g.add(g.mul(mean, mean), g.exp(logVariance)), g.add(logVariance, 1.0))),
            0.5);
    Value loss =
        g.add(
            g.add(distance, g.mul(gradient, options.gradientWeight())),
            g.mul(kl, options.klWeight()));
    return TrainingScript.finish(builder, g, loss, hyper, distance, gradient, kl);
  }

  private static Value gradients(Graph g, Value error, int size) {
    return g.add(meanDifference(g, error, 3, size), meanDifference(g, error, 2, size));
  }

  private static Value meanDifference(Graph g, Value x, int dim, int size) {
    Value d = g.sub(g.slice(x, dim, 1, size), g.slice(x, dim, 0, size - 1));
    return g.call("torch.mean", g.call("torch.abs", d));
  }

  /**
   * Trains until {@code options.duration()} is over or a stop is asked for, then writes the
   * averaged weights (float16) and their configuration to the checkpoint's folder {@code vae}. The
   * latents are normalised ({@link LatentNormalization}), so the scaling factor is 1.
   */
  public static void run(
      AutoencoderKL.Config config, Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    NoiseSource random = new NoiseSource(options.seed());
    PatchSampler sampler = new PatchSampler(pictures, options.patch(), random);
    Script script = script(config, options, CompileOptions.AUTO);
    String file = "vae/diffusion_pytorch_model.safetensors";
    Function<String, HostTensor> start =
        lap.from() == null
            ? null
            : StartingWeights.open(script, Map.of("", lap.from().resolve(file)));
    try (Trainer trainer = new Trainer(script, lap.state(), random, start)) {
      NDManager manager = trainer.manager();
      int latent = options.patch() / config.stride();
      Shape noiseShape = new Shape(options.batch(), config.latentChannels(), latent, latent);
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              List.of("distance", "gradient", "kl"))
          .run(
              trainer,
              () ->
                  new NDArray[] {
                    sampler.batch(options.batch()).to(manager), random.normal(manager, noiseShape)
                  });
      Path weights = lap.checkpoint().resolve(file);
      Path vae = Files.createDirectories(weights.getParent());
      trainer.export(weights, "", name -> true);
      LatentNormalization normalization =
          LatentNormalization.measure(
              config, weights, () -> sampler.batch(options.batch()), manager);
      normalization.fold(weights);
      lap.listener()
          .note(
              "latent channels normalised, deviations were "
                  + Arrays.toString(normalization.deviation()));
      CheckpointWriter.writeJson(vae.resolve("config.json"), configJson(config));
    }
  }

  private static Map<String, Object> configJson(AutoencoderKL.Config config) {
    int n = config.blockOutChannels().length;
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("_class_name", "AutoencoderKL");
    json.put("act_fn", "silu");
    json.put("block_out_channels", config.blockOutChannels());
    json.put("down_block_types", Collections.nCopies(n, "DownEncoderBlock2D"));
    json.put("force_upcast", false);
    json.put("in_channels", config.inChannels());
    json.put("latent_channels", config.latentChannels());
    json.put("layers_per_block", config.layersPerBlock());
    json.put("mid_block_add_attention", config.midBlockAttention());
    json.put("norm_num_groups", config.normNumGroups());
    json.put("out_channels", config.outChannels());
    json.put("sample_size", 256);
    json.put("scaling_factor", 1.0);
    json.put("up_block_types", Collections.nCopies(n, "UpDecoderBlock2D"));
    json.put("use_post_quant_conv", config.postQuantConv());
    json.put("use_quant_conv", config.quantConv());
    return json;
  }
}
