package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.TensorScope;
import java.util.function.DoubleUnaryOperator;

/**
 * {@code Y = M_h X M_w^T} for each channel: blurs and samplings that treat rows and columns apart.
 *
 * <p>With {@code M_h = U_h S_h V_h^T} and {@code M_w = U_w S_w V_w^T} the singular values of the
 * whole are the products {@code s = s_h s_w}, so that the pseudo-inverse and the proximal map are
 * exact, each a function of {@code s} between matrix products.
 */
final class SeparableOperator implements LinearOperator {
  private final Shape imageShape;
  private final Shape measurementShape;
  private final Factor vertical;
  private final Factor horizontal;

  /**
   * @param channels C
   * @param vertical from H to h rows
   * @param horizontal from W to w columns; may be the same object
   */
  SeparableOperator(long channels, Factor vertical, Factor horizontal) {
    this.vertical = vertical;
    this.horizontal = horizontal;
    imageShape = new Shape(channels, vertical.columns(), horizontal.columns());
    measurementShape = new Shape(channels, vertical.rows(), horizontal.rows());
  }

  @Override
  public Shape imageShape() {
    return imageShape;
  }

  @Override
  public Shape measurementShape() {
    return measurementShape;
  }

  @Override
  public NDArray apply(NDArray x) {
    Tensors.require("x", x, imageShape);
    NDManager manager = x.getManager();
    return TensorScope.only(
        () -> sandwich(vertical.matrix(manager), x, horizontal.matrix(manager).transpose()));
  }

  @Override
  public NDArray adjoint(NDArray y) {
    Tensors.require("y", y, measurementShape);
    NDManager manager = y.getManager();
    return TensorScope.only(
        () -> sandwich(vertical.matrix(manager).transpose(), y, horizontal.matrix(manager)));
  }

  /** {@inheritDoc} Cuts below 1e-6 count as 1e-6: float32 holds no more. */
  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    Tensors.require("y", y, measurementShape);
    Tensors.requireRcond(rcond);
    NDManager manager = y.getManager();
    double least = Math.max(rcond, 1e-6) * norm();
    return TensorScope.only(
        () -> fromSpectrum(spectrum(y).mul(gains(manager, s -> s < least ? 0 : 1 / s))));
  }

  /**
   * {@inheritDoc}
   *
   * <p>{@code u = x + V [g(s) (U^T y - s V^T x)]} with {@code g(s) = s / (1/gamma + s^2)}: no
   * factor here exceeds {@code sqrt(gamma) / 2}, so that float32 rounding stays small.
   */
  @Override
  public NDArray proximal(NDArray x, NDArray y, double gamma) {
    Tensors.requireProximal(x, imageShape, y, measurementShape, gamma);
    NDManager manager = x.getManager();
    return TensorScope.only(
        () -> {
          NDArray residual = y.sub(apply(x));
          NDArray gains = gains(manager, s -> s / (1 / gamma + s * s));
          return x.add(fromSpectrum(spectrum(residual).mul(gains)));
        });
  }

  @Override
  public double norm() {
    return vertical.norm() * horizontal.norm();
  }

  /** {@code U_h^T y U_w}. */
  private NDArray spectrum(NDArray y) {
    NDManager manager = y.getManager();
    return sandwich(vertical.left(manager).transpose(), y, horizontal.left(manager));
  }

  /** {@code V_h c V_w^T}. */
  private NDArray fromSpectrum(NDArray c) {
    NDManager manager = c.getManager();
    return sandwich(vertical.right(manager), c, horizontal.right(manager).transpose());
  }

  private NDArray gains(NDManager manager, DoubleUnaryOperator gain) {
    double[] tall = vertical.singular();
    double[] wide = horizontal.singular();
    float[] gains = new float[tall.length * wide.length];
    for (int i = 0, k = 0; i < tall.length; i++) {
      for (double s : wide) {
        gains[k++] = (float) gain.applyAsDouble(tall[i] * s);
      }
    }
    return manager.create(gains, new Shape(tall.length, wide.length));
  }

  /** {@code left x right}; the narrower product first. */
  private static NDArray sandwich(NDArray left, NDArray x, NDArray right) {
    return left.getShape().get(0) <= left.getShape().get(1)
        ? left.matMul(x).matMul(right)
        : left.matMul(x.matMul(right));
  }
}
