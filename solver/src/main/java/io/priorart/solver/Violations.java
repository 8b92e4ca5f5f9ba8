package io.priorart.solver;

import java.util.function.Supplier;

/**
 * Collects what is wrong with a request, so that its sender learns of all bad fields at once. Used
 * by one thread.
 */
public final class Violations {
  private PriorArtException first;

  /** Runs a check that does not depend on the others. */
  public void check(Runnable check) {
    check(
        null,
        () -> {
          check.run();
          return null;
        });
  }

  /**
   * Runs a check that gives a value.
   *
   * @param otherwise what to go on with when it fails
   */
  public <T> T check(T otherwise, Supplier<T> check) {
    try {
      return check.get();
    } catch (PriorArtException e) {
      if (first == null) {
        first = e;
      } else {
        first.addSuppressed(e);
      }
      return otherwise;
    }
  }

  /**
   * Ends the collection.
   *
   * @throws PriorArtException the first that a check threw, if any did, with the others as
   *     suppressed ones
   */
  public void raise() {
    if (first != null) {
      throw first;
    }
  }
}
