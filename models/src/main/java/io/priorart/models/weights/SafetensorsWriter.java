package io.priorart.models.weights;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.solver.HostTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/**
 * Writes {@code .safetensors} files, aside and then renamed, so that a reader never sees half of
 * one.
 */
public final class SafetensorsWriter {
  private static final ObjectMapper JSON = new ObjectMapper();

  private SafetensorsWriter() {}

  /**
   * Writes tensors in map order, replacing {@code path}.
   *
   * @param half store as float16 instead of float32
   */
  public static void write(
      Path path, Map<String, HostTensor> tensors, Map<String, String> metadata, boolean half) {
    int width = half ? 2 : 4;
    ObjectNode header = JSON.createObjectNode();
    ObjectNode meta = header.putObject("__metadata__");
    metadata.forEach(meta::put);
    long offset = 0;
    for (Map.Entry<String, HostTensor> e : tensors.entrySet()) {
      ObjectNode node = header.putObject(e.getKey());
      node.put("dtype", half ? "F16" : "F32");
      var shape = node.putArray("shape");
      for (long d : e.getValue().shape().getShape()) {
        shape.add(d);
      }
      long bytes = (long) e.getValue().values().length * width;
      node.putArray("data_offsets").add(offset).add(offset + bytes);
      offset += bytes;
    }
    String json = header.toString();
    // data starts at a multiple of 8; the format allows trailing spaces
    json += " ".repeat((8 - json.getBytes(StandardCharsets.UTF_8).length % 8) % 8);
    byte[] headerBytes = json.getBytes(StandardCharsets.UTF_8);
    Path aside = path.resolveSibling("." + path.getFileName() + ".part");
    try {
      try (FileChannel out =
          FileChannel.open(
              aside,
              StandardOpenOption.CREATE,
              StandardOpenOption.TRUNCATE_EXISTING,
              StandardOpenOption.WRITE)) {
        ByteBuffer head =
            ByteBuffer.allocate(8 + headerBytes.length).order(ByteOrder.LITTLE_ENDIAN);
        writeAll(out, head.putLong(headerBytes.length).put(headerBytes).flip());
        for (HostTensor tensor : tensors.values()) {
          float[] values = tensor.values();
          ByteBuffer data =
              ByteBuffer.allocate(values.length * width).order(ByteOrder.LITTLE_ENDIAN);
          for (float v : values) {
            if (half) {
              data.putShort(HalfFloat.fromFloat(v));
            } else {
              data.putFloat(v);
            }
          }
          writeAll(out, data.flip());
        }
        out.force(true);
      }
      Files.move(aside, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      try {
        Files.deleteIfExists(aside);
      } catch (IOException suppressed) {
        e.addSuppressed(suppressed);
      }
      throw new UncheckedIOException(e);
    }
  }

  private static void writeAll(FileChannel out, ByteBuffer data) throws IOException {
    while (data.hasRemaining()) {
      out.write(data);
    }
  }
}
