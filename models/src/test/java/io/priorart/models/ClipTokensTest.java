package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.tokenizer.ClipTokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.stream.StreamSupport;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;

/** CLIP's published vocabulary against transformers (testdata/fixtures/make_tokens.py). */
class ClipTokensTest {
  @Test
  void twoThousandPromptsHaveTransformersIds() throws IOException {
    JsonNode rows;
    try (InputStream in =
        new GZIPInputStream(Files.newInputStream(Fixtures.HOME.resolve("clip-tokens.json.gz")))) {
      rows = new ObjectMapper().readTree(in).path("rows");
    }
    assertEquals(2000, rows.size());
    try (ClipTokenizer tokenizer = ClipTokenizer.published("!", 77)) {
      for (JsonNode row : rows) {
        long[] expected =
            StreamSupport.stream(row.path("ids").spliterator(), false)
                .mapToLong(JsonNode::asLong)
                .toArray();
        long[] ids = tokenizer.encode(row.path("prompt").textValue()).ids();
        String prompt = row.path("prompt").toString();
        assertArrayEquals(expected, Arrays.copyOf(ids, expected.length), prompt);
        for (int i = expected.length; i < ids.length; i++) {
          assertEquals(0, ids[i], prompt);
        }
      }
    }
  }
}
