package io.priorart.runtime.image;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * NumPy's array file, as far as kernels need it: two axes, little-endian float32 or float64, C
 * order.
 */
final class Npy {
  private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  private static final Pattern DESCRIPTION =
      Pattern.compile(
          "\\{'descr': '(<f4|<f8)', 'fortran_order': False, 'shape': \\((\\d{1,5}), (\\d{1,5})\\), \\}\\s*");

  private Npy() {}

  /** Whether these bytes begin like such a file. */
  static boolean is(byte[] bytes) {
    return bytes.length >= MAGIC.length
        && ByteBuffer.wrap(bytes, 0, MAGIC.length).equals(ByteBuffer.wrap(MAGIC));
  }

  static HostTensor decode(String name, byte[] bytes, long maxValues) {
    if (bytes.length < 12) {
      throw PictureFiles.bad(name, "is truncated");
    }
    ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    boolean version1 = bytes[6] == 1;
    int start = version1 ? 10 : 12;
    long length = version1 ? in.getShort(8) & 0xffff : in.getInt(8) & 0xffffffffL;
    if (length > bytes.length - start) {
      throw PictureFiles.bad(name, "is truncated");
    }
    String header = new String(bytes, start, (int) length, StandardCharsets.ISO_8859_1);
    Matcher m = DESCRIPTION.matcher(header);
    if (!m.matches()) {
      throw PictureFiles.bad(
          name, "must hold two axes of float32 or float64 in C order; its header is " + header);
    }
    int width = m.group(1).equals("<f4") ? 4 : 8;
    int rows = Integer.parseInt(m.group(2));
    int columns = Integer.parseInt(m.group(3));
    long count = (long) rows * columns;
    if (count == 0 || count * width != bytes.length - start - length) {
      throw PictureFiles.bad(name, "does not hold " + rows + " x " + columns + " values");
    }
    if (count > maxValues) {
      throw PictureFiles.bad(name, "has " + count + " values, the limit is " + maxValues);
    }
    in.position(start + (int) length);
    float[] values = new float[(int) count];
    for (int i = 0; i < values.length; i++) {
      values[i] = width == 4 ? in.getFloat() : (float) in.getDouble();
    }
    return new HostTensor(new Shape(rows, columns), values);
  }
}
