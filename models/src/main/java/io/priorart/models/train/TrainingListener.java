package io.priorart.models.train;

/** Hears of a training's progress, on the training thread. */
public interface TrainingListener {
  /**
   * @param step optimiser steps so far
   * @param fraction of the planned time, 0 to 1
   * @param loss mean over the steps since the last report
   * @param samplesPerSecond rate since the last report
   */
  void progress(long step, double fraction, double loss, double samplesPerSecond);

  /** A line worth keeping. */
  void note(String text);
}
