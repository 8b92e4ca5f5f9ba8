package io.priorart.runtime;

import io.priorart.solver.SolveEvent;
import io.priorart.solver.SolveListener;

/** Hears of a restoration on the solving thread; must return at once and never throw. */
public interface RestoreListener extends SolveListener {
  /** Hears nothing. */
  RestoreListener NONE = new RestoreListener() {};

  @Override
  default void on(SolveEvent event) {}

  /**
   * Samples begin to be solved as one batch; the events that follow are theirs, previews those of
   * the first.
   *
   * @param first from 0
   * @param count 1 or more
   */
  default void batchStarted(int first, int count) {}

  /**
   * A sample is solved and judged.
   *
   * @param sample from 0
   */
  default void sampleFinished(int sample, Restorer.Sample result) {}

  /** Something that the caller should know while the solve goes on, in one sentence. */
  default void warning(String message) {}
}
