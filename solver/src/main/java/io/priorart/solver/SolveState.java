package io.priorart.solver;

import java.util.List;

/**
 * A solve between two of its steps: all that a later process needs to go on with it and reach the
 * same pixels. Noise is not part of it, since step {@code n} draws from a stream of its own ({@link
 * NoiseSource#restart}).
 *
 * @param step steps that are done, 1 or more
 * @param arrays what goes to the next step, in the solver's order
 */
public record SolveState(int step, List<HostTensor> arrays) {
  public SolveState {
    arrays = List.copyOf(arrays);
    if (step < 1 || arrays.isEmpty()) {
      throw PriorArtException.badField("state", "has no step or no array");
    }
  }
}
