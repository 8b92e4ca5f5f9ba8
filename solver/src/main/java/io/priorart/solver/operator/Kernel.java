package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;

/**
 * A point spread function on the host: {@code y(p) = sum_a k(a) x(p - (a - centre))}, a true
 * convolution, {@code centre = (floor(height/2), floor(width/2))}.
 *
 * @param values {@code [height][width]}, sum 1
 */
record Kernel(double[][] values) {
  int height() {
    return values.length;
  }

  int width() {
    return values[0].length;
  }

  int centreRow() {
    return height() / 2;
  }

  int centreColumn() {
    return width() / 2;
  }

  /** The blur of pictures {@code [C, H, W]}; H and W at most 4096 unless it is circular. */
  LinearOperator on(Shape imageShape, Boundary boundary) {
    Tensors.requireImageShape(imageShape);
    if (boundary == Boundary.CIRCULAR) {
      return new CircularBlur(this, imageShape);
    }
    return new PaddedBlur(this, Tensors.requireModerateSides(imageShape), boundary);
  }
}
