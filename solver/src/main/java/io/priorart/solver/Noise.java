package io.priorart.solver;

import java.util.function.DoubleSupplier;

/** The measurement noise a problem declares. Sigmas are on the public [0,1] pixel scale. */
public sealed interface Noise {
  /**
   * Standard deviation on the internal [-1,1] scale, twice the public one: that of every entry, or
   * where it differs between them the root of its mean square.
   *
   * @param intensity mean of the observed entries on the [0,1] scale, asked for where it matters
   */
  double internalSigma(DoubleSupplier intensity);

  /** Normal noise, or none for 0. */
  static Noise ofSigma(double sigma) {
    return sigma == 0 ? new None() : new Gaussian(sigma);
  }

  /** Whether the measurement is exact up to its quantisation. */
  default boolean isNone() {
    return internalSigma(() -> 1) == 0;
  }

  /** No noise. */
  record None() implements Noise {
    @Override
    public double internalSigma(DoubleSupplier intensity) {
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
    public double internalSigma(DoubleSupplier intensity) {
      return 2 * sigma;
    }
  }

  /**
   * Counted light: an entry {@code v} on the [0,1] scale is measured as {@code Poisson(peak v) /
   * peak}, of variance {@code v / peak}; what is negative counts nothing. Solvers that know one
   * sigma take the root of the mean variance, {@code sqrt(intensity / peak)}; {@code cdim} weighs
   * each entry by its own.
   *
   * @param peak counts that 1 stands for, 1 to 1e6
   */
  record Poisson(double peak) implements Noise {
    public Poisson {
      if (!(peak >= 1 && peak <= 1e6)) {
        throw PriorArtException.badField(
            "poisson", "must be 1 to 1000000 counts that white stands for, was " + peak);
      }
    }

    @Override
    public double internalSigma(DoubleSupplier intensity) {
      return 2 * Math.sqrt(Math.max(0, intensity.getAsDouble()) / peak);
    }
  }
}
