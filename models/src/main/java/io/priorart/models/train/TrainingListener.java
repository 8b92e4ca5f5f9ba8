package io.priorart.models.train;

/** Hears of a training's progress, on the training thread. */
public interface TrainingListener {
  /**
   * Hears of every step.
   *
   * @param progress figures since the last report
   */
  default void step(Progress progress) {}

  /** Hears of every hundredth step. */
  void report(Progress progress);

  /** A line worth keeping. */
  void note(String text);

  /**
   * @param step optimiser steps so far
   * @param fraction of the planned time, 0 to 1
   * @param plannedSeconds of this lap
   * @param loss mean over the steps since the last report
   * @param samplesPerSecond rate since the last report
   */
  record Progress(
      long step, double fraction, double plannedSeconds, double loss, double samplesPerSecond) {}
}
