package io.priorart.runtime.image;

import com.drew.imaging.jpeg.JpegProcessingException;
import com.drew.imaging.jpeg.JpegSegmentReader;
import com.drew.imaging.jpeg.JpegSegmentType;
import com.drew.lang.SequentialByteArrayReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.InflaterInputStream;

/**
 * What a picture's file says beside its samples, kept for the files that are written from it.
 *
 * <p>Files are not trusted: what is damaged, or longer than 4 MiB (a profile: after inflating it),
 * is left out, and the picture is read without it.
 *
 * @param profile an ICC profile; {@code null} if there is none
 * @param exif an EXIF block as it was read, from its byte order mark; {@code null} if there is none
 * @param chunks PNG's other words on colour, by chunk type
 */
record Attachments(byte[] profile, byte[] exif, Map<String, byte[]> chunks) {
  static final Attachments NONE = new Attachments(null, null, Map.of());
  static final int MAX_BYTES = 4 << 20;

  private static final Map<String, Integer> COLOUR_CHUNK_LENGTHS =
      Map.of("cHRM", 32, "cICP", 4, "gAMA", 4, "sRGB", 1);
  private static final Set<String> PNG_CHUNKS =
      Set.of("IHDR", "iCCP", "eXIf", "cHRM", "cICP", "gAMA", "sRGB");
  private static final int PNG_SIGNATURE = 8;
  private static final int PNG_HEADER_END = PNG_SIGNATURE + 12 + 13;
  private static final byte[] ICC_MARK = ascii("ICC_PROFILE\0");
  private static final byte[] EXIF_MARK = ascii("Exif\0\0");
  private static final int APP0 = 0xe0;
  private static final int APP1 = 0xe1;
  private static final int APP2 = 0xe2;
  private static final int MAX_SEGMENT = 65_533;

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  /** Without what is said on colour: for samples of another number of channels. */
  Attachments withoutColour() {
    return new Attachments(null, exif, Map.of());
  }

  /** How the stored pixels must be turned: 1 to 8 as in EXIF. */
  int orientation() {
    return exif == null ? 1 : TiffBlock.of(exif).orientation();
  }

  /**
   * The chunks of a PNG file that matter here, the first of each type whose checksum is right; none
   * after one that is cut off. (metadata-extractor's reader checks no sums and inflates without a
   * limit.)
   */
  static Map<String, byte[]> pngChunks(byte[] file) {
    Map<String, byte[]> chunks = new HashMap<>();
    ByteBuffer in = ByteBuffer.wrap(file);
    for (int at = PNG_SIGNATURE; at <= file.length - 12; ) {
      int length = in.getInt(at);
      if (length < 0 || length > file.length - 12 - at) {
        break;
      }
      String type = new String(file, at + 4, 4, StandardCharsets.ISO_8859_1);
      if (PNG_CHUNKS.contains(type) && length <= MAX_BYTES && !chunks.containsKey(type)) {
        CRC32 sum = new CRC32();
        sum.update(file, at + 4, 4 + length);
        if ((int) sum.getValue() == in.getInt(at + 8 + length)) {
          chunks.put(type, Arrays.copyOfRange(file, at + 8, at + 8 + length));
        }
      }
      at += 12 + length;
    }
    return chunks;
  }

  static Attachments ofPng(Map<String, byte[]> chunks) {
    Map<String, byte[]> colour = new TreeMap<>();
    COLOUR_CHUNK_LENGTHS.forEach(
        (type, length) -> {
          byte[] chunk = chunks.get(type);
          if (chunk != null && chunk.length == length) {
            colour.put(type, chunk);
          }
        });
    return new Attachments(sound(inflated(chunks.get("iCCP"))), exif(chunks.get("eXIf")), colour);
  }

  /** The profile in an iCCP chunk: a name, 0, the method 0, zlib's stream. */
  private static byte[] inflated(byte[] chunk) {
    int name = 0;
    while (chunk != null && name < chunk.length && chunk[name] != 0) {
      name++;
    }
    if (chunk == null || name > 79 || name + 2 > chunk.length || chunk[name + 1] != 0) {
      return null;
    }
    try (InflaterInputStream in =
        new InflaterInputStream(
            new ByteArrayInputStream(chunk, name + 2, chunk.length - name - 2))) {
      return in.readNBytes(MAX_BYTES + 1);
    } catch (IOException damaged) {
      return null;
    }
  }

  static Attachments ofJpeg(byte[] file) throws JpegProcessingException, IOException {
    var segments =
        JpegSegmentReader.readSegments(
            new SequentialByteArrayReader(file),
            List.of(JpegSegmentType.APP1, JpegSegmentType.APP2));
    byte[] exif = null;
    for (byte[] segment : segments.getSegments(JpegSegmentType.APP1)) {
      if (exif == null && startsWith(segment, EXIF_MARK)) {
        exif = exif(Arrays.copyOfRange(segment, EXIF_MARK.length, segment.length));
      }
    }
    return new Attachments(
        sound(joined(segments.getSegments(JpegSegmentType.APP2))), exif, Map.of());
  }

