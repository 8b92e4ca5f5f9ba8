package io.priorart.solver;

/** The measurement noise a problem declares. Sigmas are on the public [0,1] pixel scale. */
public sealed interface Noise {
  /** Standard deviation on the internal [-1,1] scale: twice the public one; 0 for no noise. */
  double internalSigma();

  /** No noise: the measurement is exact up to its quantisation. */
  record None() implements Noise {
    @Override
    public double internalSigma() {
      return 0;
    }
  }

  /**
   * Independent Gaussian noise on each entry of the measurement.
   *
   * @param sigma standard deviation on the [0,1] pixel scale, 0 to 1
   */
  record Gaussian(double sigma) implements Noise {
    public Gaussian {
      if (!(sigma >= 0 && sigma <= 1)) {
        throw PriorArtException.badField(
            "sigma", "must be 0 to 1 (on the [0,1] pixel scale), was " + sigma);
      }
    }

    @Override
    public double internalSigma() {
      return 2 * sigma;
    }
  }
}
