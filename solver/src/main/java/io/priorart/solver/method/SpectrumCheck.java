package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Problem;
import io.priorart.solver.TensorScope;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Whether a measurement is what the declared operator makes of a photograph, told from its spectrum
 * before anything is solved.
 *
 * <p>A residual cannot tell: what a blur of 5 pixels left is exactly what a blur of 3 leaves of a
 * picture blurred by 4 before, so a solve with the wrong operator ends with as good a residual as
 * with the right one. But that picture is no photograph. Photographs have power spectra {@code S(k)
 * ~ |k|^slope} with a slope near -2 at all scales (Field, JOSA A 1987; Ruderman, Network 1994); a
 * blur that nobody declared makes the spectrum fall faster, a blur declared too strong makes it
 * rise.
 *
 * <p>The estimate takes {@code b = A^T y} in the basis of the orthonormal cosine transform, where
 * the operators it can judge are diagonal with {@code g = |A|^2}: {@code E b^2 = g^2 S + sigma^2
 * g}, so over a band of frequencies {@code S = sum(b^2 - sigma^2 g) / sum(g^2)}. Both sums of
 * {@code g} come from two probes of random signs {@code s}: {@code g = s . (A^T A s)} entry by
 * entry, equal for both probes exactly when {@code A^T A} is diagonal. Bands count from the lowest
 * up to the first that the operator mixes with others, or where the noise hides the picture; the
 * slope is fitted to the upper half of them in log-log. A measurement with missing entries, which
 * mix all frequencies, is not tried; an operator that mixes them otherwise or leaves fewer than six
 * bands cannot be judged, and neither can a direction: motion blur looks alike at any length.
 *
 * @param slope of the power spectrum; NaN when it cannot be judged
 * @param bands that it was fitted to, the upper half of those that count
 * @param judgement of the slope
 */
@SuppressWarnings("try") // a TensorScope works by being open
public record SpectrumCheck(double slope, int bands, Judgement judgement) {
  /**
   * Of photographs measured through the operator that was declared, 96 of 100 lie between {@code
   * -3.6} and {@code -1.0} (120 training photographs, blur of 1.5, 3 and 6 pixels, super-resolution
   * by 2 and 4, sigma 0.01; the same estimate in numpy). Of a blur of 5 declared as 3, 96 of 100
   * lie between -6.5 and -4.0, of 8 declared as 6 between -6.5 and -3.6, of 2 declared as 3 between
   * -0.4 and 2.5.
   */
  public static final double STEEPEST = -3.6;

  /** As {@link #STEEPEST}, at the other end. */
  public static final double FLATTEST = -0.8;

  private static final double LOWEST_CYCLES = 2;
  private static final double BAND_RATIO = 1.303;
  private static final int MIN_BANDS = 6;
  private static final double MIN_COHERENCE = 0.9;
  private static final double SIGNIFICANCE = 4;

  /** What a slope says. */
  public enum Judgement {
    /** As a photograph's. */
    PLAUSIBLE,
    /** The measurement is smoother than the declared operator makes photographs. */
    TOO_SMOOTH,
    /** The measurement has more detail than the declared operator lets through. */
    TOO_DETAILED,
    /** The operator, the noise or the size leaves nothing to judge. */
    UNKNOWN
  }

  private static final SpectrumCheck NOTHING = new SpectrumCheck(Double.NaN, 0, Judgement.UNKNOWN);

