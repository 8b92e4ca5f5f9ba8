package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import java.util.ArrayList;
import java.util.List;

/** One step of {@link DiffusionTraining}: what is drawn for it, and its script. */
final class DiffusionStep {
  /** How fast the mean variation follows (Guo et al. 2024). */
  static final double VARIATION_RATE = 0.01;

  private DiffusionStep() {}

  /** What the step reports after the loss; a plain one has nothing to add. */
  static List<String> terms(DiffusionObjective objective) {
    List<String> terms = new ArrayList<>();
    if (objective.stepVariation() > 0) {
      terms.addAll(List.of("step_variation", "mean_variation"));
    }
    if (objective.cumulativeError() > 0) {
      terms.add("cumulative_error");
    }
    return terms;
  }

  static Script script(
      UNet2DConditionModel.Config unetConfig,
      ClipTextModel.Config textConfig,
      DiffusionObjective objective,
      CompileOptions options) {
    ScriptBuilder builder = TrainingScript.builder("DiffusionTraining", options);
    if (objective.stepVariation() > 0) {
      builder.explicitAttention();
    }
    UNet2DConditionModel unet = new UNet2DConditionModel(unetConfig, builder.weights().at("unet"));
    ClipTextModel text = new ClipTextModel(textConfig, builder.weights().at("text"));
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value z0 = g.input("z0");
    Value noise = g.input("noise");
    Value seen = g.input("seen");
    Value signalRate = g.input("signal_rate");
    Value noiseRate = g.input("noise_rate");
    Value targetSignal = g.input("target_signal");
    Value targetNoise = g.input("target_noise");
    Value weight = g.input("weight");
    Value timestep = g.input("timestep");
    Value ids = g.input("input_ids");
    if (objective.stepVariation() > 0) {
      seen = g.call("torch.requires_grad_", g.call("torch.clone", seen), true);
    }
    Value zt = g.add(g.mul(z0, signalRate), g.mul(seen, noiseRate));
    Value target = g.add(g.mul(noise, targetNoise), g.mul(z0, targetSignal));
    Value context = text.forward(g, ids);
    Value predicted = predict(g, unet, zt, timestep, context);
    Value error = g.sub(predicted, target);
    Value loss = g.call("torch.mean", g.mul(g.mul(error, error), weight));
    List<Value> terms = new ArrayList<>();
    if (objective.stepVariation() > 0) {
      Value clean = g.add(g.mul(zt, g.input("clean_skip")), g.mul(predicted, g.input("clean_out")));
      Value variation = variation(g, clean, seen, g.input("direction"), terms);
      loss = g.add(loss, g.mul(variation, objective.stepVariation()));
    }
    if (objective.cumulativeError() > 0) {
      Value z = g.input("backward_start");
      Value forward = g.input("forward");
      Value timesteps = g.input("backward_timesteps");
      Value rates = g.input("backward_rates");
      for (int i = 0; i < objective.backwardSteps(); i++) {
        Value said = predict(g, unet, z, g.slice(timesteps, 0, i, i + 1L), context);
        Value keep = g.slice(rates, 0, 2L * i, 2L * i + 1);
        Value use = g.slice(rates, 0, 2L * i + 1, 2L * i + 2);
        z = g.add(g.mul(z, keep), g.mul(said, use));
      }
      Value discrepancy = discrepancy(g, z, forward);
      terms.add(discrepancy);
      loss = g.add(loss, g.mul(discrepancy, objective.cumulativeError()));
    }
    return TrainingScript.finish(builder, g, loss, hyper, terms.toArray(new Value[0]));
  }

  private static Value predict(
      Graph g, UNet2DConditionModel unet, Value z, Value timestep, Value context) {
    return g.toFloat32(unet.forward(g, g.toCompute(z, true), timestep, context));
  }

  /** {@code mean (||J^T d|| - m)^2} over the samples; m, which follows, is the script's. */
  private static Value variation(
      Graph g, Value clean, Value noise, Value direction, List<Value> terms) {
    Value inner = g.call("torch.sum", g.mul(clean, direction));
    // kept and differentiable itself: the loss's gradient goes through it
    Value gradient = g.gradient(inner, noise, true);
    Value length =
        g.call(
            "torch.sqrt",
            g.add(
                g.call("torch.sum", g.mul(gradient, gradient), Graph.raw("[1, 2, 3]"), false),
                1e-12));
    Value followed =
        g.assign(
            "torch.lerp_(self.statistics[0], torch.detach(torch.mean(%s)), %s)"
                .formatted(length, VARIATION_RATE));
    Value deviation = g.sub(length, g.call("torch.clone", followed));
    Value penalty = g.call("torch.mean", g.mul(deviation, deviation));
    terms.add(penalty);
    terms.add(followed);
    return penalty;
  }

  /**
   * The squared maximum mean discrepancy of two batches with the kernel {@code exp(-|a - b|^2 / 2
   * h^2)}, {@code h^2} the mean squared distance between them (Gretton et al., JMLR 2012, biased
   * estimate).
   */
  static Value discrepancy(Graph g, Value a, Value b) {
    Value between = distances(g, a, b);
    Value width = g.call("torch.detach", g.add(g.call("torch.mean", between), 1e-12));
    Value cross = meanKernel(g, between, width);
    Value own =
        g.add(meanKernel(g, distances(g, a, a), width), meanKernel(g, distances(g, b, b), width));
    return g.sub(own, g.mul(cross, 2));
  }

