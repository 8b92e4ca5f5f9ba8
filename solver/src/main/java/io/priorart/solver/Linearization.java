package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import java.util.function.UnaryOperator;

/**
 * A differentiable map linearised at one point {@code x}: its value there, and vector-Jacobian
 * products.
 *
 * <p>Holds whatever graph or intermediate values the pullback needs until closed. Used by one
 * thread.
 */
public interface Linearization extends AutoCloseable {
  /**
   * {@code f(x)}, detached from any autograd graph. It stays valid after {@link #close()} and
   * belongs to the manager of {@code x}.
   */
  NDArray value();

  /**
   * {@code J(x)^T cotangent}, any number of times.
   *
   * @param cotangent same shape as {@link #value()}, float32
   * @return same shape as {@code x}, float32, detached; owned by the manager of {@code x}
   */
  NDArray pullback(NDArray cotangent);

  @Override
  void close();

  /**
   * A linear map, whose pullback is the same everywhere.
   *
   * @param value of the map at the point
   * @param transpose the map's transpose
   */
  static Linearization linear(NDArray value, UnaryOperator<NDArray> transpose) {
    return of(value, transpose, () -> {});
  }

  /**
   * Of its parts.
   *
   * @param close what {@link #close()} does
   */
  static Linearization of(NDArray value, UnaryOperator<NDArray> pullback, Runnable close) {
    return new Linearization() {
      @Override
      public NDArray value() {
        return value;
      }

      @Override
      public NDArray pullback(NDArray cotangent) {
        return pullback.apply(cotangent);
      }

      @Override
      public void close() {
        close.run();
      }
    };
  }
}
