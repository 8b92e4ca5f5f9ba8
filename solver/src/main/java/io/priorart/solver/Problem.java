package io.priorart.solver;

import ai.djl.ndarray.types.Shape;

/**
 * An inverse problem {@code y = A(x) + noise}, checked once.
 *
 * @param operator the forward operator A
 * @param measurement y, float32 {@code [1, operator.measurementShape()...]} in [-1,1] (noise may
 *     leave it)
 * @param noise the declared noise
 * @param quantizationStep the step q of the file that the measurement came from, on the internal
 *     [-1,1] scale (2/255 for 8 bit), 0 when it was never quantised
 */
public record Problem(
    ForwardOperator operator, HostTensor measurement, Noise noise, double quantizationStep) {
  public Problem {
    Shape expected = new Shape(1).addAll(operator.measurementShape());
    if (!measurement.shape().equals(expected)) {
      throw PriorArtException.badField(
          "image", "the operator measures " + expected + ", the picture is " + measurement.shape());
    }
    for (float v : measurement.values()) {
      if (!Float.isFinite(v)) {
        throw PriorArtException.badField("image", "has pixels that are not finite numbers");
      }
    }
    if (!(quantizationStep >= 0 && quantizationStep <= 2)) {
      throw PriorArtException.badField(
          "quantizationStep", "must be 0 to 2, was " + quantizationStep);
    }
  }

  /** The same of another operator, of the same measurement. */
  public Problem withOperator(ForwardOperator other) {
    return new Problem(other, measurement, noise, quantizationStep);
  }

  /**
   * {@code sigma_eff = sqrt(sigma^2 + q^2/12)} on the internal [-1,1] scale: what the residual of
   * the true picture is expected to be, at least 1e-4 so that a noise-free, unquantised problem
   * still has a scale.
   */
  public double effectiveSigma() {
    double sigma = noise.internalSigma(this::intensity);
    return Math.max(1e-4, Math.sqrt(sigma * sigma + quantizationStep * quantizationStep / 12));
  }

  /** The noise's standard deviation on the [0,1] pixel scale, at this measurement's intensity. */
  public double sigma() {
    return noise.internalSigma(this::intensity) / 2;
  }

  /** Mean of the observed entries on the [0,1] scale. */
  private double intensity() {
    HostTensor observed = operator.observed();
    double sum = 0;
    long count = 0;
    for (int i = 0; i < measurement.values().length; i++) {
      if (observed == null || observed.values()[i] != 0) {
        sum += (measurement.values()[i] + 1) / 2;
        count++;
      }
    }
    return count == 0 ? 0 : sum / count;
  }

  /**
   * The operator as a linear one.
   *
   * @throws PriorArtException {@link ErrorKind#FAILED_PRECONDITION} when it is not
   */
  public LinearOperator linearOperator() {
    if (operator instanceof LinearOperator linear) {
      return linear;
    }
    throw new PriorArtException(
        ErrorKind.FAILED_PRECONDITION, "this solver needs a linear operator; this one is not");
  }
}
