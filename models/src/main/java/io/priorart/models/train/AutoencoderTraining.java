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
import io.priorart.models.network.PatchDiscriminator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
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
 * structure of K scales for the perceptual network), and the other terms of {@link
 * AutoencoderObjective}.
 *
 * <p>The decoder can be trained alone, {@code z} then being the posterior's mean, which is what
 * solvers decode: latents stay as they are, and so does every denoiser of them. Noise on that mean,
 * {@code z = mean + s n} with s uniform from 0 to {@code latentNoise} for each picture, prepares it
 * for latents that a denoiser made up.
 */
public final class AutoencoderTraining {
  /** How far along {@link AutoencoderObjective#lipschitz} looks, root mean square of latents. */
  static final double PROBE = 0.1;

  /** Keeps the logarithm of an empty channel's deviation, and its gradient, finite. */
  static final double VOLUME_FLOOR = 0.01;

  private static final int DISCRIMINATOR_WIDTH = 32;
  private static final int DISCRIMINATOR_LAYERS = 3;
  private static final String DISCRIMINATOR = "discriminator";

  /**
   * @param patch side of the training crops in pixels, a multiple of the stride
   * @param decoderOnly keeps the encoder of the checkpoint begun with
   * @param latentNoise largest standard deviation of noise on what the decoder alone learns from,
   *     of latents of deviation 1
   */
  public record Options(
      int patch,
      int batch,
      double learningRate,
      AutoencoderObjective objective,
      boolean decoderOnly,
      double latentNoise,
      Duration duration,
      long seed) {
    public Options {
      if (!(latentNoise >= 0 && latentNoise <= 1)) {
        throw PriorArtException.badField("latent-noise", "must be 0 to 1, was " + latentNoise);
      }
      if (latentNoise > 0 && !decoderOnly) {
        throw PriorArtException.badField(
            "latent-noise", "is for --decoder-only; a whole training has its posterior's noise");
      }
      if (decoderOnly && objective.leastVolume() > 0) {
        throw PriorArtException.badField(
            "decoder-only", "keeps the latents, which --least-volume changes; leave one out");
      }
      if (patch >> (objective.gradientScales() - 1) < 2) {
        throw PriorArtException.badField(
            "gradient-scales",
            "must leave two pixels of a crop of " + patch + ", was " + objective.gradientScales());
      }
      if (objective.structureWeight() > 0 && MultiScaleStructure.exponents(patch).length == 0) {
        throw PriorArtException.badField(
            "ms-ssim-weight", "needs crops of 11 pixels at least, not " + patch);
      }
      if (objective.adversarialWeight() > 0 && patch < 32) {
        throw PriorArtException.badField(
            "adversarial-weight", "needs crops of 32 pixels at least, not " + patch);
      }
    }
  }

  private AutoencoderTraining() {}

  /** What the step reports after the loss. */
  static List<String> terms(AutoencoderObjective objective) {
    List<String> terms = new ArrayList<>(List.of("distance", "gradient", "kl"));
    if (objective.structureWeight() > 0) {
      terms.add("ms_ssim");
    }
    if (objective.leastVolume() > 0) {
      terms.addAll(List.of("volume", "gain"));
    }
    if (objective.adversarialWeight() > 0) {
      terms.addAll(List.of("adversarial", "discriminator"));
    }
    return terms;
  }

