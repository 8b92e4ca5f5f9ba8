package io.priorart.solver.method;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;

/** {@code A(x) = k x} for 4x4 pictures. */
class MaskedPixels extends DenseOperator {
  private final float[] known;

  /**
   * @param known 16 zeros and ones
   */
  MaskedPixels(float... known) {
    super(
        GaussianLatentModel.IMAGE,
        GaussianLatentModel.IMAGE,
        Matrices.diagonal(known.length, i -> known[i]));
    this.known = known;
  }

  @Override
  public boolean isMask() {
    return true;
  }

  @Override
  public HostTensor observed() {
    return new HostTensor(new Shape(1, 4, 4), known);
  }
}
