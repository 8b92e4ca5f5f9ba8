package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;

/** A configured inversion of one latent. Immutable. */
public interface Inverter {
  /**
   * Finds the noise that {@link DdimPath#forward} turns into {@code clean}.
   *
   * @param clean latent of one picture, {@code [1, c, h, w]}
   * @param context its conditioning is that of every evaluation
   * @return arrays in {@code context.manager()}
   * @throws PriorArtException CANCELLED, DEADLINE_EXCEEDED, DIVERGED, FAILED_PRECONDITION
   */
  Inversion invert(LatentDiffusionModel model, NDArray clean, SolveContext context);
}
