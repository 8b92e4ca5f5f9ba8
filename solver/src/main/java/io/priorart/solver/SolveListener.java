package io.priorart.solver;

/** Hears of a solve's progress on the solving thread; must return at once and never throw. */
public interface SolveListener {
  /** Hears nothing. */
  SolveListener NONE = event -> {};

  void on(SolveEvent event);

  /**
   * Whether a {@link SolveEvent.Preview} of this step is wanted; asked before the picture is
   * decoded or copied.
   */
  default boolean wantsPreview(int step) {
    return false;
  }
}
