package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
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
 * LATINO (Spagnoletti et al., ICCV 2025, arXiv 2503.12615, algorithm 1): a Langevin step split into
 * the prior's and the data's half, the prior's made by a few-step model. From {@code x = A^+ y}, at
 * falling noise levels {@code sigma} of the latent,
 *
 * <pre>
 *   z = E(x) + sigma xi,   xi ~ N(0, I)
 *   u = D( denoise(z, sigma) )
 *   x = argmin_v  ||v - u||^2 / (2 v_k) + ||A v - y||^2 / (2 sigma_y^2)
 * </pre>
 *
 * and the result is {@code D(E(x))} of the last one, as in the released code: what the data step
 * has put into single pixels, the measurement's noise with it, is no picture of the model's. A step
 * costs one evaluation of each network and no gradient. The denoiser must give a sharp picture at
 * every level, not a mean: a consistency model.
 *
 * <p>Deviations, and why: the paper's step {@code delta}, which it sets for each task, is the
 * variance {@code v_k = min(sigma^2/(1+sigma^2), excess of the residual over the noise / mean
 * squared row of A)} that {@link ProxDiffusion} uses: one rule for every operator; it starts at the
 * truncated pseudo-inverse, which for super-resolution has the picture's scale where {@code A^T y}
 * has not; timesteps are spaced evenly from the last; {@code u} is not clipped.
 */
public final class Latino extends LatentSolver {
  /** Of the singular values that the start inverts, relative to the largest. */
  static final double RCOND = 0.1;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "latino",
          "Few-step model and proximal data step in turns; for consistency models, no gradients",
          List.of(ProxDiffusion.LATINO),
          Set.of(Need.MODEL, Need.LINEAR, Need.FEW_STEP, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(8), "paper", new Spec(8)),
          Latino::new);

  /**
   * Parameters.
   *
   * @param steps evaluations of each network
   */
  public record Spec(
      @Parameter(doc = "Evaluations of denoiser, encoder and decoder each", min = 1, max = 100)
          int steps) {}

  private final Spec spec;

  public Latino(Spec spec) {
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
    double rowSquare = y.meanSquaredRow(operator);
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    return new Steps() {
      @Override
      public int count() {
        return timesteps.length;
      }

      @Override
      public NDList start() {
        return new NDList(operator.pseudoInverse(y.measurement(), RCOND));
      }

      @Override
      public NDList next(int i, NDList state) {
        double sigma = schedule.sigma(timesteps[i]);
        context.checkpoint();
        NDArray noisy =
            model.encode(state.get(0)).add(noise(context, work, model, chains).mul(sigma));
        context.checkpoint();
        NDArray clean = model.denoise(noisy, sigma, context.conditioning());
        context.checkpoint();
        NDArray u = model.decode(clean);
        NDArray residual = y.residual(u);
        context.step(i + 1, timesteps.length, y.rms(residual));
        double[] gamma = ProxDiffusion.weights(y, y.meanSquares(residual), sigma, rowSquare);
        NDArray x = y.proximal(operator, u, gamma);
        context.estimate(i + 1, x);
        return new NDList(x);
      }

      @Override
      public NDArray pictures(NDList state) {
        return reencoded(state.get(0), model, context);
      }
    };
  }
}
