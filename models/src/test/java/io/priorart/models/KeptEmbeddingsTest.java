package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class KeptEmbeddingsTest {
  /** Says a prompt's length and side, and remembers what it was asked. */
  private static final class Counting implements PromptEncoder {
    final List<String> asked = new ArrayList<>();
    private final boolean pools;

    Counting(boolean pools) {
      this.pools = pools;
    }

    @Override
    public int width() {
      return 1;
    }

    @Override
    public int pooledWidth() {
      return pools ? 1 : 0;
    }

    @Override
    public Embedding embed(NDManager target, String prompt, boolean negative) {
      asked.add((negative ? "not " : "") + prompt);
      NDArray said = target.create(new float[] {prompt.length(), negative ? 1 : 0});
      return new Embedding(said.reshape(1, 2, 1), pools ? said.mul(2).reshape(1, 2) : null);
    }

    @Override
    public boolean truncates(String prompt) {
      return false;
    }

    @Override
    public Map<String, ? extends TextEncoder> encoders() {
      return Map.of();
    }
  }

  @Test
  void aPromptIsEncodedOnceForEachSideOfGuidance() {
    Counting prompts = new Counting(true);
    try (NDManager manager = NDManager.newBaseManager()) {
      KeptEmbeddings kept = new KeptEmbeddings(prompts, manager);
      for (int job = 0; job < 3; job++) {
        try (NDManager target = NDManager.newBaseManager()) {
          PromptEncoder.Embedding cat = kept.embed(target, "cat", false);
          assertArrayEquals(new float[] {3, 0}, cat.tokens().toFloatArray());
          assertArrayEquals(new float[] {6, 0}, cat.pooled().toFloatArray());
          PromptEncoder.Embedding not = kept.embed(target, "cat", true);
          assertArrayEquals(new float[] {3, 1}, not.tokens().toFloatArray());
        }
      }
      assertEquals(List.of("cat", "not cat"), prompts.asked);
      assertEquals(0, manager.getManagedArrays().size(), "kept on the host");
    }
  }

  @Test
  void thePromptAskedForLongestAgoGoesFirst() {
    Counting prompts = new Counting(false);
    try (NDManager manager = NDManager.newBaseManager()) {
      KeptEmbeddings kept = new KeptEmbeddings(prompts, manager);
      for (int i = 0; i < KeptEmbeddings.MOST; i++) {
        kept.embed(manager, "prompt " + i, false);
      }
      assertNull(kept.embed(manager, "prompt 0", false).pooled());
      kept.embed(manager, "one more", false);
      prompts.asked.clear();
      kept.embed(manager, "prompt 0", false);
      kept.embed(manager, "prompt 1", false);
      assertEquals(List.of("prompt 1"), prompts.asked);
    }
  }
}
