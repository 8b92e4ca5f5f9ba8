package io.priorart.models;

import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import java.util.Map;

/** Prompts of Stable Diffusion 1 and 2 and latent consistency models: one text encoder. */
final class ClipPrompts implements PromptEncoder {
  private static final String PART = "text_encoder";

  private final ClipTextEncoder text;

  ClipPrompts(Checkpoint checkpoint, NDManager manager, CompileOptions options) {
    text = new ClipTextEncoder(checkpoint, PART, "tokenizer", manager, options);
  }

  @Override
  public int width() {
    return text.width();
  }

  @Override
  public int pooledWidth() {
    return 0;
  }

  @Override
  public Embedding embed(NDManager target, String prompt, boolean negative) {
    return new Embedding(text.embed(target, prompt, false)[0], null);
  }

  @Override
  public long[] tokens(String prompt) {
    return text.tokens(prompt);
  }

  @Override
  public int end(long[] tokens) {
    return text.end(tokens);
  }

  @Override
  public boolean truncates(String prompt) {
    return text.truncates(prompt);
  }

  @Override
  public Map<String, ClipTextEncoder> encoders() {
    return Map.of(PART, text);
  }
}
