package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveEvent;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;

/**
 * A {@link Sampler} and the noise levels that it visits: what a {@code scheduler_config.json} says
 * beyond the {@link NoiseSchedule} that a checkpoint was trained on.
 *
 * @param spacing {@code timestep_spacing}; not used by {@link Sampler#LCM} and {@link
 *     Sampler#FLOW_MATCH_EULER}
 * @param karras {@code use_karras_sigmas}: levels of arXiv 2206.00364, equation 5, between the
 *     first and last of the spacing (Euler) or of the schedule (DPM-Solver++)
 * @param endsAtZero {@code set_alpha_to_one}, {@code final_sigmas_type = zero}: the last step ends
 *     at the clean estimate, not at the schedule's smallest level
 * @param clip {@code clip_sample_range}: clean estimates are clamped to this magnitude; infinite
 *     for none
 * @param largeVariance {@code variance_type = fixed_large}: DDPM's fresh noise has {@code beta_t},
 *     the other choice of arXiv 2006.11239, section 3.2
 * @param firstOrderEnds {@code lower_order_final}, {@code euler_at_final}: DPM-Solver++ does not
 *     look ahead at the last of fewer steps than this, nor where that ends at 0
 * @param lcmSteps {@code original_inference_steps}: evenly spaced timesteps that a consistency
 *     model was distilled on; {@link Sampler#LCM} skips some. 0 for the spacing's own
 * @param shift {@code shift} of {@link Sampler#FLOW_MATCH_EULER}
 */
