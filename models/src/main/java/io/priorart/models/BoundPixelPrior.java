package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.Linearization;

/** A {@link PixelPrior} seen through pictures of one size. */
final class BoundPixelPrior extends BoundPictures {
  private final PixelPrior prior;

  BoundPixelPrior(PixelPrior prior, int height, int width) {
    super(prior, prior.config().channels(), height, width, prior.config().stride());
    this.prior = prior;
  }

  @Override
  public NDManager manager() {
    return prior.manager();
  }

  @Override
  public NDArray denoise(NDArray x, double sigma, Conditioning conditioning) {
    denoise.incrementAndGet();
    try (Arguments a = noisy(x, sigma)) {
      return a.call(prior.network(), "denoise");
    }
  }

  @Override
  public boolean noiseMap() {
    return prior.config().noiseMap();
  }

  @Override
  public NDArray denoise(NDArray x, NDArray sigma, Conditioning conditioning) {
    if (!noiseMap()) {
      return super.denoise(x, sigma, conditioning);
    }
    Shape shape = sigma.getShape();
    if (shape.dimension() != 4
        || shape.get(0) != 1 && shape.get(0) != x.getShape().get(0)
        || !shape.slice(1).equals(mapShape())) {
      throw new IllegalArgumentException(
          "sigma is " + shape + ", needs [1 or N] and " + mapShape());
    }
    denoise.incrementAndGet();
    try (Arguments a = noisy(x, sigma.duplicate())) {
      return a.call(prior.network(), "denoise");
    }
  }

  @Override
  public Linearization denoiseAt(NDArray x, double sigma, Conditioning conditioning) {
    denoise.incrementAndGet();
    return counted(noisy(x, sigma).linearize(prior.network(), "denoise"), denoisePullback);
  }

  private Shape mapShape() {
    return new Shape(1).addAll(imageShape().slice(1));
  }

  private Arguments noisy(NDArray x, double sigma) {
    requireSigma(sigma);
    Shape each = new Shape(1).addAll(noiseMap() ? mapShape() : new Shape(1, 1, 1));
    return noisy(x, x.getManager().full(each, (float) sigma));
  }

  private Arguments noisy(NDArray x, NDArray sigma) {
    requireShape("picture", x, imageShape());
    NDManager m = x.getManager();
    return new Arguments(
        x,
        sigma,
        m.create(paddedRows),
        m.create(paddedColumns),
        m.create(first(imageShape().get(1))),
        m.create(first(imageShape().get(2))));
  }
}
