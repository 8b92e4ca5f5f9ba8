package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Learned proximal networks (Fang et al., "What's in a Prior? Learned Proximal Networks for Inverse
 * Problems", ICLR 2024, arXiv 2310.14344, algorithm 2): the alternating direction method of
 * multipliers, whose proximal step of the penalty {@code R} is the network {@code f}. Minimises
 * {@code gamma/2 ||A x - y||^2 + R(x)}: from {@code u = 0} and a start {@code z},
 *
 * <pre>
 *   x = argmin_v  gamma ||A v - y||^2 + ||v - (z - u)||^2
 *   u = u + x - z
 *   z = f(x + u)
 * </pre>
 *
 * with {@code gamma = dataWeight sigma^2/sigma_y^2}, {@code sigma} the noise that {@code f} was
 * trained on: {@code R/sigma^2} stands for {@code -log p}, so 1 would be the maximum a posteriori.
 * The result is the last {@code z}. {@code f} is a proximal operator by its construction, so the
 * iterates converge to a stationary point (theorem 4.1 there). Nothing is drawn: all samples are
 * equal.
 *
 * <p>The released code's weights of the data term, {@code gamma} of 10 and 40, and networks for
 * noise of 0.05 and 0.1 are set task by task; with each task's noise they all are a {@code
 * dataWeight} of 1.6, which preset {@code paper} has.
 *
 * <p>Deviations, and why: {@code gamma} follows the noise. The start is the {@link Wiener}
 * estimate, as for {@link Dpir}, where the paper takes {@code A^T y}. {@code fast} and {@code
 * inpainting} were chosen on two photographs that no figure is reported on, at noise 0.01: the
 * network knows noise of 0.1 and smooths accordingly, which what a blur lost can bear, and what is
 * known beside a gap cannot.
 */
public final class Lpn extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "lpn",
          "ADMM with a learned proximal network; needs a network of its own (`train lpn`)",
          List.of(
              new Citation(
                  "fang2024lpn",
                  "Fang, Zhenghan and Buchanan, Sam and Sulam, Jeremias",
                  "What's in a Prior? Learned Proximal Networks for Inverse Problems",
                  "ICLR",
                  2024,
                  "2310.14344")),
          Set.of(Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.PROXIMAL, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 0.005),
              "inpainting", new Spec(20, 0.1),
              "paper", new Spec(20, 1.6)),
          Lpn::new);

  /**
   * Parameters.
   *
   * @param iterations of ADMM, one evaluation each
   * @param dataWeight how far the data counts, 1 as a maximum a posteriori estimate would
   */
  public record Spec(
      @Parameter(doc = "Iterations of ADMM, one evaluation each", min = 1, max = 1000)
          int iterations,
      @Parameter(
              doc = "How far the data counts; 1 as in a maximum a posteriori estimate",
              min = 0.001,
              max = 1000)
          double dataWeight) {}

  private final Spec spec;

  public Lpn(Spec spec) {
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
    LearnedProximal f = model.proximal();
    if (f == null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: this solver needs a learned proximal operator (`train lpn`)");
    }
    Observation y = new Observation(problem, work, chains);
    double[] gamma = new double[chains];
    double ratio = f.sigma() / y.sigma();
    Arrays.fill(gamma, Math.min(MAX_GAMMA, spec.dataWeight() * ratio * ratio));
    return new Steps() {
      @Override
      public int count() {
        return spec.iterations();
      }

      /** {@code z} and {@code u}. */
      @Override
      public NDList start() {
        NDArray z = Wiener.START.estimate(problem, work, chains, context);
        return new NDList(z, z.zerosLike());
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray z = state.get(0);
        NDArray u = state.get(1);
        context.checkpoint();
        NDArray x = y.proximal(operator, z.sub(u), gamma);
        NDArray dual = u.add(x).sub(z);
        context.checkpoint();
        NDArray clean = f.apply(x.add(dual));
        context.step(i + 1, spec.iterations(), y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        return new NDList(clean, dual);
      }
    };
  }
}
