package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import org.junit.jupiter.api.Test;

/** {@code cdim} with counted light: each entry of the measurement by its own variance. */
class CdimPoissonTest {
  private static final double PEAK = 400;
  private static final Cdim CDIM = new Cdim(Cdim.METHOD.presets().get("fast"));

  private final GaussianOracle oracle = new GaussianOracle(0);

  private float[] solve(Problem problem) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return CDIM.solve(problem, oracle.model(manager, true), SolveContext.of(manager, 5))
          .toFloatArray();
    }
  }

  private static HostTensor measurement(double[] intensities) {
    float[] y = new float[GaussianOracle.M];
    for (int i = 0; i < y.length; i++) {
      y[i] = (float) (2 * intensities[i] - 1);
    }
    return new HostTensor(new Shape(1).addAll(GaussianOracle.MEASURED), y);
  }

  /** With the rows of a dense operator divided by hand. */
  @Test
  void entriesAreWeighedByTheirOwnVariance() {
    double[] intensities = {0.05, 0.9, 0.4, 0.7, 0.2, 0.5, 0.6, 0.3};
    Problem problem =
        new Problem(oracle.operator(), measurement(intensities), new Noise.Poisson(PEAK), 0);
    double mean = 0;
    for (double v : intensities) {
      mean += v / PEAK / GaussianOracle.M;
    }
    assertEquals(Math.sqrt(mean), problem.sigma(), 1e-7);
    double[][] rows = new double[GaussianOracle.M][];
    float[] y = new float[GaussianOracle.M];
    for (int i = 0; i < GaussianOracle.M; i++) {
      double w = Math.sqrt(mean / (intensities[i] / PEAK));
      rows[i] = Matrices.scaled(oracle.a[i], w);
      y[i] = (float) (w * (2 * intensities[i] - 1));
    }
    Problem byHand =
        new Problem(
            new DenseOperator(GaussianLatentModel.IMAGE, GaussianOracle.MEASURED, rows),
            new HostTensor(new Shape(1).addAll(GaussianOracle.MEASURED), y),
            new Noise.Gaussian(Math.sqrt(mean)),
            0);
    float[] found = solve(problem);
    assertArrayEquals(solve(byHand), found, 1e-3f);
    // that it matters: not what one sigma for all would give
    float[] even =
        solve(
            new Problem(
                oracle.operator(),
                measurement(intensities),
                new Noise.Gaussian(Math.sqrt(mean)),
                0));
    double most = 0;
    for (int i = 0; i < even.length; i++) {
      most = Math.max(most, Math.abs(even[i] - found[i]));
    }
    assertTrue(most > 0.02, "differs by " + most);
  }
}
