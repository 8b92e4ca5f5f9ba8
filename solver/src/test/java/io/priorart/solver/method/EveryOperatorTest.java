package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.operator.Operators;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Every solver with the real operators: it runs, and the final data step brings it to the noise.
 */
class EveryOperatorTest {
  private static final GaussianOracle ORACLE = new GaussianOracle(8);

  @ParameterizedTest
  @CsvSource({
    "inpainting, random, 0.5",
    "super-resolution, factor, 2",
    "gaussian-blur, sigma, 0.7",
    "motion-blur, length, 2",
    "sparse-view-ct, views, 6",
    "identity, ,"
  })
  void solversAndOperatorsGoTogether(String id, String parameter, String value) {
    ForwardOperator operator = operator(Operators.byId(id), parameter, value);
    SplittableRandom random = new SplittableRandom(1);
    double[] truth = Matrices.times(ORACLE.codec, ORACLE.priorLatent(random));
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      try (NDManager manager = NDManager.newBaseManager()) {
        NDArray x = manager.create(Matrices.floats(truth), new Shape(1, 1, 4, 4));
        NDArray y = operator.apply(x);
        y = y.add(new NoiseSource(2).normal(manager, y.getShape()).mul(0.1));
        Problem problem = new Problem(operator, HostTensor.of(y), new Noise.Gaussian(0.05), 0);
        try {
          NDArray found =
              create(method)
                  .solve(
                      problem,
                      ORACLE.model(manager, method),
                      SolverContractTest.context(method, manager, 3));
          FinalDataStep.Result result = FinalDataStep.apply(problem, found);
          assertTrue(result.ratioAfter() < 1.01, method.id() + " " + result.ratioAfter());
          assertTrue(result.ratioAfter() <= result.ratioBefore() + 1e-3, method.id());
        } catch (PriorArtException e) {
          // what cannot be: interpolating pixels that are not there or rays, and what a method
          // excludes
          assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind(), e.getMessage());
          boolean interpolates = Set.of("bicubic", "lanczos").contains(method.id());
          boolean mask = ((LinearOperator) operator).isMask();
          assertTrue(
              interpolates && Set.of("inpainting", "sparse-view-ct").contains(id)
                  || method.needs().contains(SolverMethod.Need.MASK) && !mask,
              method.id() + " " + id + ": " + e.getMessage());
        }
      }
    }
  }

  private static <P extends Record> InverseSolver create(SolverMethod<P> method) {
    return method.create().apply(method.defaults());
  }

  private static <P extends Record> ForwardOperator operator(
      OperatorKind<P> kind, String parameter, String value) {
    Map<String, String> values = parameter == null ? Map.of() : Map.of(parameter, value);
    P spec = ParameterSchema.of(kind.spec()).bind("", values, kind.defaults());
    return kind.factory().create(spec, GaussianLatentModel.IMAGE, new NoiseSource(4)).operator();
  }
}
