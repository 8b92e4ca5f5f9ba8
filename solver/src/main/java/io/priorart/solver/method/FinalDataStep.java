package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.TensorScope;

/**
 * The data step that ends a solve by default: {@code x' = argmin_u 1/2 ||u - x||^2 + gamma/2 ||A u
 * - y||^2} with the smallest {@code gamma} that brings {@code RMS(y - A x')} down to {@code
 * sigma_eff} (the discrepancy principle; Morozov 1966). A decoder cannot explain a measurement
 * better than it reconstructs, this step can, and it moves the picture no further than the noise
 * demands. For noise-free problems {@code sigma_eff} is the quantisation's share, at least 1e-4
 * ({@link Problem#effectiveSigma}), so the fit is exact to any printed digit without an infinite
 * weight.
 */
@SuppressWarnings("try") // a TensorScope works by being open
public final class FinalDataStep {
  private static final double MAX_GAMMA = 1e8;
  private static final double TOLERANCE = 5e-3;
  private static final int MAX_TRIES = 60;

  private FinalDataStep() {}

  /**
   * What the step did.
   *
   * @param picture {@code [1, C, H, W]}, owned by the argument's manager; a copy when nothing had
   *     to move
   * @param ratioBefore {@code RMS(y - A x)/sigma_eff} of the argument
   * @param ratioAfter of {@code picture}
   * @param gamma the weight found; 0 when the argument already fits
   */
  public record Result(NDArray picture, double ratioBefore, double ratioAfter, double gamma) {}

  /**
   * {@code RMS(y - A x)/sigma_eff} over the observed entries.
   *
   * @param x {@code [1, C, H, W]} in [-1,1]
   */
  public static double ratio(Problem problem, NDArray x) {
    try (TensorScope scope = new TensorScope()) {
      return ratio(new Observation(problem, x.getManager(), 1), x);
    }
  }

  private static double ratio(Observation y, NDArray x) {
    try (TensorScope scope = new TensorScope()) {
      return y.rms(y.residual(x)) / y.sigma();
    }
  }

  /**
   * Takes the step.
   *
   * @param x {@code [1, C, H, W]} in [-1,1], not changed
   * @throws PriorArtException FAILED_PRECONDITION for an operator that is not linear; DIVERGED when
   *     {@code x} is not finite
   */
  public static Result apply(Problem problem, NDArray x) {
    LinearOperator operator = problem.linearOperator();
    try (TensorScope scope = new TensorScope()) {
      Observation y = new Observation(problem, x.getManager(), 1);
      double before = ratio(y, x);
      double gamma = weight(operator, y, x, before);
      NDArray picture = gamma == 0 ? x.duplicate() : operator.proximal(x, y.measurement(), gamma);
      double after = ratio(y, picture);
      return new Result(Outcome.finite(scope.keep(picture)), before, after, gamma);
    }
  }

  /** How far a picture was moved: {@code RMS(a - b)} over all pixels, internal [-1,1] scale. */
  public static double distance(NDArray a, NDArray b) {
    try (TensorScope scope = new TensorScope()) {
      return Math.sqrt(Observation.sumsOfSquares(a.sub(b))[0] / a.size());
    }
  }

  /** The weight that brings one picture to the noise level; 0 when it is there. */
  static double weight(LinearOperator operator, Observation y, NDArray x) {
    return weight(operator, y, x, ratio(y, x));
  }

  private static double weight(LinearOperator operator, Observation y, NDArray x, double before) {
    if (!Double.isFinite(before)) {
      throw new PriorArtException(ErrorKind.DIVERGED, "a data step met non-finite values");
    }
    return before <= 1 ? 0 : search(operator, y, x, before);
  }

  /**
   * The root of {@code log ratio(exp u)}, which falls in {@code u = log gamma}: bracketed by
   * growing steps, then false position in the Illinois form. Returns the largest weight when even
   * that leaves a larger residual.
   */
  private static double search(LinearOperator operator, Observation y, NDArray x, double before) {
    // For an orthonormal-row A the answer is exact: ratio = before / (1 + gamma ||A||^2).
    double norm = operator.norm();
    double high = Math.log(Math.min(MAX_GAMMA, Math.max(1e-6, (before - 1) / (norm * norm))));
    double fHigh = logRatio(operator, y, x, high);
    if (Math.abs(fHigh) <= TOLERANCE) {
      return Math.exp(high);
    }
    double low = high;
    double fLow = fHigh;
    double ceiling = Math.log(MAX_GAMMA);
    for (double step = 1; fHigh > 0 && high < ceiling; step *= 2) {
      low = high;
      fLow = fHigh;
      high = Math.min(ceiling, high + step);
      fHigh = logRatio(operator, y, x, high);
    }
    if (fHigh > 0) {
      return MAX_GAMMA;
    }
    for (double step = 1; fLow < 0; step *= 2) {
      high = low;
      fHigh = fLow;
      low -= step;
      fLow = low < -60 ? Math.log(before) : logRatio(operator, y, x, low);
    }
    int kept = 0;
    for (int i = 0; i < MAX_TRIES; i++) {
      double middle = (low * fHigh - high * fLow) / (fHigh - fLow);
      double f = logRatio(operator, y, x, middle);
      if (Math.abs(f) <= TOLERANCE) {
        return Math.exp(middle);
      }
      // Illinois: an end that stays twice in a row counts half, or false position would creep.
      if (f > 0) {
        low = middle;
        fLow = f;
        fHigh /= kept == 1 ? 2 : 1;
        kept = 1;
      } else {
        high = middle;
        fHigh = f;
        fLow /= kept == -1 ? 2 : 1;
        kept = -1;
      }
    }
    return Math.exp(high);
  }

  private static double logRatio(
      LinearOperator operator, Observation y, NDArray x, double logGamma) {
    try (TensorScope scope = new TensorScope()) {
      NDArray u = operator.proximal(x, y.measurement(), Math.exp(logGamma));
      return Math.log(ratio(y, u));
    }
  }
}
