package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Problem;

/** Which pixels a mask leaves, and the noise levels that this means. */
final class KnownPixels {
  private final Shape map;
  private final float[] known;
  private final boolean complete;

  /**
   * @param problem one whose operator is a mask, the same in all channels
   */
  KnownPixels(Problem problem) {
    Shape shape = problem.operator().imageShape();
    map = new Shape(1, 1).addAll(shape.slice(1));
    known = new float[Math.toIntExact(map.size())];
    HostTensor observed = problem.operator().observed();
    boolean all = true;
    for (int p = 0; p < known.length; p++) {
      known[p] = observed == null ? 1 : observed.values()[p];
      all &= known[p] == 1;
    }
    complete = all;
  }

  /** Whether nothing is missing. */
  boolean complete() {
    return complete;
  }

  /** {@code [1, 1, H, W]} of zeros and ones. */
  NDArray mask(NDManager manager) {
    return manager.create(known, map);
  }

  /** {@code [1, 1, H, W]}: one noise level where a pixel is known, another where it is missing. */
  NDArray levels(NDManager manager, double whereKnown, double whereMissing) {
    float[] levels = new float[known.length];
    for (int p = 0; p < levels.length; p++) {
      levels[p] = (float) (known[p] == 1 ? whereKnown : whereMissing);
    }
    return manager.create(levels, map);
  }
}
