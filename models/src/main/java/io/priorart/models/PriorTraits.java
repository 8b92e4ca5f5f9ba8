package io.priorart.models;

/**
 * What a solver may expect of a checkpoint, known from its configuration before its weights are
 * read.
 *
 * @param pixelSpace whether it is a prior of pictures themselves, without a codec
 * @param text whether it understands prompts
 * @param noiseMap whether it takes a noise level for each pixel
 * @param fewStep whether it is a consistency model, sampled in a few steps of {@code lcm}
 * @param proximal whether it is a learned proximal operator and no diffusion model
 */
public record PriorTraits(
    boolean pixelSpace, boolean text, boolean noiseMap, boolean fewStep, boolean proximal) {
  /** Of a diffusion model. */
  public PriorTraits(boolean pixelSpace, boolean text, boolean noiseMap, boolean fewStep) {
    this(pixelSpace, text, noiseMap, fewStep, false);
  }

  /** In a word or two, for lists of models. */
  public String kind() {
    return proximal
        ? "learned proximal operator"
        : pixelSpace ? "pixel-space denoiser" : "latent diffusion";
  }
}
