package io.priorart.solver;

/** The one taxonomy of failures; each door (CLI exit code, gRPC status) maps it in one place. */
public enum ErrorKind {
  /** A value the user gave is malformed or out of range. */
  INVALID_ARGUMENT,
  /** A name (solver, operator, model, file) that does not exist. */
  NOT_FOUND,
  /** Valid parts that do not go together, such as a linear-only solver and a nonlinear operator. */
  FAILED_PRECONDITION,
  /** An output that exists and may not be overwritten. */
  ALREADY_EXISTS,
  /** Memory, queue or another budget is spent. */
  RESOURCE_EXHAUSTED,
  /** The caller asked to stop. */
  CANCELLED,
  /** The caller's time budget ran out. */
  DEADLINE_EXCEEDED,
  /** The solve produced non-finite values. */
  DIVERGED,
  /** A server that cannot be reached or is stopping. */
  UNAVAILABLE,
  /** A bug of ours or a failure of the machine. */
  INTERNAL;

  /**
   * Whether the caller can mend it: usage or bad input (CLI exit code 2) rather than a failure (1).
   */
  public boolean callersFault() {
    return this == INVALID_ARGUMENT
        || this == NOT_FOUND
        || this == FAILED_PRECONDITION
        || this == ALREADY_EXISTS;
  }
}
