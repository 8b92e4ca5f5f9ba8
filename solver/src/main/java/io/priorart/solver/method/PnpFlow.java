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
import io.priorart.solver.TensorScope;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * PnP-Flow (Martin et al., "PnP-Flow: Plug-and-Play Image Restoration with Flow Matching", ICLR
 * 2025, arXiv 2410.02423, algorithm 3): a gradient step on the data, then back onto the flow's path
 * and along it, at times {@code t = 0, 1/n, ..., 1 - 1/n}:
 *
 * <pre>
 *   z = x + stepSize (1 - t)^alpha A^T(y - A x) / ||A||^2
 *   x = mean over draws of D_t(t z + (1 - t) xi),   xi ~ N(0, I)
 * </pre>
 *
 * With {@code sigma = (1 - t) / t}, {@code D_t(t z + (1 - t) xi) = denoise(z + sigma xi, sigma)}:
 * any prior serves, not only a flow. One step costs {@code draws} evaluations, no gradient.
 *
 * <p>Deviations, and why: the step is divided by the squared norm of A, so that one setting is
 * stable for every operator; levels are bounded by what the prior was trained on; it starts at
 * {@code A^T y}, which the first step replaces by the prior's own estimate of pure noise.
 *
 * <p>{@code fast} was chosen among steps of 1 to 1.9 and alpha of 0 to 1, for missing pixels and
 * super-resolution on one tuning photograph: a longer step and a smaller alpha were better.
 */
public final class PnpFlow extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "pnp-flow",
          "Data gradient steps along a flow's path; pixel-space priors, no network gradients",
          List.of(
              new Citation(
                  "martin2025pnpflow",
                  "Martin, Ségolène and Gagneux, Anne and Hagemann, Paul and Steidl, Gabriele",
                  "PnP-Flow: Plug-and-Play Image Restoration with Flow Matching",
                  "ICLR",
                  2025,
                  "2410.02423")),
          Set.of(Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(50, 1, 1.5, 0.1), "paper", new Spec(100, 5, 1, 0.5)),
          PnpFlow::new);

  /**
   * Parameters.
   *
   * @param steps times on the path
   * @param draws of noise averaged at each
   * @param stepSize of the data's gradient; 1 fits the strongest direction of A at once
   * @param alpha how the gradient's weight falls along the path
   */
  public record Spec(
      @Parameter(doc = "Times on the path", min = 1, max = 1000) int steps,
      @Parameter(doc = "Draws of noise averaged at each time", min = 1, max = 100) int draws,
      @Parameter(doc = "Step on the data, 2 and more may diverge", min = 0.001, max = 2)
          double stepSize,
      @Parameter(
              doc = "How the step falls with the noise, (1-t)^alpha; the paper uses 0.01 to 1",
              min = 0,
              max = 10)
          double alpha) {}

  private final Spec spec;

  public PnpFlow(Spec spec) {
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
    requirePixelSpace(model);
    Observation y = new Observation(problem, work, chains);
    double size = spec.stepSize() / y.squaredNorm(operator);
    NoiseSchedule schedule = model.schedule();
    double max = schedule.sigma(schedule.trainTimesteps() - 1);
    return new Steps() {
      @Override
      public int count() {
        return spec.steps();
      }

      @Override
      public NDList start() {
        return new NDList(operator.adjoint(y.measurement()));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray x = state.get(0);
        double t = (double) i / spec.steps();
        double sigma = Math.max(schedule.sigma(0), i == 0 ? max : Math.min(max, (1 - t) / t));
        NDArray residual = y.residual(x);
        NDArray moved = x.add(operator.adjoint(residual).mul(size * Math.pow(1 - t, spec.alpha())));
        NDArray sum =
            TensorScope.iterate(
                moved.zerosLike(),
                spec.draws(),
                (k, before) -> {
                  context.checkpoint();
                  NDArray noisy = moved.add(noise(context, work, model, chains).mul(sigma));
                  return before.add(model.denoise(noisy, sigma, context.conditioning()));
                });
        NDArray next = sum.div(spec.draws());
        context.step(i + 1, spec.steps(), y.rms(y.residual(next)));
        context.estimate(i + 1, next);
        return new NDList(next);
      }
    };
  }
}
