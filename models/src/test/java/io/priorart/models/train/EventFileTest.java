package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The event file read back field by field. */
class EventFileTest {
  @TempDir private Path dir;

  /** CRC-32C bit by bit, polynomial reversed; the mask in 64-bit arithmetic. */
  private static int maskedByHand(byte[] data) {
    int crc = ~0;
    for (byte b : data) {
      crc ^= b & 0xff;
      for (int i = 0; i < 8; i++) {
        crc = (crc >>> 1) ^ ((crc & 1) == 1 ? 0x82f63b78 : 0);
      }
    }
    long value = ~crc & 0xffffffffL;
    return (int) ((value >>> 15 | value << 17) + 0xa282ead8L);
  }

  private static List<byte[]> records(Path file) throws Exception {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    List<byte[]> records = new ArrayList<>();
    while (in.hasRemaining()) {
      byte[] length = new byte[8];
      in.duplicate().get(length);
      int size = (int) in.getLong();
      assertEquals(maskedByHand(length), in.getInt(), "checksum of the length");
      byte[] data = new byte[size];
      in.get(data);
      assertEquals(maskedByHand(data), in.getInt(), "checksum of the data");
      records.add(data);
    }
    return records;
  }

  /** The message's fields as {@code number:type} and value. */
  private static List<Object> fields(byte[] message) {
    ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
    List<Object> fields = new ArrayList<>();
    while (in.hasRemaining()) {
      long key = varint(in);
      fields.add((int) (key >>> 3));
      switch ((int) (key & 7)) {
        case 0 -> fields.add(varint(in));
        case 1 -> fields.add(in.getDouble());
        case 2 -> {
          byte[] bytes = new byte[(int) varint(in)];
          in.get(bytes);
          fields.add(bytes);
        }
        case 5 -> fields.add(in.getFloat());
        default -> throw new AssertionError("wire type of key " + key);
      }
    }
    return fields;
  }

  private static long varint(ByteBuffer in) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte b = in.get();
      value |= (long) (b & 0x7f) << shift;
      if (b >= 0) {
        return value;
      }
    }
  }

  @Test
  void scalarsAndPicturesComeBack() throws Exception {
    EventFile file = new EventFile(dir);
    file.scalars(300, Map.of("loss", 0.25));
    byte[] png = new byte[1000];
    Arrays.fill(png, (byte) 7);
    file.image(1L << 40, "grid", 20, 10, png);
    List<byte[]> records = records(file.path());
    assertEquals(3, records.size());
    List<Object> version = fields(records.get(0));
    assertEquals(List.of(1, 2, 3), List.of(version.get(0), version.get(2), version.get(4)));
    assertEquals("brain.Event:2", text(version.get(5)));
    List<Object> scalar = fields(records.get(1));
    assertEquals(System.currentTimeMillis() / 1e3, (double) scalar.get(1), 60);
    assertEquals(300L, scalar.get(3));
    List<Object> value = fields((byte[]) fields((byte[]) scalar.get(5)).get(1));
    assertEquals("loss", text(value.get(1)));
    assertEquals(List.of(2, 0.25f), value.subList(2, 4));
    List<Object> picture = fields(records.get(2));
    assertEquals(1L << 40, picture.get(3));
    List<Object> shown = fields((byte[]) fields((byte[]) picture.get(5)).get(1));
    assertEquals("grid", text(shown.get(1)));
    List<Object> image = fields((byte[]) shown.get(3));
    assertEquals(List.of(1, 10L, 2, 20L, 3, 3L, 4), image.subList(0, 7));
    assertArrayEquals(png, (byte[]) image.get(7));
  }

  private static String text(Object bytes) {
    return new String((byte[]) bytes, StandardCharsets.UTF_8);
  }
}
