package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import java.util.Map;

/**
 * Prompts of Stable Diffusion XL: two text encoders side by side, the second one's projection as
 * the prompt in one vector (Podell et al., ICLR 2024, arXiv 2307.01952).
 */
final class XlPrompts implements PromptEncoder {
  private final ClipPair texts;
  private final boolean zerosForEmpty;

  XlPrompts(Checkpoint checkpoint, NDManager manager, CompileOptions options) {
    zerosForEmpty = checkpoint.index().flag("force_zeros_for_empty_prompt", true);
    texts = new ClipPair(checkpoint, manager, options);
  }

  @Override
  public int width() {
    return texts.width();
  }

  @Override
  public int pooledWidth() {
    return texts.second().pooledWidth();
  }

  /** An empty negative prompt is all zeros where the checkpoint says so: XL was trained like it. */
  @Override
  public Embedding embed(NDManager target, String prompt, boolean negative) {
    ClipPair.Output output = texts.embed(target, prompt);
    if (output.firstPooled() != null) {
      output.firstPooled().close();
    }
    NDArray tokens = output.tokens();
    NDArray pooled = output.secondPooled();
    if (negative && zerosForEmpty && prompt.isEmpty()) {
      Embedding zeros = new Embedding(tokens.zerosLike(), pooled.zerosLike());
      tokens.close();
      pooled.close();
      return zeros;
    }
    return new Embedding(tokens, pooled);
  }

  @Override
  public long[] tokens(String prompt) {
    return texts.first().tokens(prompt);
  }

  @Override
  public int end(long[] tokens) {
    return texts.first().end(tokens);
  }

  @Override
  public boolean truncates(String prompt) {
    return texts.truncates(prompt);
  }

  @Override
  public Map<String, TextEncoder> encoders() {
    return texts.encoders();
  }
}
