package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;

/**
 * A {@code .safetensors} file: 8 bytes of little-endian header length, a JSON header, the tensors'
 * bytes. The whole header is validated before anything is mapped: its size is bounded, offsets lie
 * inside the file, do not overlap, leave no hole, and agree with shape and type.
 */
public final class SafetensorsFile implements TensorSource {
  /** The limit of the reference implementation. */
  private static final long MAX_HEADER_BYTES = 100_000_000;

  private static final int MAX_AXES = 8;

  /** Bytes of a tensor. */
  private static final int WORTH_SHARING = 1 << 20;

  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  /** The format's element types and their bits; not all can be weights. */
  private enum ElementType {
    F64(64),
    F32(32),
    F16(16),
    BF16(16),
    F8_E5M2(8),
    F8_E4M3(8),
    F8_E8M0(8),
    F6_E2M3(6),
    F6_E3M2(6),
    F4(4),
    C64(64),
    I64(64),
    U64(64),
    I32(32),
    U32(32),
    I16(16),
    U16(16),
    I8(8),
    U8(8),
    BOOL(8);

    final int bits;

    ElementType(int bits) {
      this.bits = bits;
    }

    /** {@code null} for a name that is none. */
    static ElementType of(String name) {
      return Arrays.stream(values()).filter(t -> t.name().equals(name)).findFirst().orElse(null);
    }
  }

  /**
   * Bits of an element.
   *
   * @param type as {@link #type} gives it
   */
  public static int bits(String type) {
    return ElementType.valueOf(type).bits;
  }

  private record Entry(ElementType type, Shape shape, long begin, long end) {}

  private final Path path;
  private final long dataStart;
  private final Map<String, Entry> entries;
  private final Map<String, String> metadata;
  private final Map<Entry, ByteBuffer> mappings = new ConcurrentHashMap<>();

  private SafetensorsFile(
      Path path, long dataStart, Map<String, Entry> entries, Map<String, String> metadata) {
    this.path = path;
    this.dataStart = dataStart;
    this.entries = entries;
    this.metadata = metadata;
  }

