package io.priorart.runtime.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * A TIFF structure in memory, which is what an EXIF block is as well as a TIFF file (TIFF 6.0, EXIF
 * 2.32). It is edited in place: nothing moves, so that offsets inside maker notes stay right. What
 * points outside of the block counts as absent.
 */
final class TiffBlock {
  private static final int ENTRY = 12;
  private static final int BYTE = 1;
  private static final int SHORT = 3;
  private static final int LONG = 4;
  private static final int UNDEFINED = 7;

  private static final int IMAGE_WIDTH = 0x100;
  private static final int IMAGE_LENGTH = 0x101;
  private static final int STRIP_OFFSETS = 0x111;
  private static final int ORIENTATION = 0x112;
  private static final int STRIP_BYTE_COUNTS = 0x117;
  private static final int JPEG_OFFSET = 0x201;
  private static final int JPEG_LENGTH = 0x202;
  private static final int ICC_PROFILE = 0x8773;
  private static final int EXIF_DIRECTORY = 0x8769;
  private static final int PIXEL_X_DIMENSION = 0xa002;
  private static final int PIXEL_Y_DIMENSION = 0xa003;

  private final ByteBuffer data;
  private final long first;

  private TiffBlock(ByteBuffer data) {
    this.data = data;
    first = unsigned(4);
  }

  /** The block in these bytes, which are shared; {@code null} if they hold none (or a BigTIFF). */
  static TiffBlock of(byte[] bytes) {
    if (bytes == null || bytes.length < 8) {
      return null;
    }
    ByteBuffer data = ByteBuffer.wrap(bytes);
    switch (data.getShort(0)) {
      case 0x4d4d -> data.order(ByteOrder.BIG_ENDIAN);
      case 0x4949 -> data.order(ByteOrder.LITTLE_ENDIAN);
      default -> {
        return null;
      }
    }
    TiffBlock block = new TiffBlock(data);
    return data.getShort(2) == 42 && block.size(block.first) > 0 ? block : null;
  }

  private long unsigned(int at) {
    return Integer.toUnsignedLong(data.getInt(at));
  }

  /** Number of entries of a directory; 0 unless all of them are inside. */
  private int size(long directory) {
    if (directory < 8 || directory > data.capacity() - 2) {
      return 0;
    }
    int size = Short.toUnsignedInt(data.getShort((int) directory));
    return directory + 2 + (long) ENTRY * size <= data.capacity() ? size : 0;
  }

  /** Where the entries with a tag are: one, if the file is sound. */
  private IntStream entries(long directory, int tag) {
    return IntStream.range(0, size(directory))
        .map(i -> (int) directory + 2 + ENTRY * i)
        .filter(at -> Short.toUnsignedInt(data.getShort(at)) == tag);
  }

  /** Whole numbers under a tag; none if it is absent or of another type. */
  private long[] values(long directory, int tag) {
    int entry = entries(directory, tag).findFirst().orElse(-1);
    if (entry < 0) {
      return new long[0];
    }
    int type = data.getShort(entry + 2);
    long count = unsigned(entry + 4);
    int width = type == SHORT ? 2 : 4;
    long from = count * width <= 4 ? entry + 8 : unsigned(entry + 8);
    if (type != SHORT && type != LONG || from + count * width > data.capacity()) {
      return new long[0];
    }
    return IntStream.range(0, (int) count)
        .map(i -> (int) from + i * width)
        .mapToLong(at -> type == SHORT ? Short.toUnsignedInt(data.getShort(at)) : unsigned(at))
        .toArray();
  }

  private long value(long directory, int tag, long otherwise) {
    long[] values = values(directory, tag);
    return values.length == 0 ? otherwise : values[0];
  }

  /** 1 to 8; 1 if nothing valid is said. */
  int orientation() {
    long said = value(first, ORIENTATION, 1);
    return said >= 1 && said <= 8 ? (int) said : 1;
  }

  /** The ICC profile of the first picture; {@code null} if there is none within the limit. */
  byte[] profile(int maxBytes) {
    int entry = entries(first, ICC_PROFILE).findFirst().orElse(-1);
    if (entry < 0) {
      return null;
    }
    int type = data.getShort(entry + 2);
    long length = unsigned(entry + 4);
    long from = unsigned(entry + 8);
    boolean inside = length > 4 && length <= maxBytes && from + length <= data.capacity();
    return inside && (type == UNDEFINED || type == BYTE)
        ? Arrays.copyOfRange(data.array(), (int) from, (int) (from + length))
        : null;
  }

  /**
   * Makes an EXIF block true of a picture that was turned upright, resized and altered: orientation
   * 1, its size, and no thumbnail, whose bytes are erased.
   */
  void describe(int width, int height) {
    eraseThumbnail();
    set(first, ORIENTATION, SHORT, 1);
    set(first, IMAGE_WIDTH, LONG, width);
    set(first, IMAGE_LENGTH, LONG, height);
    long exif = value(first, EXIF_DIRECTORY, 0);
    set(exif, PIXEL_X_DIMENSION, LONG, width);
    set(exif, PIXEL_Y_DIMENSION, LONG, height);
  }

  /** Sets a tag wherever it is present. */
  private void set(long directory, int tag, int type, int value) {
    entries(directory, tag)
        .forEach(
            at -> {
              data.putShort(at + 2, (short) type).putInt(at + 4, 1).putInt(at + 8, 0);
              if (type == SHORT) {
                data.putShort(at + 8, (short) value);
              } else {
                data.putInt(at + 8, value);
              }
            });
  }

  private void eraseThumbnail() {
    long link = first + 2 + (long) ENTRY * size(first);
    if (link + 4 > data.capacity()) {
      return;
    }
    long second = unsigned((int) link);
    data.putInt((int) link, 0);
    erase(values(second, JPEG_OFFSET), values(second, JPEG_LENGTH));
    erase(values(second, STRIP_OFFSETS), values(second, STRIP_BYTE_COUNTS));
  }

  private void erase(long[] offsets, long[] lengths) {
    for (int i = 0; i < Math.min(offsets.length, lengths.length); i++) {
      long from = Math.min(offsets[i], data.capacity());
      long to = Math.min(from + lengths[i], data.capacity());
      Arrays.fill(data.array(), (int) from, (int) to, (byte) 0);
    }
  }

  /** The file with a profile and, for it, a longer first directory at its end. */
  byte[] withProfile(byte[] profile) {
    int size = size(first);
    int profileAt = even(data.capacity());
    int directoryAt = even(profileAt + profile.length);
    ByteBuffer out =
        ByteBuffer.allocate(directoryAt + 2 + ENTRY * (size + 1) + 4).order(data.order());
    out.put(data.array()).position(profileAt).put(profile).position(directoryAt);
    out.putInt(4, directoryAt).putShort((short) (size + 1));
    int at = (int) first + 2;
    // entries are sorted by their tag
    int before =
        (int)
            IntStream.range(0, size)
                .filter(i -> Short.toUnsignedInt(data.getShort(at + ENTRY * i)) < ICC_PROFILE)
                .count();
    out.put(data.array(), at, ENTRY * before);
    out.putShort((short) ICC_PROFILE).putShort((short) UNDEFINED);
    out.putInt(profile.length).putInt(profileAt);
    out.put(data.array(), at + ENTRY * before, ENTRY * (size - before) + 4);
    return out.array();
  }

  private static int even(int offset) {
    return offset + (offset & 1);
  }
}
