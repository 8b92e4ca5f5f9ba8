package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.util.Arrays;

/**
 * A float32 tensor on the host, row-major: masks, kernels, measurements and pictures on their way
 * between files, operators and solvers. Not copied on construction; treat {@link #values()} as
 * read-only.
 */
public final class HostTensor {
  private final Shape shape;
  private final float[] values;

  public HostTensor(Shape shape, float[] values) {
    if (shape.size() != values.length) {
      throw new IllegalArgumentException(shape + " does not hold " + values.length + " values");
    }
    this.shape = shape;
    this.values = values;
  }

  /** Copies an array of float32 to the host. */
  public static HostTensor of(NDArray array) {
    return new HostTensor(array.getShape(), array.toType(DataType.FLOAT32, false).toFloatArray());
  }

  public Shape shape() {
    return shape;
  }

  public float[] values() {
    return values;
  }

  /** A new array in {@code manager}. */
  public NDArray to(NDManager manager) {
    return manager.create(values, shape);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof HostTensor that
        && shape.equals(that.shape)
        && Arrays.equals(values, that.values);
  }

  @Override
  public int hashCode() {
    return 31 * shape.hashCode() + Arrays.hashCode(values);
  }

  @Override
  public String toString() {
    return "HostTensor" + shape;
  }
}
