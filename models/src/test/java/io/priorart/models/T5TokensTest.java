package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** T5's tokens against SentencePiece and transformers (testdata/fixtures/make_sd3.py). */
class T5TokensTest {
  private static final Path T5 = Fixtures.HOME.resolve("t5");

  @ParameterizedTest
  @ValueSource(strings = {"t5", "sd3/tokenizer_3"})
  void promptsBecomeTheSameTokens(String folder) throws Exception {
    Map<String, long[]> prompts =
        new ObjectMapper().readValue(T5.resolve("ids.json").toFile(), new TypeReference<>() {});
    assertTrue(prompts.size() > 40);
    try (T5Tokenizer tokenizer = T5Tokenizer.open(Fixtures.HOME.resolve(folder))) {
      prompts.forEach(
          (prompt, ids) -> {
            long[] expected = Arrays.copyOf(ids, ids.length + 3);
            expected[ids.length] = 1;
            ClipTokenizer.Encoded encoded = tokenizer.encode(prompt, expected.length);
            assertFalse(encoded.truncated());
            assertArrayEquals(expected, encoded.ids(), prompt);
          });
    }
  }

  @Test
  void longPromptsEndWithTheEndToken() {
    try (T5Tokenizer tokenizer = T5Tokenizer.open(T5)) {
      ClipTokenizer.Encoded encoded = tokenizer.encode("a cat of a tree", 4);
      assertTrue(encoded.truncated());
      assertEquals(1, encoded.ids()[3]);
    }
  }

  @Test
  void damagedModelsAreRefusedByName(@TempDir Path folder) throws Exception {
    byte[] whole = Files.readAllBytes(T5.resolve("spiece.model"));
    for (int length : new int[] {0, 1, 7, 1000, whole.length - 1}) {
      Files.write(folder.resolve("spiece.model"), Arrays.copyOf(whole, length));
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> T5Tokenizer.open(folder), "" + length);
      assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
      assertTrue(e.getMessage().contains("spiece.model"), e.getMessage());
    }
    Files.delete(folder.resolve("spiece.model"));
    PriorArtException e = assertThrows(PriorArtException.class, () -> T5Tokenizer.open(folder));
    assertEquals(ErrorKind.NOT_FOUND, e.kind());
  }
}
