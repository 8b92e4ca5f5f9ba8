package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;

/** {@code A(x) = k x}. */
class MaskedPixels extends DenseOperator {
  private final Shape picture;
  private final float[] known;

  /**
   * @param known 16 zeros and ones, of a 4x4 picture
   */
  MaskedPixels(float... known) {
    this(GaussianLatentModel.IMAGE, known);
  }

  MaskedPixels(Shape picture, float[] known) {
    super(picture, picture, Matrices.diagonal(known.length, i -> known[i]));
    this.picture = picture;
    this.known = known;
  }

  @Override
  public boolean isMask() {
    return true;
  }

  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    return adjoint(y);
  }

  @Override
  public HostTensor observed() {
    return new HostTensor(picture, known);
  }
}
