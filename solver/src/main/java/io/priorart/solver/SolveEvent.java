package io.priorart.solver;

/** What a listener hears of a solve; host values only. */
public sealed interface SolveEvent {
  /**
   * A step ended.
   *
   * @param step 1-based
   * @param totalSteps number of steps planned
   * @param residualRms {@code RMS(y - A x)} over observed entries, internal [-1,1] scale; NaN when
   *     not computed
   */
  record Step(int step, int totalSteps, double residualRms) implements SolveEvent {}

  /**
   * The current clean estimate.
   *
   * @param step 1-based
   * @param image {@code [1, 3, H, W]} in [-1,1], not clamped
   */
  record Preview(int step, HostTensor image) implements SolveEvent {}
}
