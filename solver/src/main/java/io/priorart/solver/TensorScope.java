package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDScope;
import java.util.function.Supplier;

/**
 * A try-with-resources arena: every array born on this thread inside it is freed when it closes,
 * except those {@linkplain #keep kept}. Scopes nest; an array kept by an inner scope is NOT handed
 * to the outer one, it then lives as long as its manager.
 */
public final class TensorScope implements AutoCloseable {
  private final NDScope scope = new NDScope();

  /**
   * Takes {@code array} out of the arena: it lives on with its manager, or until closed by hand.
   */
  public NDArray keep(NDArray array) {
    NDScope.unregister(array);
    return array;
  }

  /** Frees everything that {@code work} makes except its result, which the caller's scope owns. */
  public static NDArray only(Supplier<NDArray> work) {
    NDArray result;
    try (TensorScope scope = new TensorScope()) {
      result = scope.keep(work.get());
    }
    // a kept array is out of every arena; the caller's must free it in its turn
    NDScope.register(result);
    return result;
  }

  /** A step of {@link #iterate}. */
  @FunctionalInterface
  public interface Step {
    /**
     * @param k from 0
     * @param at not to be closed
     * @return the next array; {@code at} itself ends the iteration
     */
    NDArray next(int k, NDArray at);
  }

  /**
   * {@code start} put through {@code step} at most so many times. Whatever a step makes is freed at
   * its end, but its result at the end of the next; the caller's scope owns the last.
   *
   * @param start not closed
   */
  public static NDArray iterate(NDArray start, int times, Step step) {
    NDArray at = start;
    for (int k = 0; k < times; k++) {
      NDArray next;
      try (TensorScope scope = new TensorScope()) {
        next = step.next(k, at);
        if (next == at) {
          return at;
        }
        scope.keep(next);
      }
      NDScope.register(next);
      if (at != start) {
        at.close();
      }
      at = next;
    }
    return at;
  }

  @Override
  public void close() {
    scope.close();
  }
}