public record Sampling(
    Sampler sampler,
    TimestepSpacing spacing,
    boolean karras,
    boolean endsAtZero,
    double clip,
    boolean largeVariance,
    int firstOrderEnds,
    int lcmSteps,
    double shift) {
  /** Stands in for the infinite sigma of pure noise. */
  private static final double PURE_NOISE = 0x1p19;

  /** An {@code alphaBar} up to which a schedule's last level is pure noise. */
  private static final double ZERO_SNR = 0x1p-24;

  public Sampling {
    if (!(clip > 0)) {
      throw PriorArtException.badField("clip_sample_range", "must be more than 0, was " + clip);
    }
    if (!(shift > 0 && shift <= 1000)) {
      throw PriorArtException.badField(
          "shift", "must be more than 0 and at most 1000, was " + shift);
    }
  }

  /** Trailing timesteps, ending at the clean estimate. */
  public static Sampling of(Sampler sampler) {
    return new Sampling(
        sampler, TimestepSpacing.TRAILING, false, true, Double.POSITIVE_INFINITY, false, 0, 0, 1);
  }

  /** This without {@link #clip}. */
  public Sampling unclipped() {
    return new Sampling(
        sampler,
        spacing,
        karras,
        endsAtZero,
        Double.POSITIVE_INFINITY,
        largeVariance,
        firstOrderEnds,
        lcmSteps,
        shift);
  }

  /**
   * The levels of a run: at step {@code i} the network sees {@code sigma[i]}, is told {@code
   * timestep[i]}, and the noise is lowered to {@code next[i]}. That is the level after, but for
   * DDIM, which counts {@code T / steps} timesteps down whatever the spacing is.
   */
  private record Levels(double[] timestep, double[] sigma, double[] next) {}

  /**
   * Draws pictures.
   *
   * @param noise standard normal {@code [N, c, h, w]}
   * @param steps 1 to the schedule's training timesteps
   * @param context its noise serves samplers that draw some, its conditioning every evaluation;
   *     each step is told to its listener with residual 0, for there is no measurement
   * @return decoded pictures {@code [N, 3, H, W]}, not clamped
   * @throws PriorArtException CANCELLED, DEADLINE_EXCEEDED, INVALID_ARGUMENT
   */
  public NDArray sample(
      LatentDiffusionModel model, NDArray noise, int steps, SolveContext context) {
    Levels at = levels(model.schedule(), steps);
    NDArray z = noise.mul(start(at.sigma[0]));
    NDArray last = null;
    for (int i = 0; i < steps; i++) {
      context.checkpoint();
      try (TensorScope scope = new TensorScope()) {
        NDArray clean = model.denoise(z, at.sigma[i], at.timestep[i], context.conditioning());
        NDArray next = step(at, i, z, clean, last, context.noise()).mul(handOver(at, i));
        z.close();
        z = scope.keep(next);
        if (last != null) {
          last.close();
        }
        last = scope.keep(clean);
      }
      context.listener().on(new SolveEvent.Step(i + 1, steps, 0));
    }
    return model.decode(z);
  }

  private NDArray step(
      Levels at, int i, NDArray z, NDArray clean, NDArray last, NoiseSource random) {
    double sigma = at.sigma[i];
    double next = at.next[i];
    NDArray goal = Double.isInfinite(clip) ? clean : clean.clip(-clip, clip);
    int steps = at.sigma.length;
    boolean firstOrder = i == 0 || next == 0 || i == steps - 1 && steps < firstOrderEnds;
    if (sampler.multistep() && !firstOrder) {
      double h = Math.log(sigma / next);
      double before = Math.log(at.sigma[i - 1] / sigma);
      goal = goal.add(goal.sub(last).mul(h / (2 * before)));
    }
    double kept = sampler.kept(sigma == PURE_NOISE ? Double.POSITIVE_INFINITY : sigma, next);
    // DDIM's noise is that of the estimate before it is clipped
    NDArray moved = goal.add(z.sub(sampler == Sampler.DDIM ? clean : goal).mul(kept / sigma));
    double fresh = Math.sqrt(Math.max(0, next * next - kept * kept));
    if (sampler == Sampler.DDPM && largeVariance) {
      // beta_t / alphaBar of the next level
      double beta = (sigma * sigma - next * next) / (1 + sigma * sigma);
      fresh = at.timestep[i] > 0 ? Math.sqrt(beta * (1 + next * next)) : 0;
    }
    NDManager manager = z.getManager();
    return fresh == 0 ? moved : moved.add(random.normal(manager, z.getShape()).mul(fresh));
  }

  /** What unit noise is multiplied by to be the {@code z} of the first level. */
  private double start(double sigma) {
    if (sampler == Sampler.FLOW_MATCH_EULER) {
      return 1 + sigma;
    }
    // as diffusers' init_noise_sigma: a variance-preserving state starts as unit noise
    boolean noiseAlone = sampler.inSigma() && spacing != TimestepSpacing.LEADING;
    return noiseAlone ? sigma : root(sigma);
  }

  /**
   * Samplers of a variance-preserving state {@code x = z / sqrt(1 + sigma^2)} hand {@code x} on, to
   * a level that may differ from the one they stepped to, and at the end to the decoder.
   */
  private double handOver(Levels at, int i) {
    if (sampler.inSigma()) {
      return 1;
    }
    double after = i + 1 < at.sigma.length ? at.sigma[i + 1] : 0;
    return root(after) / root(at.next[i]);
  }

  /** {@code 1 / sqrt(alphaBar)}. */
  private static double root(double sigma) {
    return Math.sqrt(1 + sigma * sigma);
  }

  private Levels levels(NoiseSchedule schedule, int steps) {
    int train = schedule.trainTimesteps();
    if (steps < 1 || steps > train) {
      throw PriorArtException.badField("steps", "must be 1 to " + train + ", was " + steps);
    }
    double[] timestep = timesteps(schedule, steps);
    double[] sigma = Arrays.stream(timestep).map(t -> sigma(schedule, t)).toArray();
    if (sampler == Sampler.FLOW_MATCH_EULER) {
      sigma = shifted(schedule, steps);
      timestep = Arrays.stream(sigma).map(s -> train * s / (1 + s)).toArray();
    } else if (karras) {
      boolean whole = sampler.multistep();
      double first = whole ? schedule.sigma(train - 1) : sigma[0];
      double least = whole ? schedule.sigma(0) : sigma[steps - 1];
      sigma = Arrays.copyOf(NoiseLevels.karras(schedule, steps, first, least), steps);
      timestep =
          Arrays.stream(sigma).map(schedule::timestep).map(t -> whole ? Math.rint(t) : t).toArray();
    }
    double end = endsAtZero ? 0 : schedule.sigma(0);
    double[] next = new double[steps];
    for (int i = 0; i < steps; i++) {
      next[i] = i + 1 < steps ? sigma[i + 1] : end;
      if (sampler == Sampler.DDIM) {
        int target = (int) timestep[i] - train / steps;
        next[i] = target < 0 ? end : sigma(schedule, target);
      }
    }
    return new Levels(timestep, sigma, next);
  }

  private double[] timesteps(NoiseSchedule schedule, int steps) {
    int train = schedule.trainTimesteps();
    if (sampler == Sampler.LCM && lcmSteps > 0) {
      if (lcmSteps > train || steps > lcmSteps) {
        throw PriorArtException.badField(
            "steps",
            "lcm takes at most original_inference_steps = %d, of %d training timesteps; was %d"
                .formatted(lcmSteps, train, steps));
      }
      double[] found = new double[steps];
      for (int i = 0; i < steps; i++) {
        int skipped = (int) ((double) lcmSteps / steps * i);
        found[i] = (lcmSteps - skipped) * (double) (train / lcmSteps) - 1;
      }
      return found;
    }
    if (sampler.inSigma() && spacing == TimestepSpacing.LINSPACE) {
      double[] found = new double[steps];
      for (int i = 0; i < steps; i++) {
        found[i] = steps == 1 ? 0 : (train - 1.0) * (steps - 1 - i) / (steps - 1);
      }
      return found;
    }
    // DPM-Solver++ counts its end among the steps that it spaces
    boolean withEnd = sampler.multistep() && spacing != TimestepSpacing.TRAILING && steps < train;
    int[] whole = schedule.timesteps(withEnd ? steps + 1 : steps, spacing);
    return Arrays.stream(whole).limit(steps).asDoubleStream().toArray();
  }

  /**
   * Sigma at a timestep, linear between whole ones. Samplers in sigma stop at the schedule's
   * stand-in for pure noise, as diffusers' do; those that count in timesteps meet pure noise.
   */
  private double sigma(NoiseSchedule schedule, double timestep) {
    int below = (int) timestep;
    if (below == schedule.trainTimesteps() - 1) {
      boolean pure = schedule.alphaBar(below) <= ZERO_SNR;
      boolean standIn = sampler.inSigma() || sampler.multistep();
      return pure && !standIn ? PURE_NOISE : schedule.sigma(below);
    }
    double low = schedule.sigma(below);
    return timestep == below ? low : low + (timestep - below) * (schedule.sigma(below + 1) - low);
  }

  /**
   * Shares of noise evenly spaced from 1 to the schedule's least, shifted (once more, as diffusers
   * does): a shift multiplies {@code sigma = share / (1 - share)}.
   */
  private double[] shifted(NoiseSchedule schedule, int steps) {
    double least = schedule.sigma(0) / (1 + schedule.sigma(0));
    double[] sigma = new double[steps];
    sigma[0] = PURE_NOISE;
    for (int i = 1; i < steps; i++) {
      double share = 1 + (least - 1) * i / (steps - 1);
      sigma[i] = shift * share / (1 - share);
    }
    return sigma;
  }
}
