package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;

/**
 * A pretrained prior, bound to one picture size: an encoder and decoder between pictures and
 * latents, and a denoiser of latents.
 *
 * <p>Pictures are float32 {@code [N, 3, H, W]} in [-1,1] at the bound size; any padding to the
 * networks' stride happens inside. Latents are float32 {@code [N, c, h, w]}, already multiplied by
 * the VAE's scaling factor. Results belong to the argument's manager and are detached. A
 * pixel-space prior has the identity codec.
 *
 * <p>Evaluations are counted in {@link #counts()}. Safe for concurrent use.
 */
public interface LatentDiffusionModel {
  /**
   * Long-lived manager of the model; do not allocate solve-time arrays in it, take a sub-manager.
   */
  NDManager manager();

  /** Shape of one picture, {@code [3, H, W]}. */
  Shape imageShape();

  /** Shape of one latent, {@code [c, h, w]}. */
  Shape latentShape();

  /** Whether latents are the pictures themselves: encode and decode are the identity. */
  default boolean pixelSpace() {
    return false;
  }

  /** Whether each pixel of a latent may have its own noise level. */
  default boolean noiseMap() {
    return false;
  }

  NoiseSchedule schedule();

  /** How well the checkpoint knows the velocity; {@code null} where nobody measured it. */
  default VelocityCurve velocityErrors() {
    return null;
  }

  /**
   * The model as a learned proximal operator; {@code null} for a diffusion model. One that is has
   * no {@code denoise}.
   */
  default LearnedProximal proximal() {
    return null;
  }

  /** Mean of the encoder's posterior: {@code [N, 3, H, W]} to {@code [N, c, h, w]}. */
  NDArray encode(NDArray x);

  /** {@code [N, c, h, w]} to {@code [N, 3, H, W]}, not clamped. */
  NDArray decode(NDArray z);

  Linearization encodeAt(NDArray x);

  Linearization decodeAt(NDArray z);

  /**
   * Estimate of the clean latent {@code E[z0 | z]} for {@code z = z0 + sigma eps}
   * (variance-exploding form), whatever the checkpoint predicts. A VP network sees {@code
   * sqrt(alphaBar) z} with {@code alphaBar = 1/(1+sigma^2)}.
   *
   * @param sigma noise level of {@code z}, more than 0; clamped to the schedule's range for the
   *     network's timestep
   */
  NDArray denoise(NDArray z, double sigma, Conditioning conditioning);

  /**
   * {@link #denoise(NDArray, double, Conditioning)}, where the network is told another timestep
   * than that of {@code sigma}, as some samplers round it.
   *
   * @param timestep 0 to the schedule's last; of no effect on a network that is told the level
   */
  default NDArray denoise(NDArray z, double sigma, double timestep, Conditioning conditioning) {
    return denoise(z, sigma, conditioning);
  }

  /**
   * {@code E[z0 | z]} for {@code z = z0 + sigma eps}, each pixel with its own level.
   *
   * @param sigma {@code [1 or N, 1, h, w]}, more than 0
   * @throws PriorArtException FAILED_PRECONDITION unless {@link #noiseMap()}
   */
  default NDArray denoise(NDArray z, NDArray sigma, Conditioning conditioning) {
    throw new PriorArtException(
        ErrorKind.FAILED_PRECONDITION, "model: takes one noise level for all pixels");
  }

  /** {@link #denoise(NDArray, double, Conditioning)} linearised in {@code z}. */
  Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning);

  /**
   * {@link #denoise(NDArray, double, Conditioning)} linearised in {@code conditioning.positive()}:
   * the pullback has that embedding's shape. Without guidance, one evaluation.
   *
   * @param conditioning not {@linkplain Conditioning#guided guided}, its embedding {@code [N,
   *     tokens, width]}
   * @throws PriorArtException FAILED_PRECONDITION for a model without text
   */
  default Linearization denoiseAtText(NDArray z, double sigma, Conditioning conditioning) {
    throw new PriorArtException(ErrorKind.FAILED_PRECONDITION, "model: takes no text");
  }

  /**
   * Text embeddings for this model, in {@code manager}.
   *
   * @throws PriorArtException INVALID_ARGUMENT, or FAILED_PRECONDITION for words that it does not
   *     take
   */
  Conditioning condition(NDManager manager, Prompt prompt);

  /** Network evaluations so far through this bound model. */
  EvaluationCounts counts();
}
