package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.DenoiserConfig;
import io.priorart.solver.HostTensor;
import java.util.List;
import java.util.Map;

/** A latent family's way from a prompt to what its denoiser takes. Safe for concurrent use. */
interface PromptEncoder extends AutoCloseable {
  /** Loads what the denoiser of this configuration was trained with. */
  static PromptEncoder load(
      Checkpoint checkpoint, DenoiserConfig denoiser, NDManager manager, CompileOptions options) {
    if (denoiser.pooled() == null) {
      return new ClipPrompts(checkpoint, manager, options);
    } else if (denoiser.pooled().equals(DenoiserConfig.TEXT_EMBEDS)) {
      return new XlPrompts(checkpoint, manager, options);
    }
    return new Sd3Prompts(checkpoint, denoiser.contextWidth(), manager, options);
  }

  /**
   * A prompt as the denoiser takes it.
   *
   * @param tokens {@code [1, L, width]}
   * @param pooled {@code [1, pooledWidth]}; {@code null} in families without
   */
  record Embedding(NDArray tokens, NDArray pooled) {
    static final Embedding NONE = new Embedding(null, null);
  }

  /** Width of a token. */
  int width();

  /** Width of the prompt in one vector; 0 in families without. */
  int pooledWidth();

  /**
   * A prompt's embedding, the caller's.
   *
   * @param negative whether it is guidance's other side, which some families treat apart
   */
  Embedding embed(NDManager target, String prompt, boolean negative);

  /** A prompt's token at each place of its embedding: start, text, end, padding. */
  default long[] tokens(String prompt) {
    throw new UnsupportedOperationException("places of several tokenizers");
  }

  /** The place of the first end token. */
  default int end(long[] tokens) {
    throw new UnsupportedOperationException("places of several tokenizers");
  }

  /** Whether a tokenizer cuts this prompt. */
  boolean truncates(String prompt);

  /** The text encoders by their part's name, in the checkpoint's order. */
  Map<String, ? extends TextEncoder> encoders();

  @Override
  default void close() {
    encoders().values().forEach(TextEncoder::close);
  }

  /** One network of a {@link PromptEncoder}, with its tokenizer. */
  interface TextEncoder extends AutoCloseable {
    ScriptModule module();

    /** The tokens' embedding for {@code input_ids} from outside, checked. */
    HostTensor trace(NDManager scratch, Map<String, HostTensor> inputs);

    @Override
    void close();
  }

  /** Closes what a constructor that fails has loaded. */
  static RuntimeException closing(RuntimeException e, List<? extends TextEncoder> loaded) {
    loaded.forEach(TextEncoder::close);
    return e;
  }
}
