package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;

/** What priors of pictures themselves share: the identity as codec, no text. */
abstract class BoundPictures extends BoundPrior {
  private final Prior prior;

  BoundPictures(Prior prior, int channels, int height, int width, int stride) {
    super(channels, height, width, stride);
    this.prior = prior;
  }

  @Override
  public final Shape latentShape() {
    return imageShape();
  }

  @Override
  public final boolean pixelSpace() {
    return true;
  }

  @Override
  public final NoiseSchedule schedule() {
    return prior.schedule();
  }

  @Override
  public final NDArray encode(NDArray x) {
    requireShape("picture", x, imageShape());
    return x.duplicate();
  }

  @Override
  public final NDArray decode(NDArray z) {
    return encode(z);
  }

  @Override
  public final Linearization encodeAt(NDArray x) {
    return Linearization.linear(encode(x), NDArray::duplicate);
  }

  @Override
  public final Linearization decodeAt(NDArray z) {
    return encodeAt(z);
  }

  @Override
  public final Conditioning condition(NDManager manager, Prompt prompt) {
    if (!prompt.isNone()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "prompt: " + prior.name() + " takes no text; leave prompts and guidance scale out");
    }
    return Conditioning.NONE;
  }
}