  /** Checks a problem's measurement; costs two applications of the operator. */
  public static SpectrumCheck of(Problem problem, NDManager manager) {
    if (!(problem.operator() instanceof LinearOperator operator) || hasGaps(operator)) {
      return NOTHING;
    }
    Shape image = operator.imageShape();
    int height = Math.toIntExact(image.get(1));
    int width = Math.toIntExact(image.get(2));
    try (NDManager work = manager.newSubManager();
        TensorScope scope = new TensorScope()) {
      Observation y = new Observation(problem, work, 1);
      CosineTransform transform = new CosineTransform(work, height, width);
      NDArray back = operator.adjoint(y.residualOf(y.measurement().zerosLike()));
      double[] bands =
          levels(
              transform.forward(back).toFloatArray(),
              gains(operator, transform, work, 1),
              gains(operator, transform, work, 2),
              y.sigma() * y.sigma(),
              height,
              width);
      int from = bands.length / 2;
      if (bands.length < MIN_BANDS) {
        return NOTHING;
      }
      double slope = slope(Arrays.copyOfRange(bands, from, bands.length)) / Math.log(BAND_RATIO);
      return new SpectrumCheck(slope, bands.length - from, judge(slope));
    }
  }

  private static boolean hasGaps(LinearOperator operator) {
    return operator.observedCount() < operator.measurementShape().size();
  }

  private static Judgement judge(double slope) {
    if (slope < STEEPEST) {
      return Judgement.TOO_SMOOTH;
    }
    return slope > FLATTEST ? Judgement.TOO_DETAILED : Judgement.PLAUSIBLE;
  }

  /** {@code s . T A^T A T^t s} for signs {@code s}. */
  private static float[] gains(
      LinearOperator operator, CosineTransform transform, NDManager manager, long seed) {
    Shape shape = new Shape(1).addAll(operator.imageShape());
    SplittableRandom random = new SplittableRandom(seed);
    float[] signs = new float[Math.toIntExact(shape.size())];
    for (int i = 0; i < signs.length; i++) {
      signs[i] = random.nextBoolean() ? 1 : -1;
    }
    NDArray probe = transform.inverse(manager.create(signs, shape));
    float[] gains = transform.forward(operator.adjoint(operator.apply(probe))).toFloatArray();
    for (int i = 0; i < gains.length; i++) {
      gains[i] *= signs[i];
    }
    return gains;
  }

  /** Log power of the picture in each band that counts, all channels together. */
  private static double[] levels(
      float[] b, float[] g1, float[] g2, double variance, int height, int width) {
    double lowest = 2 * Math.PI * LOWEST_CYCLES / Math.min(height, width);
    int most = (int) Math.floor(Math.log(Math.PI / lowest) / Math.log(BAND_RATIO));
    if (most < MIN_BANDS) {
      return new double[0];
    }
    double[] power = new double[most];
    double[] gain = new double[most];
    double[] gainSquare = new double[most];
    double[] gainSquares = new double[most];
    for (int i = 0; i < b.length; i++) {
      double v = Math.PI * (i / width % height) / height;
      double h = Math.PI * (i % width) / width;
      double k = Math.hypot(v, h);
      int band = (int) Math.floor(Math.log(k / lowest) / Math.log(BAND_RATIO));
      if (k >= lowest && band < most) {
        power[band] += (double) b[i] * b[i];
        gain[band] += (g1[i] + g2[i]) / 2;
        gainSquare[band] += (double) g1[i] * g2[i];
        gainSquares[band] += ((double) g1[i] * g1[i] + (double) g2[i] * g2[i]) / 2;
      }
    }
    List<Double> levels = new ArrayList<>();
    for (int i = 0; i < most; i++) {
      double excess = power[i] - variance * gain[i];
      boolean mixed = gainSquare[i] < MIN_COHERENCE * gainSquares[i];
      // a noise power sum of variance sigma^2 g has the deviation sigma^2 sqrt(2 sum g^2)
      if (mixed || !(excess > SIGNIFICANCE * variance * Math.sqrt(2 * gainSquare[i]))) {
        break;
      }
      levels.add(Math.log(excess / gainSquare[i]));
    }
    return levels.stream().mapToDouble(Double::doubleValue).toArray();
  }

  /** Least-squares slope of values at 0, 1, 2, ... */
  private static double slope(double[] values) {
    double centre = (values.length - 1) / 2.0;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < values.length; i++) {
      sum += (i - centre) * values[i];
      squares += (i - centre) * (i - centre);
    }
    return sum / squares;
  }
}
