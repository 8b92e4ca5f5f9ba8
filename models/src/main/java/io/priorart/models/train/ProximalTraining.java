package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.ProximalPrior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConvexPotential;
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
 * Trains a {@link ConvexPotential}, whose gradient {@code f} is a proximal operator, by proximal
 * matching (Fang et al., ICLR 2024, arXiv 2310.14344, algorithm 1): on crops {@code x} and {@code y
 * = x + sigma eps} the first half of a lap minimises {@code E |f(y) - x|}, the second
 *
 * <pre>
 *   E [ 1 - exp(-||f(y) - x||^2 / (n gamma^2)) ]
 * </pre>
 *
 * with {@code n} the values of a crop and {@code gamma} 8, 4, 2 and 1 times its last value, a
 * quarter of that time each: in the limit {@code f} is the proximal operator of {@code -sigma^2 log
 * p}, the maximum a posteriori estimate, where squared errors would make it the mean. After every
 * step the weights that must not be negative are set to zero where they are.
 *
 * <p>Deviation, and why: the rate falls by a cosine as for every training here, where the paper's
 * drops from 1e-3 to 1e-4 between the halves.
 */
public final class ProximalTraining {
  /** Divides gamma's pieces of the second half. */
  private static final int PIECES = 4;

  /** float32: the loss is of the network's gradient, whose softplus bends within a hundredth. */
  private static final CompileOptions EXACT = CompileOptions.AUTO.withPrecision(Precision.FLOAT32);

  /**
   * @param patch side of the training crops in pixels, a multiple of the network's stride
   * @param batch crops a step
   * @param gamma its last value, on the [-1,1] scale a pixel
   */
  public record Options(
      int patch, int batch, double gamma, double learningRate, Duration duration, long seed) {
    public Options {
      if (!(gamma > 0 && gamma < 1e3)) {
        throw PriorArtException.badField("gamma", "must be more than 0, was " + gamma);
      }
    }
  }

  private ProximalTraining() {}

  static Script script(ConvexPotential.Config config) {
    ScriptBuilder builder = TrainingScript.builder("ProximalTraining", EXACT);
    ConvexPotential net = new ConvexPotential(config, builder.weights());
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value x = g.input("x");
    Value noise = g.input("noise");
    Value matching = g.input("matching");
    Value squaredGamma = g.input("squared_gamma");
    Value noisy = g.add(x, g.mul(noise, config.sigma()));
    Value error = g.sub(net.proximal(g, g.toCompute(noisy, true), true), x);
    Value distance = g.call("torch.mean", g.call("torch.abs", error));
    Value squares = g.call("torch.mean", g.mul(error, error), Graph.raw("[1, 2, 3]"), false);
    Value near = g.exp(g.mul(g.call("torch.div", squares, squaredGamma), -1));
    Value matched = g.call("torch.mean", g.add(g.mul(near, -1), 1));
    Value loss = g.add(distance, g.mul(matching, g.sub(matched, distance)));
    return TrainingScript.finish(builder, g, loss, hyper, distance, g.call("torch.mean", squares));
  }

  /**
   * Trains until {@code options.duration()} is over or a stop is asked for, then writes the
   * averaged weights (float16) with their configuration as a checkpoint folder.
   */
  public static void run(
      ConvexPotential.Config config, Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    if (options.patch() < 1 || options.patch() % config.stride() != 0) {
      throw PriorArtException.badField(
          "patch", "must be a multiple of " + config.stride() + ", was " + options.patch());
    }
    NoiseSource random = new NoiseSource(options.seed());
    PatchSampler sampler = new PatchSampler(pictures, options.patch(), random);
    Script script = script(config);
    try (Trainer trainer =
        new Trainer(
            script,
            lap.state(),
            random,
            StartingWeights.ofPart(script, lap.from(), ProximalPrior.PART))) {
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              List.of("absolute_error", "squared_error"))
          .run(
              trainer,
              fraction -> batch(options, fraction, sampler, random, trainer.manager()),
              new ProximalGrids(config, pictures, options.patch(), EXACT));
      Path part = Files.createDirectories(lap.checkpoint().resolve(ProximalPrior.PART));
      trainer.export(part.resolve("diffusion_pytorch_model.safetensors"), "", name -> true);
      CheckpointWriter.writeJson(part.resolve("config.json"), json(config));
      Map<String, Object> index = new LinkedHashMap<>();
      index.put("_class_name", ProximalPrior.CLASS_NAME);
      index.put(ProximalPrior.PART, new String[] {"priorart", "ConvexPotential"});
      CheckpointWriter.writeJson(lap.checkpoint().resolve("model_index.json"), index);
    }
  }

  /** {@code gamma} at some part of a lap; 0 while the loss is the absolute error. */
  static double gamma(double last, double fraction) {
    if (fraction < 0.5) {
      return 0;
    }
    int piece = Math.min(PIECES - 1, (int) ((fraction - 0.5) * 2 * PIECES));
    return last * (1 << PIECES - 1 - piece);
  }

  /** What a step takes after its rates: x, noise, 1 for proximal matching, gamma squared. */
  static NDArray[] batch(
      Options options,
      double fraction,
      PatchSampler sampler,
      NoiseSource random,
      NDManager manager) {
    NDArray x = sampler.batch(options.batch()).to(manager);
    NDArray noise = random.normal(manager, x.getShape());
    double gamma = gamma(options.gamma(), fraction);
    return new NDArray[] {
      x,
      noise,
      manager.create(gamma == 0 ? 0f : 1f),
      manager.create(gamma == 0 ? 1f : (float) (gamma * gamma))
    };
  }

  private static Map<String, Object> json(ConvexPotential.Config config) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("_class_name", "ConvexPotential");
    json.put("alpha", config.alpha());
    json.put("beta", config.beta());
    json.put("channels", config.channels());
    json.put("levels", config.levels());
    json.put("sigma", config.sigma());
    json.put("width", config.width());
    return json;
  }
}