  private static Value distances(Graph g, Value a, Value b) {
    Value rows = g.unsqueeze(g.call("torch.flatten", a, 1), 1);
    Value columns = g.unsqueeze(g.call("torch.flatten", b, 1), 0);
    Value d = g.sub(rows, columns);
    return g.call("torch.mean", g.mul(d, d), Graph.raw("[2]"), false);
  }

  private static Value meanKernel(Graph g, Value distances, Value width) {
    Value exponent = g.mul(g.call("torch.div", distances, width), -0.5);
    return g.call("torch.mean", g.exp(exponent));
  }

  /**
   * What a step takes after its rates: z_0, eps, what the network sees for eps, then {@code [N, 1,
   * 1, 1]} each: rates of z_0 and noise, of both in the target, weight; timesteps, token ids; what
   * the objective's terms need.
   */
  static NDArray[] batch(
      DiffusionTraining.Options options,
      LatentSampler latents,
      long[] empty,
      NoiseSchedule schedule,
      NoiseSource random,
      NDManager manager) {
    int n = options.batch();
    LatentSampler.Batch drawn = latents.draw(n, random);
    DiffusionObjective objective = options.objective();
    DiffusionTarget target = objective.target();
    float[][] rates = new float[7][n];
    float[] timesteps = new float[n];
    int tokens = DiffusionTraining.MAX_TOKENS;
    long[] ids = new long[n * tokens];
    for (int i = 0; i < n; i++) {
      int t = random.below(schedule.trainTimesteps());
      double alphaBar = schedule.alphaBar(t);
      timesteps[i] = target.timestep(t);
      rates[0][i] = (float) target.signalRate(alphaBar);
      rates[1][i] = (float) target.noiseRate(alphaBar);
      rates[2][i] = (float) target.signal(alphaBar);
      rates[3][i] = (float) target.noise(alphaBar);
      rates[4][i] = (float) target.weight(alphaBar, objective.minSnr());
      rates[5][i] = (float) target.skip(alphaBar);
      rates[6][i] = (float) target.out(alphaBar);
      boolean dropped = random.uniform() < options.captionDropout();
      System.arraycopy(dropped ? empty : drawn.pictures().get(i).ids(), 0, ids, i * tokens, tokens);
    }
    Shape shape = new Shape(n, drawn.channels(), drawn.height(), drawn.width());
    NDArray clean = manager.create(drawn.values(), shape);
    NDArray noise = random.normal(manager, shape);
    NDArray seen = noise;
    if (objective.inputPerturbation() > 0) {
      seen = noise.add(random.normal(manager, shape).mul(objective.inputPerturbation()));
    }
    List<NDArray> inputs = new ArrayList<>(List.of(clean, noise, seen));
    for (int k = 0; k < 5; k++) {
      inputs.add(manager.create(rates[k], new Shape(n, 1, 1, 1)));
    }
    inputs.add(manager.create(timesteps));
    inputs.add(manager.create(ids, new Shape(n, tokens)));
    if (objective.stepVariation() > 0) {
      inputs.add(manager.create(rates[5], new Shape(n, 1, 1, 1)));
      inputs.add(manager.create(rates[6], new Shape(n, 1, 1, 1)));
      inputs.add(
          random.normal(manager, shape).div(Math.sqrt((double) drawn.height() * drawn.width())));
    }
    if (objective.cumulativeError() > 0) {
      inputs.addAll(backward(objective, clean, schedule, random, manager));
    }
    return inputs.toArray(new NDArray[0]);
  }

  /**
   * Latents at a level {@code t + k stride}, others at {@code t}, and how {@code k} steps of DDIM
   * lead from there to here: timesteps, and for each step what of the latent and of the network's
   * word makes the next, {@code [2k, 1, 1, 1]}.
   */
  private static List<NDArray> backward(
      DiffusionObjective objective,
      NDArray clean,
      NoiseSchedule schedule,
      NoiseSource random,
      NDManager manager) {
    int steps = objective.backwardSteps();
    int stride = DiffusionObjective.BACKWARD_STRIDE;
    DiffusionTarget target = objective.target();
    int end = random.below(schedule.trainTimesteps() - steps * stride);
    float[] timesteps = new float[steps];
    float[] rates = new float[2 * steps];
    for (int i = 0; i < steps; i++) {
      int from = end + (steps - i) * stride;
      double now = schedule.alphaBar(from);
      double next = schedule.alphaBar(from - stride);
      timesteps[i] = target.timestep(from);
      // z' = a' z_0 + b' eps with z_0 = skip z + out F and eps = (z - a z_0) / b
      double grow = target.noiseRate(next) / target.noiseRate(now);
      double ofClean = target.signalRate(next) - grow * target.signalRate(now);
      rates[2 * i] = (float) (ofClean * target.skip(now) + grow);
      rates[2 * i + 1] = (float) (ofClean * target.out(now));
    }
    return List.of(
        noisy(clean, schedule.alphaBar(end + steps * stride), target, random, manager),
        noisy(clean, schedule.alphaBar(end), target, random, manager),
        manager.create(timesteps),
        manager.create(rates, new Shape(2L * steps, 1, 1, 1)));
  }

  private static NDArray noisy(
      NDArray clean, double alphaBar, DiffusionTarget target, NoiseSource random, NDManager m) {
    return clean
        .mul(target.signalRate(alphaBar))
        .add(random.normal(m, clean.getShape()).mul(target.noiseRate(alphaBar)));
  }
}
