package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.SolveContext;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * {@link ProxDiffusion} on a prior with two equally likely modes at {@code +-(1, 0.5)} of spread
 * 0.2, of which the first coordinate is measured.
 *
 * <p>What holds: both modes are kept when the measurement does not tell them apart, the right one
 * is found when it does, and in between the weight leans the right way. What does not: a
 * measurement that tells them apart weakly leans it less than the posterior would (0.85 instead of
 * 0.98 at 20 steps), because the data step knows nothing of the denoiser's Jacobian, which is large
 * exactly where a chain chooses its mode. Mode weights within 0.05 in general need a solver with
 * that Jacobian.
 */
class GaussianMixtureTest {
  private static final int CHAINS = 400;

  /**
   * Solves for a measurement of the first coordinate.
   *
   * @return the share of chains in the mode (1, 0.5), and the mean of the unmeasured coordinate
   *     there
   */
  private static double[] solve(double y, double sigma) {
    float[] x = chains(y, sigma);
    int count = 0;
    double sum = 0;
    for (int i = 0; i < x.length; i += 2) {
      if (x[i] + 0.5 * x[i + 1] > 0) {
        count++;
        sum += x[i + 1];
      }
    }
    return new double[] {TwoModes.share(x), sum / count};
  }

  /** Where the chains end, {@code [CHAINS, 2]}. */
  private static float[] chains(double y, double sigma) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return new ProxDiffusion(ProxDiffusion.METHOD.defaults())
          .solve(
              TwoModes.problem(y, sigma),
              new TwoModes(manager, false),
              SolveContext.of(manager, 3),
              CHAINS)
          .toFloatArray();
    }
  }

  @Test
  void chainsLieWhereThePosteriorLies() {
    float[] exact = TwoModes.posterior(0, 0.5, CHAINS, new SplittableRandom(8));
    double found = TwoModes.slicedWasserstein(chains(0, 0.5), exact);
    // here the other mode is as good as gone
    float[] single = TwoModes.posterior(0.9, 0.4, CHAINS, new SplittableRandom(9));
    double oneMode = TwoModes.slicedWasserstein(single, exact);
    double middle = TwoModes.slicedWasserstein(new float[2 * CHAINS], exact);
    assertTrue(found < 0.2 * Math.min(oneMode, middle), found + ", " + oneMode + ", " + middle);
  }

  @ParameterizedTest
  @EnumSource(Sampler.class)
  void samplersDrawBothModesOfThePrior(Sampler sampler) {
    try (NDManager manager = NDManager.newBaseManager()) {
      SolveContext context = SolveContext.of(manager, 4);
      NDArray noise = context.noise().normal(manager, new Shape(CHAINS, 1, 1, 2));
      float[] x = sampler.sample(new TwoModes(manager, false), noise, 100, context).toFloatArray();
      int count = 0;
      for (int i = 0; i < x.length; i += 2) {
        count += x[i] > 0 ? 1 : 0;
      }
      assertEquals(0.5, count / (double) CHAINS, 0.05 + 3 * 0.5 / Math.sqrt(CHAINS));
      double distance =
          TwoModes.slicedWasserstein(x, TwoModes.prior(CHAINS, new SplittableRandom(8)));
      assertTrue(distance < 0.12, "" + distance);
    }
  }

  @Test
  void keepsBothModesWhenTheMeasurementIsNeutral() {
    double[] found = solve(0, 0.5);
    assertEquals(0.5, found[0], 0.05 + 3 * 0.5 / Math.sqrt(CHAINS));
    assertEquals(0.5, found[1], 0.05);
  }

  static Stream<ClosedFormTable.Setting> everySolver() {
    return ClosedFormTable.settings().stream().filter(ClosedFormTable.Setting::ofModes);
  }

  /**
   * What the page of closed forms shows of every solver: both modes where the measurement is
   * neutral, but for the one best picture of {@code dpir}, and the right one where it tells.
   */
  @ParameterizedTest
  @MethodSource("everySolver")
  void everySolverKeepsAndFindsTheModes(ClosedFormTable.Setting solver) {
    double likely = TwoModes.share(solver.modes(0.9, 0.2, CHAINS));
    assertTrue(likely > 0.93, "told apart: " + likely);
    if (solver.method() != Dpir.METHOD) {
      double even = TwoModes.share(solver.modes(0, 0.5, CHAINS));
      assertEquals(0.5, even, 0.05 + 3 * 0.5 / Math.sqrt(CHAINS), "neutral");
    }
  }

  @Test
  void findsTheModeThatTheMeasurementNames() {
    assertEquals(1, TwoModes.weight(0.9, 0.2), 1e-6);
    double[] found = solve(0.9, 0.2);
    assertTrue(found[0] > 0.95, "share " + found[0]);
    assertEquals(0.5, found[1], 0.05);
  }

  @Test
  void leansTheRightWayInBetweenButLessThanThePosterior() {
    assertEquals(0.984, TwoModes.weight(0.6, 0.5), 1e-3);
    double found = solve(0.6, 0.5)[0];
    assertTrue(found > 0.7 && found < 0.984, "share " + found);
  }
}
