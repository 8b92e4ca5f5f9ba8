package io.priorart.models.train;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * A TensorBoard event file, one lap each: records of {@code length u64, crc(length) u32, data,
 * crc(data) u32}, little endian, where {@code crc} is a masked CRC-32C and the data a protocol
 * buffers message {@code Event} with its {@code Summary}.
 */
final class EventFile {
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED32 = 5;
  private static final int RGB = 3;

  private final Path file;

  /** Creates {@code events.out.tfevents.SECONDS.priorart} in the folder. */
  EventFile(Path folder) throws IOException {
    long now = System.currentTimeMillis();
    String name = "events.out.tfevents.%010d.%03d.priorart".formatted(now / 1000, now % 1000);
    file = folder.resolve(name);
    Files.createFile(file);
    append(event(0, new Message().bytes(3, "brain.Event:2".getBytes(StandardCharsets.UTF_8))));
  }

  Path path() {
    return file;
  }

  /** Appends one value for each tag. */
  void scalars(long step, Map<String, Double> values) throws IOException {
    Message summary = new Message();
    values.forEach(
        (tag, value) ->
            summary.bytes(1, new Message().text(1, tag).fixed32(2, value.floatValue()).done()));
    append(event(step, new Message().bytes(5, summary.done())));
  }

  /** Appends a picture. */
  void image(long step, String tag, int width, int height, byte[] png) throws IOException {
    Message image = new Message().varint(1, height).varint(2, width).varint(3, RGB).bytes(4, png);
    Message value = new Message().text(1, tag).bytes(4, image.done());
    append(event(step, new Message().bytes(5, new Message().bytes(1, value.done()).done())));
  }

  private static byte[] event(long step, Message what) {
    double seconds = System.currentTimeMillis() / 1e3;
    return new Message().fixed64(1, seconds).varint(2, step).append(what).done();
  }

  private void append(byte[] data) throws IOException {
    ByteBuffer record = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
    record.putLong(data.length);
    record.putInt(masked(record.array(), Long.BYTES)).put(data).putInt(masked(data, data.length));
    Files.write(file, record.array(), StandardOpenOption.APPEND);
  }

  /** CRC-32C, rotated right by 15 bits plus a constant, as the format has it. */
  static int masked(byte[] data, int length) {
    CRC32C crc = new CRC32C();
    crc.update(data, 0, length);
    return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
  }

  /** Fields of a protocol buffers message, encoded one after the other. */
  private static final class Message {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    private Message raw(long value) {
      long left = value;
      while ((left & ~0x7fL) != 0) {
        out.write((int) (left & 0x7f | 0x80));
        left >>>= 7;
      }
      out.write((int) left);
      return this;
    }

    private Message key(int field, int type) {
      return raw((long) field << 3 | type);
    }

    Message varint(int field, long value) {
      return key(field, VARINT).raw(value);
    }

    Message bytes(int field, byte[] value) {
      key(field, BYTES).raw(value.length).out.writeBytes(value);
      return this;
    }

    Message text(int field, String value) {
      return bytes(field, value.getBytes(StandardCharsets.UTF_8));
    }

    Message fixed32(int field, float value) {
      ByteBuffer b = ByteBuffer.allocate(Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
      key(field, FIXED32).out.writeBytes(b.putFloat(value).array());
      return this;
    }

    Message fixed64(int field, double value) {
      ByteBuffer b = ByteBuffer.allocate(Double.BYTES).order(ByteOrder.LITTLE_ENDIAN);
      key(field, FIXED64).out.writeBytes(b.putDouble(value).array());
      return this;
    }

    Message append(Message other) {
      out.writeBytes(other.done());
      return this;
    }

    byte[] done() {
      return out.toByteArray();
    }
  }
}
