package io.priorart.runtime;

import io.priorart.solver.PriorArtException;

/** What one process accepts. */
public final class Limits {
  /** Pixels of a picture to read or to return; system property {@code priorart.limits.pixels}. */
  public static final long PIXELS = Long.getLong("priorart.limits.pixels", 1L << 22);

  /** Samples of a request at most. */
  public static final int SAMPLES = Integer.getInteger("priorart.limits.samples", 1000);

  /** Operators of a request at most. */
  public static final int OPERATORS = 16;

  private Limits() {}

  /** Refuses a size that is not positive or exceeds {@link #PIXELS}, naming the field. */
  public static void requirePixels(String field, long width, long height) {
    if (width < 1 || height < 1 || width > PIXELS || height > PIXELS || width * height > PIXELS) {
      throw PriorArtException.badField(
          field, "%d x %d pixels, the limit is %d".formatted(width, height, PIXELS));
    }
  }
}
