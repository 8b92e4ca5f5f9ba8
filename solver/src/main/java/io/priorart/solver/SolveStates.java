package io.priorart.solver;

/** Keeps a solve's state while it runs; used by the solving thread. */
public interface SolveStates {
  /** Keeps nothing. */
  SolveStates NONE =
      new SolveStates() {
        @Override
        public SolveState saved() {
          return null;
        }

        @Override
        public boolean due(int step) {
          return false;
        }

        @Override
        public boolean whenStopped() {
          return false;
        }

        @Override
        public void save(SolveState state) {}
      };

  /** Where to go on; {@code null} to begin. */
  SolveState saved();

  /** Whether the state after this step (1-based) is wanted; asked before it is copied. */
  boolean due(int step);

  /** Whether the state of the last step that ended is wanted of a solve that is stopped. */
  boolean whenStopped();

  void save(SolveState state);
}
