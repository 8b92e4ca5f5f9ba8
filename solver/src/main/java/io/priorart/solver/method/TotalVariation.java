package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
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
 * Isotropic total variation (Rudin, Osher and Fatemi 1992) with colour channels coupled:
 *
 * <pre>
 *   x = argmin  strength sigma_eff sum_ij |grad x_ij|_2 + 1/2 ||A x - y||^2
 * </pre>
 *
 * with forward differences, zero across the far borders, and the norm over both directions and all
 * channels of a pixel. Solved by the primal-dual iteration of Chambolle and Pock (JMIV 2011,
 * algorithm 1, theta = 1) with the operator's own proximal map:
 *
 * <pre>
 *   p &lt;- project( p + s grad xbar ) on |p_ij| &lt;= w,     w = strength sigma_eff
 *   x' = prox_{tau/2 ||A . - y||^2} ( x + tau div p ),    xbar = 2 x' - x
 * </pre>
 *
 * where {@code tau s ||grad||^2 <= 1} with {@code ||grad||^2 <= 8}. {@code tau} is set so that a
 * primal step of one contrast ({@code 1}) matches a dual step of {@code w}; it does not change
 * where the iteration ends. Starts at the proximal map of mid-grey.
 */
public final class TotalVariation implements InverseSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "tv",
          "Isotropic colour total variation by Chambolle and Pock's primal-dual iteration",
          List.of(
              new Citation(
                  "rudin1992",
                  "Rudin, Leonid I. and Osher, Stanley and Fatemi, Emad",
                  "Nonlinear Total Variation Based Noise Removal Algorithms",
                  Citation.Kind.JOURNAL,
                  "Physica D",
                  1992,
                  ""),
              new Citation(
                  "chambolle2011",
                  "Chambolle, Antonin and Pock, Thomas",
                  "A First-Order Primal-Dual Algorithm for Convex Problems with Applications to Imaging",
                  Citation.Kind.JOURNAL,
                  "JMIV",
                  2011,
                  "")),
          Set.of(Need.LINEAR, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(0.3, 200), "paper", new Spec(0.3, 1000)),
          TotalVariation::new);

  /**
   * Parameters.
   *
   * @param strength weight of the variation in noise levels
   * @param iterations primal-dual iterations
   */
  public record Spec(
      @Parameter(
              doc = "Weight of the variation",
              unit = "standard deviations of the noise",
              min = 0.001,
              max = 1000)
          double strength,
      @Parameter(doc = "Primal-dual iterations", min = 1, max = 100_000) int iterations) {}

  private final Spec spec;

  public TotalVariation(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  public NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    LinearOperator operator = problem.linearOperator();
    try (NDManager work = context.manager().newSubManager()) {
      Observation y = new Observation(problem, work, 1);
      double weight = spec.strength() * y.sigma();
      // In units where the dual ball has radius 1: step sizes 1/(sqrt(8) weight) and weight/sqrt(8)
      // would balance
      // a contrast of 1; a tenth of the contrast is what changes in practice.
      double tau = 0.1 / (Math.sqrt(8) * weight);
      double dual = 1 / (8 * tau);
      NDArray x = operator.proximal(grey(work, operator), y.measurement(), 1 / (weight * weight));
      NDArray bar = x.duplicate();
      NDArray down = x.zerosLike();
      NDArray right = x.zerosLike();
      for (int i = 0; i < spec.iterations(); i++) {
        try (TensorScope scope = new TensorScope()) {
          NDArray d = down.add(difference(bar, 2).mul(dual));
          NDArray r = right.add(difference(bar, 3).mul(dual));
          NDArray length = d.square().add(r.square()).sum(new int[] {1}, true).sqrt();
          NDArray shrink = length.div(weight).maximum(1);
          d = d.div(shrink);
          r = r.div(shrink);
          NDArray step = x.add(divergence(d, 2).add(divergence(r, 3)).mul(tau));
          NDArray next = operator.proximal(step, y.measurement(), tau);
          NDArray nextBar = next.mul(2).sub(x);
          context.step(i + 1, spec.iterations(), y.rms(y.residual(next)));
          context.estimate(i + 1, next);
          new NDList(x, bar, down, right).close();
          x = scope.keep(next);
          bar = scope.keep(nextBar);
          down = scope.keep(d);
          right = scope.keep(r);
        }
      }
      Outcome.finite(x).attach(context.manager());
      return x;
    }
  }

  private static NDArray grey(NDManager manager, LinearOperator operator) {
    return manager.zeros(operator.imageShape()).expandDims(0);
  }

  /** {@code x_{k+1} - x_k} along an axis of {@code [1, C, H, W]}, 0 at the end. */
  static NDArray difference(NDArray x, int axis) {
    long n = x.getShape().get(axis);
    if (n == 1) {
      return x.zerosLike();
    }
    NDArray inner = slice(x, axis, 1, n).sub(slice(x, axis, 0, n - 1));
    return inner.concat(slice(x, axis, 0, 1).zerosLike(), axis);
  }

  /**
   * Minus the adjoint of {@link #difference}: {@code p_k - p_{k-1}}, {@code p_{-1} = p_{n-1} = 0}.
   */
  static NDArray divergence(NDArray p, int axis) {
    long n = p.getShape().get(axis);
    if (n == 1) {
      return p.zerosLike();
    }
    NDArray head = slice(p, axis, 0, n - 1);
    NDArray zero = slice(p, axis, 0, 1).zerosLike();
    return head.concat(zero, axis).sub(zero.concat(head, axis));
  }

  private static NDArray slice(NDArray x, int axis, long from, long to) {
    return x.get((axis == 2 ? ":,:," : ":,:,:,") + from + ":" + to);
  }
}
