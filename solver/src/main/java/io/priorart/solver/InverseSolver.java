package io.priorart.solver;

import ai.djl.ndarray.NDArray;

/**
 * One configured method. Stateless: the same seed, device, precision, batch size and thread count
 * give the same pixels.
 */
public interface InverseSolver {
  /**
   * Solves a problem.
   *
   * @param problem checked; its operator's image shape equals the model's
   * @param model the prior, bound to the picture's size; {@code null} for methods without {@link
   *     SolverMethod.Need#MODEL}
   * @param context noise, progress, cancellation
   * @return the pictures {@code [N, 3, H, W]} in [-1,1] (not clamped), owned by the context's
   *     manager, before any final step; N is the context's samples for a method with a model, 1 for
   *     others
   * @throws PriorArtException CANCELLED, DEADLINE_EXCEEDED, DIVERGED, FAILED_PRECONDITION
   */
  NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context);
}