  static Script script(AutoencoderKL.Config config, Options options, CompileOptions compile) {
    AutoencoderObjective objective = options.objective();
    ScriptBuilder builder = TrainingScript.builder("AutoencoderTraining", compile);
    AutoencoderKL.Encoder encoder = new AutoencoderKL.Encoder(config, builder.weights());
    int encoderWeights = builder.weightCount();
    AutoencoderKL.Decoder decoder = new AutoencoderKL.Decoder(config, builder.weights());
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value x = g.input("x");
    Value noise = g.input("noise");
    int c = config.latentChannels();
    Value moments = g.toFloat32Loss(encoder.forward(g, g.toCompute(x, true)), true);
    if (options.decoderOnly()) {
      moments = g.call("torch.detach", moments);
    }
    Value mean = g.slice(moments, 1, 0, c);
    Value logVariance = g.clamp(g.slice(moments, 1, c, 2L * c), -30, 20);
    Value added = options.decoderOnly() ? noise : g.mul(g.exp(g.mul(logVariance, 0.5)), noise);
    Value z = g.add(mean, added);
    Value y = decode(g, decoder, z);
    Value picture = g.toFloat32Loss(x, true);
    Value error = g.sub(y, picture);
    Value magnitude = objective.squared() ? g.mul(error, error) : g.call("torch.abs", error);
    Value distance = g.call("torch.mean", magnitude);
    Value gradient = gradients(g, error, options.patch());
    Value scaled = error;
    for (int k = 1; k < objective.gradientScales(); k++) {
      scaled = g.call("torch.avg_pool2d", scaled, Graph.raw("[2, 2]"));
      gradient = g.add(gradient, gradients(g, scaled, options.patch() >> k));
    }
    gradient = g.mul(gradient, 1.0 / objective.gradientScales());
    Value kl =
        g.mul(
            g.call(
                "torch.mean",
                g.sub(g.add(g.mul(mean, mean), g.exp(logVariance)), g.add(logVariance, 1.0))),
            0.5);
    List<Value> terms = new ArrayList<>(List.of(distance, gradient, kl));
    Value reconstruction = g.add(distance, g.mul(gradient, objective.gradientWeight()));
    if (objective.structureWeight() > 0) {
      Value similarity = MultiScaleStructure.similarity(g, picture, y, options.patch());
      terms.add(similarity);
      Value unlike = g.add(g.mul(similarity, -1), 1.0);
      reconstruction = g.add(reconstruction, g.mul(unlike, objective.structureWeight()));
    }
    Value loss = g.add(reconstruction, g.mul(kl, objective.klWeight()));
    if (objective.leastVolume() > 0) {
      Value volume = volume(g, mean);
      Value gain = gain(g, decoder, z, y, g.input("direction"));
      Value excess = g.call("torch.relu", g.add(g.mul(gain, 1 / objective.lipschitz()), -1.0));
      terms.addAll(List.of(volume, g.call("torch.mean", gain)));
      loss = g.add(loss, g.mul(volume, objective.leastVolume()));
      loss = g.add(loss, g.call("torch.mean", g.mul(excess, excess)));
    }
    int trained = options.decoderOnly() ? encoderWeights : 0;
    if (objective.adversarialWeight() == 0) {
      return TrainingScript.finish(
          builder,
          g,
          List.of(new TrainingScript.Part(loss, trained, builder.weightCount())),
          hyper,
          terms.toArray(new Value[0]));
    }
    int own = builder.weightCount();
    PatchDiscriminator discriminator =
        new PatchDiscriminator(
            builder.weights().at(DISCRIMINATOR), DISCRIMINATOR_WIDTH, DISCRIMINATOR_LAYERS);
    Value active = g.input("active");
    Value fooled = g.mul(g.call("torch.mean", judge(g, discriminator, y)), -1);
    Value balance =
        balance(g, g.assign("(self.ws)[" + decoder.last().index() + "]"), reconstruction, fooled);
    Value weight = g.mul(g.mul(active, objective.adversarialWeight()), balance);
    Value generator = g.call("torch.squeeze", g.add(loss, g.mul(fooled, weight)));
    Value real = hinge(g, judge(g, discriminator, picture), -1);
    Value fake = hinge(g, judge(g, discriminator, g.call("torch.detach", y)), 1);
    Value judged = g.mul(g.add(real, fake), 0.5);
    terms.addAll(List.of(fooled, judged));
    return TrainingScript.finish(
        builder,
        g,
        List.of(
            new TrainingScript.Part(generator, trained, own),
            new TrainingScript.Part(
                g.call("torch.squeeze", g.mul(judged, active)), own, builder.weightCount())),
        hyper,
        terms.toArray(new Value[0]));
  }

  private static Value decode(Graph g, AutoencoderKL.Decoder decoder, Value z) {
    return g.toFloat32Loss(decoder.forward(g, g.toCompute(z, true)), true);
  }

  private static Value judge(Graph g, PatchDiscriminator discriminator, Value x) {
    return g.toFloat32Loss(discriminator.forward(g, g.toCompute(x, true)), true);
  }

  /** {@code mean max(0, 1 + sign d)}. */
  private static Value hinge(Graph g, Value judged, int sign) {
    return g.call("torch.mean", g.call("torch.relu", g.add(g.mul(judged, sign), 1.0)));
  }

  /** The ratio of two losses' gradients at one weight, 0 to 10^4. */
  private static Value balance(Graph g, Value weight, Value reconstruction, Value adversarial) {
    Value other = g.add(gradientNorm(g, weight, adversarial), 1e-4);
    Value ratio = g.call("torch.div", gradientNorm(g, weight, reconstruction), other);
    return g.call("torch.detach", g.clamp(ratio, 0, 1e4));
  }

  private static Value gradientNorm(Graph g, Value weight, Value loss) {
    return g.call("torch.norm", g.gradient(loss, weight, false));
  }