  /**
   * Reads and validates the header.
   *
   * @throws PriorArtException NOT_FOUND, or INVALID_ARGUMENT naming the file and the defect
   */
  public static SafetensorsFile open(Path path) {
    if (!Files.isRegularFile(path)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, path + ": no such file");
    }
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      long size = channel.size();
      if (size < 8) {
        throw bad(path, "is too short for a safetensors file");
      }
      long headerBytes = read(channel, 0, 8).getLong();
      if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || headerBytes > size - 8) {
        throw bad(path, "declares a header of " + headerBytes + " bytes in a file of " + size);
      }
      byte[] header = new byte[(int) headerBytes];
      read(channel, 8, header.length).get(header);
      return parse(path, header, 8 + headerBytes, size - 8 - headerBytes);
    } catch (JsonProcessingException e) {
      throw bad(path, "has a header that is not valid JSON: " + e.getOriginalMessage());
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": " + e.getMessage(), e);
    }
  }

  /** Read as a stream, so that a hostile header costs no more memory than what it may hold. */
  private static SafetensorsFile parse(Path path, byte[] header, long dataStart, long dataBytes)
      throws IOException {
    Map<String, Entry> entries = new LinkedHashMap<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    try (JsonParser json = JSON.createParser(header)) {
      if (json.nextToken() != JsonToken.START_OBJECT) {
        throw bad(path, "has a header that is not a JSON object");
      }
      while (json.nextToken() != JsonToken.END_OBJECT) {
        String name = json.currentName();
        if (json.nextToken() != JsonToken.START_OBJECT) {
          throw bad(path, "has a header whose " + name + " is no object");
        }
        if (name.equals("__metadata__")) {
          metadata(path, json, metadata);
        } else {
          entries.put(name, entry(path, name, json, dataBytes));
        }
      }
      if (json.nextToken() != null) {
        throw bad(path, "has a header that goes on after its JSON object");
      }
    }
    List<Entry> ordered = new ArrayList<>(entries.values());
    ordered.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    long at = 0;
    for (Entry e : ordered) {
      if (e.begin() != at) {
        throw bad(path, "has tensors that overlap or leave a hole at data offset " + at);
      }
      at = e.end();
    }
    if (at != dataBytes) {
      throw bad(path, "holds " + dataBytes + " bytes of data, its header describes " + at);
    }
    return new SafetensorsFile(path, dataStart, entries, metadata);
  }

  private static void metadata(Path path, JsonParser json, Map<String, String> metadata)
      throws IOException {
    while (json.nextToken() != JsonToken.END_OBJECT) {
      String key = json.currentName();
      if (json.nextToken() != JsonToken.VALUE_STRING) {
        throw bad(path, "has __metadata__ whose " + key + " is no text");
      }
      metadata.put(key, json.getText());
    }
  }

  private static Entry entry(Path path, String name, JsonParser json, long dataBytes)
      throws IOException {
    ElementType type = null;
    long[] shape = null;
    long[] offsets = null;
    while (json.nextToken() != JsonToken.END_OBJECT) {
      String key = json.currentName();
      JsonToken value = json.nextToken();
      switch (key) {
        case "dtype" -> {
          if (value != JsonToken.VALUE_STRING) {
            throw bad(path, "tensor " + name + " has an element type that is no text");
          }
          type = ElementType.of(json.getText());
        }
        case "shape" -> shape = numbers(json, value, MAX_AXES);
        case "data_offsets" -> offsets = numbers(json, value, 2);
        default -> throw bad(path, "tensor " + name + " has an unknown " + key);
      }
    }
    if (type == null) {
      throw bad(path, "tensor " + name + " has no element type of the format");
    }
    if (shape == null || offsets == null || offsets.length != 2) {
      throw bad(path, "tensor " + name + " has a malformed shape or data_offsets");
    }
    long bits = type.bits;
    for (long size : shape) {
      if (size < 0 || size > 0 && bits > dataBytes * 8 / size) {
        throw bad(
            path,
            "tensor " + name + " of shape " + Arrays.toString(shape) + " does not fit the file");
      }
      bits *= size;
    }
    long begin = offsets[0];
    long end = offsets[1];
    if (begin < 0 || end > dataBytes || bits % 8 != 0 || end - begin != bits / 8) {
      throw bad(
          path,
          "tensor " + name + " of " + bits + " bits has data_offsets " + Arrays.toString(offsets));
    }
    return new Entry(type, new Shape(shape), begin, end);
  }

  /** A list of at most {@code most} whole numbers. */
  private static long[] numbers(JsonParser json, JsonToken first, int most) throws IOException {
    long[] numbers = new long[most];
    int count = 0;
    if (first != JsonToken.START_ARRAY) {
      throw new JsonParseException(json, "a list of whole numbers is wanted");
    }
    while (json.nextToken() != JsonToken.END_ARRAY) {
      if (json.currentToken() != JsonToken.VALUE_NUMBER_INT
          || json.getNumberType() == JsonParser.NumberType.BIG_INTEGER
          || count == most) {
        throw new JsonParseException(
            json, "a list of at most " + most + " whole numbers is wanted");
      }
      numbers[count++] = json.getLongValue();
    }
    return Arrays.copyOf(numbers, count);
  }

  private static ByteBuffer read(FileChannel channel, long position, int count) throws IOException {
    return read(channel, position, ByteBuffer.allocate(count));
  }

  private static ByteBuffer read(FileChannel channel, long position, ByteBuffer buffer)
      throws IOException {
    buffer.order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, position + buffer.position()) < 0) {
        throw new IOException("truncated");
      }
    }
    return buffer.flip();
  }

  private static PriorArtException bad(Path path, String problem) {
    return new PriorArtException(ErrorKind.INVALID_ARGUMENT, path + " " + problem);
  }

  @Override
  public String name() {
    return path.toString();
  }

  @Override
  public Map<String, Shape> shapes() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    entries.forEach((name, entry) -> shapes.put(name, entry.shape()));
    return shapes;
  }

  /** The header's {@code __metadata__}. */
  public Map<String, String> metadata() {
    return Map.copyOf(metadata);
  }

  @Override
  public String type(String name) {
    return require(name).type().name();
  }

  @Override
  public NDArray map(NDManager manager, String name, Staging staging) {
    Entry e = require(name);
    long[] dims = e.shape().getShape().clone();
    DataType type;
    switch (e.type()) {
      case F32 -> type = DataType.FLOAT32;
      case F16 -> type = DataType.FLOAT16;
      case U8 -> type = DataType.UINT8;
      case BF16 -> {
        type = DataType.UINT8;
        if (dims.length == 0) {
          throw bad(path, "tensor " + name + " is a bfloat16 scalar, which cannot be mapped");
        }
        dims[dims.length - 1] *= 2;
      }
      default ->
          throw bad(
              path,
              "tensor "
                  + name
                  + " is "
                  + e.type()
                  + ", which no network here computes with; use a file of F32, F16 or BF16");
    }
    requireReadable(name, e);
    ByteBuffer bytes = staging == null ? mapped(e) : staged(e, staging);
    return JniUtils.createNdFromByteBuffer(
        (PtNDManager) manager,
        bytes,
        new Shape(dims),
        type,
        SparseFormat.DENSE,
        manager.getDevice());
  }

  /** A tensor copied to the host as float32; integers are converted. */
  public HostTensor read(String name) {
    Entry e = require(name);
    ByteBuffer bytes = mapped(e);
    requireReadable(name, e);
    float[] values = new float[(int) e.shape().size()];
    for (int i = 0; i < values.length; i++) {
      values[i] =
          switch (e.type()) {
            case F32 -> bytes.getFloat();
            case F16 -> HalfFloat.toFloat(bytes.getShort());
            case BF16 -> Float.intBitsToFloat(bytes.getShort() << 16);
            case I64 -> bytes.getLong();
            case I32 -> bytes.getInt();
            case U8, BOOL -> bytes.get() & 0xff;
            case F64 -> (float) bytes.getDouble();
            default -> throw bad(path, "tensor " + name + " of type " + e.type() + " is not read");
          };
    }
    return new HostTensor(e.shape(), values);
  }

  /** What Java can map at once. */
  private void requireReadable(String name, Entry e) {
    if (e.end() - e.begin() > Integer.MAX_VALUE) {
      throw bad(path, "tensor " + name + " of " + e.shape() + " is larger than 2 GiB");
    }
  }

  private Entry require(String name) {
    Entry e = entries.get(name);
    if (e == null) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          path
              + " has no tensor "
              + name
              + "; it has "
              + TensorSource.some(List.copyOf(entries.keySet())));
    }
    return e;
  }

  /**
   * Mapped once and kept: tensors alias this memory, which must not be unmapped while this object
   * lives.
   */
  private ByteBuffer mapped(Entry e) {
    return mappings.computeIfAbsent(e, this::mapFile).duplicate().order(ByteOrder.nativeOrder());
  }

  /** Large tensors by all cores: one alone copies slower than the memory takes it. */
  private ByteBuffer staged(Entry e, Staging staging) {
    ByteBuffer room = staging.take((int) (e.end() - e.begin()));
    long bytes = room.capacity();
    int parts = bytes < WORTH_SHARING ? 1 : Runtime.getRuntime().availableProcessors();
    IntStream.range(0, parts)
        .parallel()
        .forEach(
            part -> {
              int from = (int) (bytes * part / parts);
              int to = (int) (bytes * (part + 1) / parts);
              fill(room.slice(from, to - from), dataStart + e.begin() + from);
            });
    return room;
  }

  private void fill(ByteBuffer room, long position) {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      read(channel, position, room);
    } catch (IOException ex) {
      throw new UncheckedIOException(path + ": " + ex.getMessage(), ex);
    }
  }

  private ByteBuffer mapFile(Entry e) {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      long begin = dataStart + e.begin();
      int bytes = (int) (e.end() - e.begin());
      // kernels may expect elements at multiples of their size, which the format only recommends
      return begin * 8 % e.type().bits == 0
          ? channel.map(FileChannel.MapMode.READ_ONLY, begin, bytes)
          : read(channel, begin, ByteBuffer.allocateDirect(bytes));
    } catch (IOException ex) {
      throw new UncheckedIOException(ex);
    }
  }
}
