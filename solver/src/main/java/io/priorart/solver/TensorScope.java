package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDScope;

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

  @Override
  public void close() {
    scope.close();
  }
}
