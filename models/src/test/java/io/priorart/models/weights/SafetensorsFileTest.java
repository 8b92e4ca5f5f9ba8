package io.priorart.models.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.Set;
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
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,8]}} | 8 | type",
        "{\"a\":{\"shape\":[1],\"data_offsets\":[0,8]}} | 8 | type",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}} | 8 | shape",
        "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}} | 2 | 12 bits",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}} | 1 | unknown x",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}{} | 0 | goes on",
        "{\"__metadata__\":{\"k\":1}} | 0 | no text",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}} | 8 | fit",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}} | 8 | fit",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}} | 8 | whole numbers",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}} | 8 | whole",
        "{\"a\":1} | 0 | no object",
        "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}} | 0 | Duplicate",
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
  void elementTypesThatNoNetworkTakesAreRefusedWhenUsed() throws IOException {
    Path path = file("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    SafetensorsFile file = SafetensorsFile.open(path);
    assertEquals("F8_E4M3", file.type("a"));
    PriorArtException e = assertThrows(PriorArtException.class, () -> file.read("a"));
    assertTrue(e.getMessage().contains("F8_E4M3"), e.getMessage());
    try (NDManager manager = NDManager.newBaseManager()) {
      assertThrows(PriorArtException.class, () -> file.map(manager, "a"));
    }
  }

  /** As the format allows, though its writers align them. */
  @Test
  void tensorsThatAreNotAlignedAreRead() throws IOException {
    Path path = file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} ", 8);
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
    int at = bytes.capacity() - 8;
    assertTrue(at % 4 != 0, "not aligned");
    Files.write(path, bytes.putFloat(at, 1.5f).putFloat(at + 4, -2).array());
    SafetensorsFile file = SafetensorsFile.open(path);
    assertArrayEquals(new float[] {1.5f, -2}, file.read("a").values());
    try (NDManager manager = NDManager.newBaseManager()) {
      assertArrayEquals(new float[] {1.5f, -2}, file.map(manager, "a").toFloatArray());
    }
  }

  /** A damaged header is refused, or describes tensors that can be read. */
  @Test
  void damagedHeadersNeverDoHarm() throws IOException {
    String header =
        "{\"__metadata__\":{\"format\":\"pt\"},"
            + "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
            + "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},"
            + "\"c\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[32,33]}}";
    byte[] whole = Files.readAllBytes(file(header, 33));
    String[] pieces = {
      "[", "]", "{", "}", "\"", ",", "-", "9", "99999999999", "0", ":", "null", "e9"
    };
    int opened = 0;
    int refused = 0;
    for (int seed = 0; seed < 4000; seed++) {
      Random random = new Random(seed);
      StringBuilder damaged = new StringBuilder(header);
      for (int i = random.nextInt(3); i >= 0; i--) {
        int at = random.nextInt(damaged.length());
        int end = Math.min(damaged.length(), at + 1 + random.nextInt(4));
        String other =
            random.nextInt(4) == 0
                ? damaged.substring(Math.max(0, at - random.nextInt(60)), end)
                : pieces[random.nextInt(pieces.length)];
        damaged.replace(at, random.nextBoolean() ? at : end, other);
      }
      Path path = file(damaged.toString(), 33);
      if (random.nextInt(8) == 0) {
        byte[] raw = whole.clone();
        raw[random.nextInt(raw.length)] ^= (byte) (1 << random.nextInt(8));
        Files.write(path, Arrays.copyOf(raw, raw.length - random.nextInt(3)));
      }
      try {
        SafetensorsFile file = SafetensorsFile.open(path);
        opened++;
        for (Map.Entry<String, Shape> tensor : file.shapes().entrySet()) {
          if (Set.of("F32", "BF16", "F16", "U8").contains(file.type(tensor.getKey()))) {
            assertEquals(tensor.getValue().size(), file.read(tensor.getKey()).values().length);
          }
        }
      } catch (PriorArtException e) {
        assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind(), e.getMessage());
        refused++;
      }
    }
    assertTrue(opened > 50 && refused > 2000, opened + " opened, " + refused + " refused");
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
