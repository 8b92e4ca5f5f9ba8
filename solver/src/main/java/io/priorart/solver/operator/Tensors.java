package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.PriorArtException;

/** Checks of operators' tensors. */
final class Tensors {
  private static final int MAX_SIDE = 4096;

  private Tensors() {}

  /**
   * Checks a batch before libtorch sees it.
   *
   * @param name of the argument, for the message
   * @param shape without the batch axis
   */
  static void require(String name, NDArray array, Shape shape) {
    Shape actual = array.getShape();
    if (actual.dimension() != shape.dimension() + 1
        || actual.get(0) < 1
        || !actual.slice(1).equals(shape)) {
      throw PriorArtException.badField(
          name, "must be [N, " + shape.toString().substring(1) + ", was " + actual);
    }
    if (array.getDataType() != DataType.FLOAT32) {
      throw PriorArtException.badField(name, "must be float32, was " + array.getDataType());
    }
  }

  /** Checks what {@link io.priorart.solver.LinearOperator#proximal} is given. */
  static void requireProximal(
      NDArray x, Shape imageShape, NDArray y, Shape measurementShape, double gamma) {
    require("x", x, imageShape);
    require("y", y, measurementShape);
    if (x.getShape().get(0) != y.getShape().get(0)) {
      throw PriorArtException.badField(
          "y", "must have the batch of x, " + x.getShape().get(0) + ", was " + y.getShape());
    }
    if (!(gamma >= 0 && gamma < Double.POSITIVE_INFINITY)) {
      throw PriorArtException.badField("gamma", "must be finite and at least 0, was " + gamma);
    }
  }

  static void requireRcond(double rcond) {
    if (!(rcond > 0 && rcond < 1)) {
      throw PriorArtException.badField(
          "rcond", "must be more than 0 and less than 1, was " + rcond);
    }
  }

  /** {@code [C, H, W]}, all positive. */
  static Shape requireImageShape(Shape shape) {
    if (shape.dimension() != 3 || shape.get(0) < 1 || shape.get(1) < 1 || shape.get(2) < 1) {
      throw PriorArtException.badField("image", "must be [C, H, W], was " + shape);
    }
    return shape;
  }

  /**
   * As {@link #requireImageShape}, for operators that hold a matrix for each side: a picture of a
   * million pixels in one row would need one of a million by a million.
   */
  static Shape requireModerateSides(Shape shape) {
    requireImageShape(shape);
    if (Math.max(shape.get(1), shape.get(2)) > MAX_SIDE) {
      throw PriorArtException.badField(
          "image", "sides must be at most " + MAX_SIDE + " pixels for this operator, was " + shape);
    }
    return shape;
  }
}
