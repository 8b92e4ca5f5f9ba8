package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

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
  private static final double SPREAD = 0.2;

  /** Two pixels, identity codec, exact denoiser. */
  private static final class Mixture extends GaussianLatentModel {
    Mixture(NDManager manager) {
      super(manager, new double[2], Matrices.diagonal(2, i -> 1), Matrices.diagonal(2, i -> 1));
    }

    @Override
    public Shape imageShape() {
      return new Shape(1, 1, 2);
    }

    @Override
    public Shape latentShape() {
      return new Shape(1, 1, 2);
    }

    @Override
    public NDArray encode(NDArray x) {
      return x.duplicate();
    }

    @Override
    public NDArray decode(NDArray z) {
      return z.duplicate();
    }

    @Override
    public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
      float[] values = z.toFloatArray();
      double v = SPREAD * SPREAD + sigma * sigma;
      double gain = SPREAD * SPREAD / v;
      for (int i = 0; i < values.length; i += 2) {
        // log odds of the modes: 2 <mode, z> / v
        double odds = (2 * values[i] + values[i + 1]) / v;
        double balance = Math.tanh(odds / 2);
        values[i] = (float) (gain * values[i] + (1 - gain) * balance);
        values[i + 1] = (float) (gain * values[i + 1] + (1 - gain) * balance * 0.5);
      }
      return z.getManager().create(values, z.getShape());
    }
  }

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
    return new double[] {count / (double) CHAINS, sum / count};
  }

  /** Where the chains end, {@code [CHAINS, 2]}. */
  private static float[] chains(double y, double sigma) {
    DenseOperator first =
        new DenseOperator(new Shape(1, 1, 2), new Shape(1), new double[][] {{1, 0}});
    Problem problem =
        new Problem(
            first,
            new HostTensor(new Shape(1, 1), new float[] {(float) y}),
            new Noise.Gaussian(sigma / 2),
            0);
    try (NDManager manager = NDManager.newBaseManager()) {
      return new ProxDiffusion(ProxDiffusion.METHOD.defaults())
          .solve(problem, new Mixture(manager), SolveContext.of(manager, 3), CHAINS)
          .toFloatArray();
    }
  }

  /** Sliced Wasserstein-1 distance over 32 directions of two samples of equal size. */
  private static double slicedWasserstein(float[] a, float[] b) {
    double sum = 0;
    for (int d = 0; d < 32; d++) {
      double angle = Math.PI * d / 32;
      double[] p = projected(a, angle);
      double[] q = projected(b, angle);
      for (int i = 0; i < p.length; i++) {
        sum += Math.abs(p[i] - q[i]) / p.length / 32;
      }
    }
    return sum;
  }

  private static double[] projected(float[] x, double angle) {
    double[] p = new double[x.length / 2];
    for (int i = 0; i < p.length; i++) {
      p[i] = Math.cos(angle) * x[2 * i] + Math.sin(angle) * x[2 * i + 1];
    }
    Arrays.sort(p);
    return p;
  }

  /**
   * Half the points around {@code (first, 0.5)}, half around its opposite; in both {@code
   * firstSpread} and the prior's spread.
   */
  private static float[] exactSamples(double first, double firstSpread, double share) {
    SplittableRandom random = new SplittableRandom(8);
    float[] x = new float[2 * CHAINS];
    for (int i = 0; i < CHAINS; i++) {
      int sign = i < share * CHAINS ? 1 : -1;
      x[2 * i] = (float) (sign * first + firstSpread * random.nextGaussian());
      x[2 * i + 1] = (float) (sign * 0.5 + SPREAD * random.nextGaussian());
    }
    return x;
  }

  @Test
  void chainsLieWhereThePosteriorLies() {
    // each mode's first coordinate times the likelihood N(0, 0.5^2)
    double precision = 1 / (SPREAD * SPREAD) + 1 / 0.25;
    double first = 1 / (SPREAD * SPREAD) / precision;
    double spread = Math.sqrt(1 / precision);
    float[] exact = exactSamples(first, spread, 0.5);
    double found = slicedWasserstein(chains(0, 0.5), exact);
    double oneMode = slicedWasserstein(exactSamples(first, spread, 1), exact);
    double middle = slicedWasserstein(new float[2 * CHAINS], exact);
    assertTrue(found < 0.2 * Math.min(oneMode, middle), found + ", " + oneMode + ", " + middle);
  }

  @ParameterizedTest
  @EnumSource(Sampler.class)
  void samplersDrawBothModesOfThePrior(Sampler sampler) {
    try (NDManager manager = NDManager.newBaseManager()) {
      SolveContext context = SolveContext.of(manager, 4);
      NDArray noise = context.noise().normal(manager, new Shape(CHAINS, 1, 1, 2));
      float[] x = sampler.sample(new Mixture(manager), noise, 100, context).toFloatArray();
      int count = 0;
      for (int i = 0; i < x.length; i += 2) {
        count += x[i] > 0 ? 1 : 0;
      }
      assertEquals(0.5, count / (double) CHAINS, 0.05 + 3 * 0.5 / Math.sqrt(CHAINS));
      double distance = slicedWasserstein(x, exactSamples(1, SPREAD, 0.5));
      assertTrue(distance < 0.12, "" + distance);
    }
  }

  /** The posterior weight of the mode (1, 0.5). */
  private static double exact(double y, double sigma) {
    return 1 / (1 + Math.exp(-2 * y / (sigma * sigma + SPREAD * SPREAD)));
  }

  @Test
  void keepsBothModesWhenTheMeasurementIsNeutral() {
    double[] found = solve(0, 0.5);
    assertEquals(0.5, found[0], 0.05 + 3 * 0.5 / Math.sqrt(CHAINS));
    assertEquals(0.5, found[1], 0.05);
  }

  @Test
  void findsTheModeThatTheMeasurementNames() {
    assertEquals(1, exact(0.9, 0.2), 1e-6);
    double[] found = solve(0.9, 0.2);
    assertTrue(found[0] > 0.95, "share " + found[0]);
    assertEquals(0.5, found[1], 0.05);
  }

  @Test
  void leansTheRightWayInBetweenButLessThanThePosterior() {
    assertEquals(0.984, exact(0.6, 0.5), 1e-3);
    double found = solve(0.6, 0.5)[0];
    assertTrue(found > 0.7 && found < 0.984, "share " + found);
  }
}
