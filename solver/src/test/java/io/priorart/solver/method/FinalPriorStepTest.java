package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.Noise;
import io.priorart.solver.Problem;
import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;

/** Pictures measured by the identity: the denoiser at sigma is their posterior's mean. */
class FinalPriorStepTest {
  private static final double SIGMA = 0.1;
  private static final Shape SHAPE = new Shape(1, 4, 4);
  private static final double[] MEAN = Matrices.normal(new SplittableRandom(7), 16);

  /** Pictures with independent pixels of these variances; no proximal operator. */
  private static GaussianLatentModel model(
      NDManager manager, IntToDoubleFunction variance, boolean pixels) {
    double[][] identity = Matrices.diagonal(16, i -> 1);
    return new GaussianLatentModel(
        manager, MEAN, Matrices.diagonal(16, variance::applyAsDouble), identity, pixels) {
      @Override
      public LearnedProximal proximal() {
        return null;
      }
    };
  }

  private static Problem problem(double[] y, Noise noise) {
    return new Problem(
        new DenseOperator(SHAPE, SHAPE, Matrices.diagonal(16, i -> 1)),
        new HostTensor(new Shape(1).addAll(SHAPE), Matrices.floats(y)),
        noise,
        0);
  }

  /** The measurement itself as the estimate, which is all of its noise. */
  private static void check(IntToDoubleFunction variance, double level) {
    SplittableRandom random = new SplittableRandom(3);
    double[] truth = MEAN.clone();
    double[] y = new double[16];
    double[] expected = new double[16];
    for (int i = 0; i < 16; i++) {
      double v = variance.applyAsDouble(i);
      truth[i] += Math.sqrt(v) * Matrices.normal(random, 1)[0];
      y[i] = truth[i] + (i % 2 == 0 ? SIGMA : -SIGMA);
      expected[i] = MEAN[i] + v / (v + level * level) * (y[i] - MEAN[i]);
    }
    try (NDManager manager = NDManager.newBaseManager()) {
      Problem problem = problem(y, new Noise.Gaussian(SIGMA / 2));
      NDArray x = problem.measurement().to(manager);
      FinalPriorStep.Result result =
          FinalPriorStep.apply(problem, x, model(manager, variance, true), Conditioning.NONE);
      assertEquals(level, result.sigma(), 1e-12);
      assertArrayEquals(expected, GaussianOracle.samples(result.picture())[0], 1e-5);
      assertTrue(FinalDataStep.ratio(problem, result.picture()) >= Verdict.LOWEST);
      assertEquals(2, manager.getManagedArrays().size(), "arrays left");
    }
  }

  @Test
  void anEstimateThatIsTheMeasurementBecomesThePosteriorsMean() {
    check(i -> i < 4 ? 1 : 1e-4, SIGMA);
  }

  @Test
  void theFirstLevelThatTakesTheNoiseAwayIsTaken() {
    check(i -> 0.02, 2 * SIGMA);
  }

  @Test
  void nothingIsDoneWithoutReasonOrWay() {
    try (NDManager manager = NDManager.newBaseManager()) {
      double[] y = Matrices.normal(new SplittableRandom(5), 16);
      Problem noisy = problem(y, new Noise.Gaussian(SIGMA / 2));
      NDArray x = noisy.measurement().to(manager);
      GaussianLatentModel strong = model(manager, i -> 1e-4, true);
      assertUntouched(noisy, x.add(SIGMA), strong);
      assertUntouched(problem(y, new Noise.None()), x, strong);
      assertUntouched(noisy, x, null);
      assertUntouched(noisy, x, model(manager, i -> 1e-4, false));
      // A prior that finds the noise likely.
      assertUntouched(noisy, x, model(manager, i -> 1e6, true));
    }
  }

  private static void assertUntouched(Problem problem, NDArray x, GaussianLatentModel model) {
    FinalPriorStep.Result result = FinalPriorStep.apply(problem, x, model, Conditioning.NONE);
    assertSame(x, result.picture());
    assertEquals(0, result.sigma());
  }
}
