package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.HostTensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The last prompts' embeddings, so that jobs with one prompt encode it once. They lie on the host
 * and outlive the job that asked first. Safe for concurrent use.
 */
final class KeptEmbeddings {
  /** Prompts kept; the one asked for longest ago goes first. */
  static final int MOST = 16;

  private final PromptEncoder prompts;
  private final NDManager manager;
  private final Map<String, Kept> kept =
      new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Kept> eldest) {
          return size() > MOST;
        }
      };

  private record Kept(HostTensor tokens, HostTensor pooled) {}

  /**
   * @param manager under whose children prompts are encoded
   */
  KeptEmbeddings(PromptEncoder prompts, NDManager manager) {
    this.prompts = prompts;
    this.manager = manager;
  }

  /** As {@link PromptEncoder#embed}, without encoding what is kept. */
  synchronized PromptEncoder.Embedding embed(NDManager target, String text, boolean negative) {
    String key = (negative ? "-" : "+") + text;
    Kept found = kept.get(key);
    if (found == null) {
      try (NDManager scratch = manager.newSubManager()) {
        PromptEncoder.Embedding made = prompts.embed(scratch, text, negative);
        NDArray pooled = made.pooled();
        found =
            new Kept(HostTensor.of(made.tokens()), pooled == null ? null : HostTensor.of(pooled));
      }
      kept.put(key, found);
    }
    return new PromptEncoder.Embedding(
        found.tokens().to(target), found.pooled() == null ? null : found.pooled().to(target));
  }
}
