package io.priorart.models.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Hostile headers are refused by name; values survive a round trip. */
class SafetensorsFileTest {
  @TempDir private Path dir;

  private Path file(String header, int dataBytes) throws IOException {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes =
        ByteBuffer.allocate(8 + json.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(json.length).put(json);
    return Files.write(dir.resolve("f.safetensors"), bytes.array());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}} | 8 | data_offsets",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-4,4]}} | 8 | data_offsets",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}} | 8 | data_offsets",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}} | 8 | hole",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | 8 | describes 4",
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}} | 8 | type",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}} | 8 | fit",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}} | 8 | fit",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}} | 8 | shape",
        "{\"a\":1,\"a\":2} | 0 | JSON",
        "[1] | 0 | object",
        "{ | 0 | header"
      })
  void malformedHeadersAreRefused(String header, int dataBytes, String reason) throws IOException {
    Path path = file(header, dataBytes);
    PriorArtException e = assertThrows(PriorArtException.class, () -> SafetensorsFile.open(path));
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MAX_VALUE, 200_000_000L, 9})
  void headerLengthsAreBounded(long length) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
    Path path = Files.write(dir.resolve("g.safetensors"), bytes.array());
    assertThrows(PriorArtException.class, () -> SafetensorsFile.open(path));
  }

  @Test
  void valuesSurvive() {
    HostTensor exact =
        new HostTensor(
            new Shape(2, 4), new float[] {0, -0f, 1, -2.5f, 65504, 6e-8f, 0.333251953125f, 1e-4f});
    Path path = dir.resolve("h.safetensors");
    SafetensorsWriter.write(path, Map.of("t", exact), Map.of("k", "v"), false);
    assertEquals(exact, SafetensorsFile.open(path).read("t"));
    assertEquals("v", SafetensorsFile.open(path).metadata().get("k"));
    SafetensorsWriter.write(path, Map.of("t", exact), Map.of(), true);
    float[] half = SafetensorsFile.open(path).read("t").values();
    for (int i = 0; i < half.length; i++) {
      float v = exact.values()[i];
      // half a unit in the last of eleven bits, or half the smallest subnormal
      assertEquals(v, half[i], Math.max(Math.abs(v) * 0x1p-11f, 0x1p-25f));
    }
  }
}
