package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.TensorScope;

/** Periodic convolution: diagonal in the Fourier basis, so everything is exact there. */
final class CircularBlur implements LinearOperator {
  private final Shape shape;
  private final Transfer transfer;

  CircularBlur(Kernel kernel, Shape shape) {
    this.shape = shape;
    transfer = new Transfer(kernel, Math.toIntExact(shape.get(1)), Math.toIntExact(shape.get(2)));
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
    NDManager manager = x.getManager();
    return TensorScope.only(() -> transfer.filter(x, transfer.forward(manager)).duplicate());
  }

  @Override
  public NDArray adjoint(NDArray y) {
    Tensors.require("y", y, shape);
    return backward(y, power -> 1);
  }

  /** {@inheritDoc} Cuts below 1e-6 count as 1e-6: float32 holds no more. */
  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    Tensors.require("y", y, shape);
    Tensors.requireRcond(rcond);
    double least = Math.pow(Math.max(rcond, 1e-6) * norm(), 2);
    return backward(y, power -> power < least ? 0 : 1 / power);
  }

  /** {@inheritDoc} {@code u = x + F^-1 [conj(T) / (1/gamma + |T|^2) F(y - A x)]}. */
  @Override
  public NDArray proximal(NDArray x, NDArray y, double gamma) {
    Tensors.requireProximal(x, shape, y, shape, gamma);
    return TensorScope.only(
        () -> x.add(backward(y.sub(apply(x)), power -> 1 / (1 / gamma + power))));
  }

  @Override
  public double norm() {
    return transfer.norm();
  }

  private NDArray backward(NDArray y, Transfer.Gain gain) {
    NDManager manager = y.getManager();
    return TensorScope.only(() -> transfer.filter(y, transfer.backward(manager, gain)).duplicate());
  }
}
