package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TimestepSpacing;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Diffusion posterior sampling (Chung et al., ICLR 2023, arXiv 2209.14687, algorithm 1), through
 * the decoder when the prior is latent ("latent DPS").
 *
 * <p>With {@code z} latents {@code [N, c, h, w]} in variance-preserving form, {@code a_t =
 * alphaBar}, {@code s} the next timestep and {@code alpha = a_t / a_s}, a step is
 *
 * <pre>
 *   z0 = denoise(z_t)
 *   z' = sqrt(a_s) (1 - alpha)/(1 - a_t) z0 + sqrt(alpha) (1 - a_s)/(1 - a_t) z_t + sd xi,
 *        sd^2 = (1 - alpha) (1 - a_s)/(1 - a_t)              (DDPM's ancestral step)
 *   z_s = z' - zeta (1000 / steps) d/dz_t || y - A(D(z0)) ||
 * </pre>
 *
 * with the un-squared norm, taken of each sample alone. The last step goes to {@code a_s = 1}
 * without noise; the result is {@code D(z)}.
 *
 * <p>Deviations, and why: {@code zeta} counts per thousand steps, so that the guidance adds up to
 * the same with fewer steps (the paper only knows 1000, where both agree); the posterior's variance
 * is the small fixed one, because latent checkpoints learn none; the clean estimate is not clamped,
 * which would cut the gradient where it saturates. {@code zeta} depends on the picture's size and
 * noise: tune it. With {@code polyak} a step is no longer than Polyak's ({@link Guidance#step}):
 * few steps overshoot where the paper's thousand do not. Preset {@code latent}, which latent priors
 * take for {@code fast}, has it; {@code fast} itself has not (a tuning photograph with and without,
 * 70 % missing, x4, box: 31.3 and 30.9, 27.5 and 28.2, 20.7 and 21.7 dB with a prior of pictures;
 * 20.6 and 18.2 dB with a box and a latent one).
 *
 * <p>{@code fast}'s weight of 1 was the best of 0.1 to 10 for missing pixels, super-resolution and
 * blur alike on random fields of a photograph's spectrum (128x128, sigma 0.01, exact denoiser).
 */
public final class Dps extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "dps",
          "Diffusion posterior sampling: a gradient through denoiser and decoder at every step",
          List.of(
              new Citation(
                  "chung2023dps",
                  "Chung, Hyungjin and Kim, Jeongsol and McCann, Michael T. and Klasky, Marc L. and Ye, Jong Chul",
                  "Diffusion Posterior Sampling for General Noisy Inverse Problems",
                  "ICLR",
                  2023,
                  "2209.14687")),
          Set.of(Need.MODEL, Need.DECODER_GRADIENT, Need.DENOISER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(100, 1, false),
              "latent", new Spec(100, 1, true),
              "paper", new Spec(1000, 0.3, false)),
          Dps::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param zeta guidance per thousand steps
   * @param polyak whether a step ends where the linearised misfit meets the noise
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations, each with its gradient", min = 1, max = 1000)
          int steps,
      @Parameter(
              doc = "Weight of the normalised misfit gradient, per thousand steps",
              min = 0,
              max = 100)
          double zeta,
      @Parameter(doc = Guidance.POLYAK) boolean polyak) {}

  private final Spec spec;

  public Dps(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    Observation y = new Observation(problem, work, chains);
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    double zeta = VariancePreserving.perStep(spec.zeta(), spec.steps());
    return new Steps() {
      @Override
      public int count() {
        return timesteps.length;
      }

      @Override
      public NDList start() {
        return new NDList(noise(context, work, model, chains));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray z = state.get(0);
        boolean last = i == timesteps.length - 1;
        double at = schedule.alphaBar(timesteps[i]);
        double as = last ? 1 : schedule.alphaBar(timesteps[i + 1]);
        Guidance guidance = Guidance.at(z, at, problem, y, model, context);
        context.step(i + 1, timesteps.length, guidance.residualRms());
        context.estimate(i + 1, guidance.picture());
        NDArray next =
            VariancePreserving.ancestral(z, guidance.clean(), at, as)
                .sub(guidance.step(zeta, spec.polyak()));
        if (!last) {
          double sd = VariancePreserving.ancestralDeviation(at, as);
          next = next.add(noise(context, work, model, chains).mul(sd));
        }
        return new NDList(next);
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }
}
