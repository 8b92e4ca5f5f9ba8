package io.priorart.solver;

import ai.djl.ndarray.NDArray;

/** A linear {@link ForwardOperator}: {@code A(x) = A x}. */
public interface LinearOperator extends ForwardOperator {
  /** {@code A^T y}, exactly: {@code <A x, u> = <x, A^T u>} to rounding. */
  NDArray adjoint(NDArray y);

  /**
   * {@code A+ y} with singular values below {@code rcond} times the largest treated as zero. The
   * truncation is what makes it usable: a Gaussian blur has singular values down to rounding.
   *
   * @param rcond relative cut, in (0, 1)
   */
  NDArray pseudoInverse(NDArray y, double rcond);

  /**
   * Whether {@link #pseudoInverse} damps small singular values instead of cutting them off. Then
   * {@code A+ A} is no projection, and {@code x + A+ (y - A x)} repeated comes near the plain
   * inverse.
   */
  default boolean damps() {
    return false;
  }

  /**
   * {@code argmin_u 1/2 ||u - x||^2 + gamma/2 ||A u - y||^2}, that is {@code (I + gamma A^T A)^-1
   * (x + gamma A^T y)}.
   *
   * @param gamma weight of the data term, finite and not negative; 0 returns {@code x}
   */
  NDArray proximal(NDArray x, NDArray y, double gamma);

  /**
   * Whether this only leaves entries out: {@code A x = k x} with {@code k} the zeros and ones of
   * {@link #observed()}, all ones where that is {@code null}.
   */
  default boolean isMask() {
    return false;
  }

  /** Largest singular value {@code ||A||}, to at least three digits. */
  double norm();

  @Override
  default Linearization at(NDArray x) {
    return Linearization.linear(apply(x), this::adjoint);
  }
}
