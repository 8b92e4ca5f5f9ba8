package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;

/** The last look at an array before it leaves a solver. */
final class Outcome {
  private Outcome() {}

  /** {@code x} itself, or DIVERGED when any value is not finite. */
  static NDArray finite(NDArray x) {
    // A sum of squares is finite only when every entry is; pictures are far from overflowing it.
    try (NDArray squares = x.square();
        NDArray sum = squares.sum()) {
      if (!Float.isFinite(sum.getFloat())) {
        throw new PriorArtException(
            ErrorKind.DIVERGED, "the solve ended in non-finite values; try a smaller step size");
      }
    }
    return x;
  }
}
