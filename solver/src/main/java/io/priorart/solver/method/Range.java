package io.priorart.solver.method;

import io.priorart.solver.PriorArtException;

/** Bounds of parameter records. */
final class Range {
  private Range() {}

  static void require(String field, double value, double min, double max) {
    if (!(value >= min && value <= max)) {
      throw PriorArtException.badField(
          field, "must be " + text(min) + " to " + text(max) + ", was " + text(value));
    }
  }

  private static String text(double v) {
    return v == Math.rint(v) && Math.abs(v) < 1e9 ? Long.toString((long) v) : Double.toString(v);
  }
}
