package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
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
 * Manifold-constrained gradients (Chung et al., NeurIPS 2022, arXiv 2206.00941, algorithm 1): the
 * data replaces what it determines, and a gradient through the denoiser, projected off that,
 * carries it to the rest. With {@code x} in variance-preserving form, {@code P = I - A^+ A} and
 * {@code x'} DDPM's ancestral step to alphaBar {@code a} (see {@link Dps}), a pixel-space step is
 *
 * <pre>
 *   g = d/dx || y - A denoise(x) ||
 *   x = P (x' - zeta g) + A^+ ( sqrt(a) y + sqrt(1-a) A xi ),   xi ~ N(0, I)
 * </pre>
 *
 * each sample with its own norm; the last step, to {@code a = 1}, is noise-free. A latent prior
 * sees the picture through its decoder: the clean estimate is {@code z0 = E( x0 + A^+ (y - A x0)
 * )}, {@code x0 = D(denoise(z))}, the ancestral step goes from it, and {@code zeta g}, now through
 * the decoder, is subtracted.
 *
 * <p>Deviations, and why: data is noised to the level that the step reaches, where the released
 * code noises it to the one it leaves; {@code zeta} counts per thousand steps, and {@code polyak}
 * bounds the gradient step, as in {@link Dps}; {@code A^+} is truncated, since a blur has no usable
 * inverse; in latent space the projection acts on the decoded clean estimate, because a decoder
 * does not map noisy latents to noisy pictures. Replacing by a noisy measurement keeps its noise:
 * the paper's tasks have none.
 *
 * <p>Operators without singular vectors ({@link LinearOperator#damps}), tomography among them, have
 * no projection to offer. In pictures each of the {@code n} steps then goes part of the way, to
 * {@code argmin_u ||u - x||^2 + ||A u - data||^2 / d^2} with {@code d = rcond sqrt(n) ||A||}: what
 * {@code n} of them leave of a singular value {@code s} is {@code (1 + s^2/d^2)^-n}, so that {@code
 * s = rcond ||A||} is where they turn from one to the other, as the released code's single step of
 * SIRT at each of 4000 levels does for tomography (its loss is {@code ||A^+ (y - A x0)||}, weighted
 * by 0.1). With {@code d = rcond ||A||} at every step, noise would be inverted.
 */
public final class Mcg extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "mcg",
          "Replaces what the data determines, and a gradient projected off that moves the rest",
          List.of(
              new Citation(
                  "chung2022mcg",
                  "Chung, Hyungjin and Sim, Byeongsu and Ryu, Dohoon and Ye, Jong Chul",
                  "Improving Diffusion Models for Inverse Problems using Manifold Constraints",
                  "NeurIPS",
                  2022,
                  "2206.00941")),
          Set.of(
              Need.MODEL,
              Need.LINEAR,
              Need.DECODER_GRADIENT,
              Need.DENOISER_GRADIENT,
              Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(100, 1, 0.1, false),
              "latent", new Spec(100, 1, 0.1, true),
              "paper", new Spec(1000, 1, 0.1, false)),
          Mcg::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param zeta weight of the gradient, per thousand steps
   * @param rcond singular values that are inverted, relative to the largest
   * @param polyak whether a gradient step ends where the linearised misfit meets the noise
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations, each with its gradient", min = 1, max = 1000)
          int steps,
      @Parameter(
              doc = "Weight of the normalised misfit gradient, per thousand steps",
              min = 0,
              max = 100)
          double zeta,
      @Parameter(
              doc =
                  "Least singular value of the operator that is inverted, relative to the largest",
              min = 1e-6,
              max = 0.999)
          double rcond,
      @Parameter(doc = Guidance.POLYAK) boolean polyak) {}

  private final Spec spec;

  public Mcg(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    LinearOperator operator = problem.linearOperator();
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
        NDArray gradient = guidance.step(zeta, spec.polyak());
        context.checkpoint();
        if (model.pixelSpace()) {
          NDArray moved = ancestral(z, guidance.clean(), at, as, last).sub(gradient);
          NDArray data = y.measurement().mul(Math.sqrt(as));
          if (!last) {
            NDArray xi = noise(context, work, model, chains);
            data = data.add(operator.apply(xi).mul(Math.sqrt(1 - as)));
          }
          return new NDList(repeatedly(moved, data));
        }
        NDArray clean = model.encode(replaced(guidance.picture(), y.measurement()));
        return new NDList(ancestral(z, clean, at, as, last).sub(gradient));
      }

      /** {@code x + A^+ (data - A x)}, or as much of it as is due at each of all steps. */
      private NDArray repeatedly(NDArray x, NDArray data) {
        if (!operator.damps()) {
          return replaced(x, data);
        }
        double damping = spec.rcond() * operator.norm();
        double gamma = 1 / Math.max(1 / MAX_GAMMA, damping * damping * spec.steps());
        NDArray rest = y.seen(data.sub(operator.apply(x)));
        return x.add(operator.proximal(x.zerosLike(), rest, gamma));
      }

      /** {@code x + A^+ (data - A x)}. */
      private NDArray replaced(NDArray x, NDArray data) {
        return x.add(operator.pseudoInverse(y.seen(data.sub(operator.apply(x))), spec.rcond()));
      }

      private NDArray ancestral(NDArray z, NDArray clean, double at, double as, boolean last) {
        NDArray mean = VariancePreserving.ancestral(z, clean, at, as);
        if (last) {
          return mean;
        }
        double sd = VariancePreserving.ancestralDeviation(at, as);
        return mean.add(noise(context, work, model, chains).mul(sd));
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }
}
