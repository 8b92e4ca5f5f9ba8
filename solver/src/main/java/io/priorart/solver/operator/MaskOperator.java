package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.TensorScope;

/**
 * {@code A(x) = k x}, elementwise, {@code k} 1 where a pixel is known and 0 where it is missing.
 */
final class MaskOperator implements LinearOperator {
  private final Shape shape;
  private final HostTensor known;
  private final HostTensor observed;

  /**
   * @param shape {@code [C, H, W]}
   * @param known {@code [1, H, W]} of zeros and ones, not all 0; {@code null} for all ones
   */
  MaskOperator(Shape shape, HostTensor known) {
    this.shape = shape;
    this.known = known;
    observed = known == null ? null : repeated(known, shape);
  }

  private static HostTensor repeated(HostTensor known, Shape shape) {
    int pixels = known.values().length;
    float[] all = new float[Math.toIntExact(shape.size())];
    for (int from = 0; from < all.length; from += pixels) {
      System.arraycopy(known.values(), 0, all, from, pixels);
    }
    return new HostTensor(shape, all);
  }

  @Override
  public Shape imageShape() {
    return shape;
  }

  @Override
  public Shape measurementShape() {
    return shape;
  }

  @Override
  public NDArray apply(NDArray x) {
    Tensors.require("x", x, shape);
    return masked(x);
  }

  @Override
  public NDArray adjoint(NDArray y) {
    Tensors.require("y", y, shape);
    return masked(y);
  }

  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    Tensors.require("y", y, shape);
    Tensors.requireRcond(rcond);
    return masked(y);
  }

  /** {@inheritDoc} Here {@code u = x + k gamma/(1+gamma) (y - x)}. */
  @Override
  public NDArray proximal(NDArray x, NDArray y, double gamma) {
    Tensors.requireProximal(x, shape, y, shape, gamma);
    double share = gamma / (1 + gamma);
    return TensorScope.only(() -> x.add(masked(y.sub(x)).mul((float) share)));
  }

  @Override
  public boolean isMask() {
    return true;
  }

  @Override
  public double norm() {
    return 1;
  }

  @Override
  public HostTensor observed() {
    return observed;
  }

  private NDArray masked(NDArray x) {
    NDManager manager = x.getManager();
    return TensorScope.only(() -> x.mul(known == null ? manager.create(1f) : known.to(manager)));
  }
}
