package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * {@code x = A+ y}: the smallest picture (closest to mid-grey) among those that fit best, with
 * singular values below {@code rcond} times the largest treated as zero ({@link
 * LinearOperator#pseudoInverse}). What was not measured stays grey.
 */
public final class PseudoInverse implements InverseSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "pseudo-inverse",
          "The truncated pseudo-inverse of the operator; unmeasured parts stay grey",
          List.of(),
          Set.of(Need.LINEAR),
          Spec.class,
          Map.of("fast", new Spec(0.1), "paper", new Spec(0.1)),
          PseudoInverse::new);

  /**
   * Parameters.
   *
   * @param rcond singular values below this share of the largest are dropped
   */
  public record Spec(
      @Parameter(
              doc = "Singular values below this share of the largest count as zero",
              min = 1e-6,
              max = 0.999)
          double rcond) {}

  private final Spec spec;

  public PseudoInverse(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  public NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    LinearOperator operator = problem.linearOperator();
    try (NDManager work = context.manager().newSubManager()) {
      Observation y = new Observation(problem, work, 1);
      context.checkpoint();
      NDArray x = operator.pseudoInverse(y.measurement(), spec.rcond());
      context.step(1, 1, y.rms(y.residual(x)));
      Outcome.finite(x).attach(context.manager());
      return x;
    }
  }
}
