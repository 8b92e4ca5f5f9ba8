package io.priorart.solver;

/**
 * How n sampling timesteps are laid over T training timesteps; names as in diffusers' scheduler
 * configs.
 */
public enum TimestepSpacing {
  /** Multiples of T/n from 0, plus the checkpoint's offset. */
  LEADING,
  /** T, T - T/n, ... minus one; the last training step is always used. */
  TRAILING,
  /** n evenly spaced from 0 to T - 1. */
  LINSPACE
}