  /** The profile in its segments: a mark, the segment's number from 1, their count, the bytes. */
  private static byte[] joined(Iterable<byte[]> segments) {
    TreeMap<Integer, byte[]> parts = new TreeMap<>();
    int head = ICC_MARK.length + 2;
    for (byte[] segment : segments) {
      if (startsWith(segment, ICC_MARK) && segment.length > head) {
        if (parts.put(segment[head - 2] & 0xff, segment) != null) {
          return null;
        }
      }
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int next = 1;
    for (Map.Entry<Integer, byte[]> part : parts.entrySet()) {
      byte[] segment = part.getValue();
      if (part.getKey() != next++ || (segment[head - 1] & 0xff) != parts.size()) {
        return null;
      }
      out.write(segment, head, segment.length - head);
    }
    return out.toByteArray();
  }

  private static boolean startsWith(byte[] segment, byte[] mark) {
    return segment.length >= mark.length
        && Arrays.equals(segment, 0, mark.length, mark, 0, mark.length);
  }

  static Attachments ofTiff(byte[] file) {
    TiffBlock block = TiffBlock.of(file);
    return new Attachments(block == null ? null : sound(block.profile(MAX_BYTES)), null, Map.of());
  }

  private static byte[] exif(byte[] block) {
    return TiffBlock.of(block) == null ? null : block;
  }

  /** The profile without padding, if its header is one (ICC.1:2022, 7.2). */
  private static byte[] sound(byte[] profile) {
    if (profile == null || profile.length < 132 || profile.length > MAX_BYTES) {
      return null;
    }
    int length = ByteBuffer.wrap(profile).getInt();
    boolean signed = Arrays.equals(profile, 36, 40, ascii("acsp"), 0, 4);
    return signed && length >= 132 && length <= profile.length
        ? Arrays.copyOf(profile, length)
        : null;
  }

  /** The profile if it is one for pixels of so many colours (1 or 3); else {@code null}. */
  private byte[] profile(int colours) {
    byte[] space = ascii(colours == 1 ? "GRAY" : "RGB ");
    return profile != null && Arrays.equals(profile, 16, 20, space, 0, 4) ? profile : null;
  }

  /** EXIF that is true of an upright picture of this size. */
  private byte[] exif(int width, int height) {
    if (exif == null) {
      return null;
    }
    byte[] block = exif.clone();
    TiffBlock.of(block).describe(width, height);
    return block;
  }

  /** Adds all that fits to a PNG file, after its header. */
  byte[] intoPng(byte[] png, int colours, int width, int height) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(png.length);
    out.write(png, 0, PNG_HEADER_END);
    byte[] icc = profile(colours);
    chunks.forEach(
        (type, chunk) -> {
          // a file has sRGB or a profile, not both
          if (icc == null || !type.equals("sRGB")) {
            putChunk(out, type, chunk);
          }
        });
    if (icc != null) {
      ByteArrayOutputStream chunk = new ByteArrayOutputStream();
      chunk.writeBytes(ascii("ICC profile\0\0"));
      try (DeflaterOutputStream deflate = new DeflaterOutputStream(chunk)) {
        deflate.write(icc);
      } catch (IOException e) {
        throw new AssertionError("memory does not fail", e);
      }
      putChunk(out, "iCCP", chunk.toByteArray());
    }
    byte[] block = exif(width, height);
    if (block != null) {
      putChunk(out, "eXIf", block);
    }
    out.write(png, PNG_HEADER_END, png.length - PNG_HEADER_END);
    return out.toByteArray();
  }

  private static void putChunk(ByteArrayOutputStream out, String type, byte[] content) {
    ByteBuffer chunk = ByteBuffer.allocate(12 + content.length);
    chunk.putInt(content.length).put(ascii(type)).put(content);
    CRC32 sum = new CRC32();
    sum.update(chunk.array(), 4, 4 + content.length);
    out.writeBytes(chunk.putInt((int) sum.getValue()).array());
  }

  /** Adds all that fits to a JPEG file, after its JFIF segment: EXIF up to 64 KiB, the profile. */
  byte[] intoJpeg(byte[] jpeg, int colours, int width, int height) {
    int at = 2;
    if ((jpeg[3] & 0xff) == APP0) {
      at += 2 + Short.toUnsignedInt(ByteBuffer.wrap(jpeg).getShort(4));
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream(jpeg.length);
    out.write(jpeg, 0, at);
    byte[] block = exif(width, height);
    if (block != null && EXIF_MARK.length + block.length <= MAX_SEGMENT) {
      putSegment(out, APP1, EXIF_MARK, block, 0, block.length);
    }
    byte[] icc = profile(colours);
    if (icc != null) {
      int most = MAX_SEGMENT - ICC_MARK.length - 2;
      int count = (icc.length + most - 1) / most;
      for (int i = 0; i < count; i++) {
        byte[] head = Arrays.copyOf(ICC_MARK, ICC_MARK.length + 2);
        head[ICC_MARK.length] = (byte) (i + 1);
        head[ICC_MARK.length + 1] = (byte) count;
        putSegment(out, APP2, head, icc, i * most, Math.min(most, icc.length - i * most));
      }
    }
    out.write(jpeg, at, jpeg.length - at);
    return out.toByteArray();
  }

  private static void putSegment(
      ByteArrayOutputStream out, int marker, byte[] head, byte[] bytes, int from, int length) {
    int size = 2 + head.length + length;
    out.writeBytes(new byte[] {(byte) 0xff, (byte) marker, (byte) (size >> 8), (byte) size});
    out.writeBytes(head);
    out.write(bytes, from, length);
  }

  /** Adds the profile, if it fits, to a TIFF file. */
  byte[] intoTiff(byte[] tiff, int colours) {
    byte[] icc = profile(colours);
    return icc == null ? tiff : TiffBlock.of(tiff).withProfile(icc);
  }
}