  /** {@code exp(mean_c log(deviation_c + floor))} over batch and pixels. */
  private static Value volume(Graph g, Value mean) {
    Value centred = g.sub(mean, g.call("torch.mean", mean, Graph.raw("[0, 2, 3]"), true));
    Value variance = g.call("torch.mean", g.mul(centred, centred), Graph.raw("[0, 2, 3]"), false);
    Value deviation = g.call("torch.sqrt", g.add(variance, 1e-10));
    return g.exp(g.call("torch.mean", g.call("torch.log", g.add(deviation, VOLUME_FLOOR))));
  }

  /**
   * {@code ||D(z + d) - D(z)|| / ||d||} of each sample, {@code d} along {@code J^T r} for a random
   * picture r: towards what the decoder enlarges most.
   */
  private static Value gain(
      Graph g, AutoencoderKL.Decoder decoder, Value z, Value y, Value random) {
    Value inner = g.call("torch.sum", g.mul(y, random));
    Value pulled = g.call("torch.detach", g.gradient(inner, z, false));
    Value size = g.add(g.call("torch.sqrt", meanSquare(g, pulled)), 1e-12);
    Value d = g.mul(g.call("torch.div", pulled, size), PROBE);
    Value moved = decode(g, decoder, g.add(z, d));
    Value difference = g.sub(moved, y);
    Value up = g.call("torch.sum", g.mul(difference, difference), Graph.raw("[1, 2, 3]"), false);
    Value down = g.call("torch.sum", g.mul(d, d), Graph.raw("[1, 2, 3]"), false);
    return g.call("torch.sqrt", g.add(g.call("torch.div", up, down), 1e-12));
  }

  private static Value meanSquare(Graph g, Value x) {
    return g.call("torch.mean", g.mul(x, x), Graph.raw("[1, 2, 3]"), true);
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
   * latents are normalised ({@link LatentNormalization}), so the scaling factor is 1; a decoder
   * alone leaves them as they are.
   *
   * @throws PriorArtException INVALID_ARGUMENT for a decoder alone without a checkpoint or a state
   *     to begin with
   */
  public static void run(
      AutoencoderKL.Config config, Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    if (options.decoderOnly() && lap.from() == null && !Files.exists(lap.state())) {
      throw PriorArtException.badField(
          "decoder-only", "needs an encoder; use `train resume --from CHECKPOINT`");
    }
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
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              terms(options.objective()))
          .run(
              trainer,
              fraction -> batch(config, options, sampler, random, trainer),
              new AutoencoderGrids(config, pictures, options.patch(), CompileOptions.AUTO));
      Path weights = lap.checkpoint().resolve(file);
      Path vae = Files.createDirectories(weights.getParent());
      trainer.export(weights, "", name -> !name.startsWith(DISCRIMINATOR));
      if (!options.decoderOnly()) {
        LatentNormalization normalization =
            LatentNormalization.measure(
                config, weights, () -> sampler.batch(options.batch()), manager);
        normalization.fold(weights);
        lap.listener()
            .note(
                "latent channels normalised, deviations were "
                    + Arrays.toString(normalization.deviation()));
      }
      CheckpointWriter.writeJson(vae.resolve("config.json"), configJson(config));
    }
  }

  /** Crops, the noise on their latents, then what the objective's terms need. */
  static NDArray[] batch(
      AutoencoderKL.Config config,
      Options options,
      PatchSampler sampler,
      NoiseSource random,
      Trainer trainer) {
    NDManager manager = trainer.manager();
    AutoencoderObjective objective = options.objective();
    int latent = options.patch() / config.stride();
    NDArray crops = sampler.batch(options.batch()).to(manager);
    List<NDArray> inputs = new ArrayList<>(List.of(crops));
    Shape shape = new Shape(options.batch(), config.latentChannels(), latent, latent);
    NDArray noise = random.normal(manager, shape);
    inputs.add(options.decoderOnly() ? noise.mul(levels(options, random, manager)) : noise);
    if (objective.leastVolume() > 0) {
      inputs.add(random.normal(manager, crops.getShape()));
    }
    if (objective.adversarialWeight() > 0) {
      boolean active = trainer.step() >= objective.adversarialStart();
      inputs.add(manager.create(new float[] {active ? 1 : 0}));
    }
    return inputs.toArray(new NDArray[0]);
  }

  /** A standard deviation for each picture, {@code [batch, 1, 1, 1]}. */
  private static NDArray levels(Options options, NoiseSource random, NDManager manager) {
    float[] levels = new float[options.batch()];
    for (int i = 0; i < levels.length; i++) {
      levels[i] = (float) (options.latentNoise() * random.uniform());
    }
    return manager.create(levels, new Shape(levels.length, 1, 1, 1));
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
