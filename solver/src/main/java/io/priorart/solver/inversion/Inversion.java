package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import java.util.List;

/**
 * What an {@link Inverter} found.
 *
 * @param noise state at the path's highest level in variance-preserving form, {@code [1, c, h, w]}:
 *     about standard normal
 * @param nulls an embedding of the empty prompt for each step of the way back, in its order; empty
 *     where the method tunes none
 * @param steps what each step took, in the order they were made
 */
public record Inversion(NDArray noise, NDList nulls, List<Step> steps) {
  /**
   * One step.
   *
   * @param sigma the higher of its two noise levels
   * @param iterations how often the denoiser was evaluated at it, or for null-text how many updates
   *     were made
   * @param residual RMS of what its equation lacks where it was evaluated last, of Newton's steps
   *     where least, in variance-preserving form; NaN for a method that does not look
   */
  public record Step(double sigma, int iterations, double residual) {}

  public Inversion {
    steps = List.copyOf(steps);
  }
}
