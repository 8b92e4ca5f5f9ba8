package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;

/**
 * An immutable, differentiable map from an image to what a camera would have measured of it.
 *
 * <p>Images are float32 {@code [N, C, H, W]} in [-1, 1]; {@link #imageShape()} and {@link
 * #measurementShape()} leave the batch axis out. Every method rejects another shape with {@link
 * ErrorKind#INVALID_ARGUMENT}. Results belong to the argument's manager. Safe for use by many
 * threads at once.
 */
public interface ForwardOperator {
  /** Shape of one image, {@code [C, H, W]}. */
  Shape imageShape();

  /** Shape of one measurement, without the batch axis. */
  Shape measurementShape();

  /** {@code A(x)}: {@code [N, C, H, W]} to {@code [N, measurementShape...]}. */
  NDArray apply(NDArray x);

  /**
   * {@code A} linearised at {@code x}; the pullback is written by hand, not taken from autograd.
   */
  Linearization at(NDArray x);

  /**
   * Which entries of a measurement are real observations: float32 of {@link #measurementShape()}, 1
   * = observed, 0 = carries nothing (a masked pixel). {@code null} when all are.
   */
  default HostTensor observed() {
    return null;
  }

  /** Number of observed entries of one measurement. */
  default long observedCount() {
    HostTensor observed = observed();
    if (observed == null) {
      return measurementShape().size();
    }
    long count = 0;
    for (float v : observed.values()) {
      count += v != 0 ? 1 : 0;
    }
    return count;
  }
}
