package io.priorart.solver;

import java.util.List;

/**
 * How well a checkpoint knows the velocity {@code v = eps - z0} of {@code x_t = (1-t) z0 + t eps},
 * by time: what {@code model calibrate} measures.
 *
 * @param times ascending, from 0 to 1 without the ends; at least two
 * @param errors mean squared error of a latent element's velocity at each, more than 0
 */
public record VelocityCurve(List<Double> times, List<Double> errors) {
  private static final int GRID = 100;

  public VelocityCurve {
    times = List.copyOf(times);
    errors = List.copyOf(errors);
    if (times.size() < 2 || times.size() != errors.size()) {
      throw PriorArtException.badField(
          "times", "and errors must be as many, at least 2; are " + times.size());
    }
    double before = 0;
    for (double t : times) {
      if (!(t > before && t < 1)) {
        throw PriorArtException.badField("times", "must rise between 0 and 1, has " + t);
      }
      before = t;
    }
    for (double e : errors) {
      if (!(e > 0 && e < Double.POSITIVE_INFINITY)) {
        throw PriorArtException.badField("errors", "must be more than 0, has " + e);
      }
    }
  }

  /**
   * How far the velocity is to be trusted at {@code t}: the error's reciprocal over its mean from
   * the first time to the last; linear between times, constant beyond them.
   */
  public double trust(double t) {
    double first = times.get(0);
    double last = times.get(times.size() - 1);
    double sum = 0;
    for (int i = 0; i < GRID; i++) {
      sum += reciprocal(first + (last - first) * i / (GRID - 1));
    }
    return reciprocal(t) * GRID / sum;
  }

  private double reciprocal(double t) {
    int above = 0;
    while (above < times.size() && times.get(above) < t) {
      above++;
    }
    if (above == 0 || above == times.size()) {
      return 1 / errors.get(Math.min(above, times.size() - 1));
    }
    double low = times.get(above - 1);
    double share = (t - low) / (times.get(above) - low);
    return (1 - share) / errors.get(above - 1) + share / errors.get(above);
  }
}
