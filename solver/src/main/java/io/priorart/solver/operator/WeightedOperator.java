package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;

/**
 * {@code W A} with a positive weight for each entry of the measurement: with {@code W = s / s_i},
 * noise that differs from entry to entry has the deviation {@code s} everywhere.
 */
public final class WeightedOperator extends IterativeOperator {
  private final LinearOperator inner;
  private final HostTensor weights;

  /**
   * @param weights {@code [1, measurementShape...]}, positive and finite
   * @throws PriorArtException INVALID_ARGUMENT for other weights
   */
  public WeightedOperator(LinearOperator inner, HostTensor weights) {
    Shape expected = new Shape(1).addAll(inner.measurementShape());
    if (!weights.shape().equals(expected)) {
      throw PriorArtException.badField("weights", "must be " + expected);
    }
    for (float w : weights.values()) {
      if (!(w > 0 && w < Float.POSITIVE_INFINITY)) {
        throw PriorArtException.badField("weights", "must be positive and finite, has " + w);
      }
    }
    this.inner = inner;
    this.weights = weights;
  }

  @Override
  public Shape imageShape() {
    return inner.imageShape();
  }

  @Override
  public Shape measurementShape() {
    return inner.measurementShape();
  }

  @Override
  public HostTensor observed() {
    return inner.observed();
  }

  @Override
  public NDArray apply(NDArray x) {
    return TensorScope.only(() -> inner.apply(x).mul(weights.to(x.getManager())));
  }

  @Override
  public NDArray adjoint(NDArray y) {
    Tensors.require("y", y, measurementShape());
    return TensorScope.only(() -> inner.adjoint(y.mul(weights.to(y.getManager()))));
  }
}
