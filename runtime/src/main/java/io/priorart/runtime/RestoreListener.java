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
   * A sample's solve begins; the events that follow are its own.
   *
   * @param sample from 0
   */
  default void sampleStarted(int sample) {}

  /**
   * A sample is solved and judged.
   *
   * @param sample from 0
   */
  default void sampleFinished(int sample, Restorer.Sample result) {}
}
