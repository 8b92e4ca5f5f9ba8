package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Prompts of Stable Diffusion 3 (Esser et al., ICML 2024, arXiv 2403.03206): two CLIP text encoders
 * side by side, filled up with zeros to the width of T5, whose tokens follow; their projections
 * side by side as the prompt in one vector. A checkpoint without T5 has zeros for its tokens, as it
 * was trained to do without.
 */
final class Sd3Prompts implements PromptEncoder {
  static final String THIRD = "text_encoder_3";

  private final ClipPair texts;
  private final T5TextEncoder t5;
  private final int width;

  /**
   * @param width of the tokens that the transformer attends to
   */
  Sd3Prompts(Checkpoint checkpoint, int width, NDManager manager, CompileOptions options) {
    this.width = width;
    texts = new ClipPair(checkpoint, manager, options);
    try {
      if (texts.width() > width || texts.first().pooledWidth() == 0) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION,
            "text_encoder: both need a projection and are %d wide together, the transformer attends to %d"
                .formatted(texts.width(), width));
      }
      t5 = checkpoint.has(THIRD) ? new T5TextEncoder(checkpoint, THIRD, manager, options) : null;
    } catch (RuntimeException e) {
      throw PromptEncoder.closing(e, List.of(texts.first(), texts.second()));
    }
  }

  @Override
  public int width() {
    return t5 == null ? width : t5.width();
  }

  @Override
  public int pooledWidth() {
    return texts.first().pooledWidth() + texts.second().pooledWidth();
  }

  @Override
  public Embedding embed(NDManager target, String prompt, boolean negative) {
    ClipPair.Output clip = texts.embed(target, prompt);
    NDArray third =
        t5 == null
            ? target.zeros(new Shape(1, T5TextEncoder.LENGTH, width))
            : t5.embed(target, prompt);
    NDArray zeros =
        target.zeros(new Shape(1, clip.tokens().getShape().get(1), width - texts.width()));
    NDArray filled = clip.tokens().concat(zeros, -1);
    Embedding embedding =
        new Embedding(filled.concat(third, 1), clip.firstPooled().concat(clip.secondPooled(), -1));
    Stream.of(clip.tokens(), clip.firstPooled(), clip.secondPooled(), third, zeros, filled)
        .forEach(NDArray::close);
    return embedding;
  }

  /** T5 sees 256 tokens; what CLIP's 77 cut is lost to no one who has it. */
  @Override
  public boolean truncates(String prompt) {
    return t5 == null ? texts.truncates(prompt) : t5.truncates(prompt);
  }

  @Override
  public Map<String, TextEncoder> encoders() {
    Map<String, TextEncoder> encoders = texts.encoders();
    if (t5 != null) {
      encoders.put(THIRD, t5);
    }
    return encoders;
  }
}
