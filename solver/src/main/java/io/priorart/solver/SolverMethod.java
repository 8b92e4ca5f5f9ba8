package io.priorart.solver;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * A solver's public face: everything that the catalogue, the CLI and the documentation say about it
 * derives from here.
 *
 * @param id name on every wire, kebab-case
 * @param summary one sentence
 * @param citations papers that it is from; empty for a classical baseline without one
 * @param needs checked before any network runs
 * @param spec the parameter record's class; each component carries {@link Parameter}
 * @param presets by name; each method has at least "fast" and "paper"; baselines may map both to
 *     the same values
 * @param create builds the configured solver from its spec
 * @param <P> the parameter record
 */
public record SolverMethod<P extends Record>(
    String id,
    String summary,
    List<Citation> citations,
    Set<Need> needs,
    Class<P> spec,
    Map<String, P> presets,
    Function<P, InverseSolver> create)
    implements PublishedMethod<P> {
  /** What a method cannot do without. */
  public enum Need {
    /** A diffusion model, or the other kind of prior that a further need names. */
    MODEL,
    /** A learned proximal operator in place of a diffusion model. */
    PROXIMAL,
    /** A linear operator. */
    LINEAR,
    /** An operator that only leaves pixels out ({@link LinearOperator#isMask}). */
    MASK,
    /** A prior of pictures themselves, without a codec. */
    PIXEL_SPACE,
    /** A prior that takes a noise level for each pixel. */
    NOISE_MAP,
    /** Pullbacks through the decoder. */
    DECODER_GRADIENT,
    /** Pullbacks through the encoder. */
    ENCODER_GRADIENT,
    /** Pullbacks through the denoiser. */
    DENOISER_GRADIENT,
    /** Pullbacks through the denoiser to the text's embedding. */
    TEXT_GRADIENT,
    /** A text-conditioned checkpoint. */
    TEXT,
    /** A prior that is sampled in a few steps, such as a consistency model. */
    FEW_STEP,
    /**
     * Noise of one variance. Counted light is taken at its mean variance, which the result's
     * warnings say.
     */
    EVEN_NOISE,
    /**
     * Networks in float32. Without it bfloat16 will do: what is summed up over iterations, linear
     * systems and tuned embeddings, is float32 outside of the networks anyway.
     */
    FLOAT32
  }

  public SolverMethod {
    citations = List.copyOf(citations);
    needs = Set.copyOf(needs);
    presets = Map.copyOf(presets);
    if (!presets.containsKey("fast") || !presets.containsKey("paper")) {
      throw new IllegalArgumentException(id + " lacks a preset");
    }
  }
}
