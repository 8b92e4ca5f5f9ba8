package io.priorart.runtime.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Round trips of every format and depth; what is refused and how. */
class PictureFilesTest {
  private static final long LIMIT = 10_000;

  @TempDir private Path dir;

  private static Picture picture(int channels, int depth, boolean alpha) {
    NoiseSource random = new NoiseSource(channels);
    float[] values = new float[channels * 7 * 13];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (2 * random.uniform() - 1);
    }
    float[] opacity = new float[7 * 13];
    for (int i = 0; i < opacity.length; i++) {
      opacity[i] = i / (float) opacity.length;
    }
    return new Picture(
        new HostTensor(new Shape(1, channels, 7, 13), values),
        depth,
        alpha ? new HostTensor(new Shape(1, 7, 13), opacity) : null);
  }

  @ParameterizedTest
  @CsvSource({
    "a.png,8,3,false",
    "a.png,16,3,false",
    "a.png,8,1,false",
    "a.png,16,1,false",
    "a.png,8,3,true",
    "a.png,16,3,true",
    "a.png,8,1,true",
    "a.png,16,1,true",
    "a.tif,8,3,false",
    "a.tif,16,1,false",
    "a.tif,32,3,false",
    "a.tiff,32,1,false"
  })
  void picturesSurviveAtTheirDepth(String name, int depth, int channels, boolean alpha) {
    Picture original = picture(channels, depth, alpha);
    Path file = dir.resolve(name);
    PictureFiles.write(original, file, false);
    Picture read = PictureFiles.read(file, LIMIT);
    assertEquals(depth, read.bitDepth());
    assertEquals(original.pixels().shape(), read.pixels().shape());
    double half = Picture.quantizationStep(depth) / 2 + 1e-6;
    for (int i = 0; i < original.pixels().values().length; i++) {
      assertEquals(original.pixels().values()[i], read.pixels().values()[i], half);
    }
    if (alpha) {
      for (int i = 0; i < original.alpha().values().length; i++) {
        assertEquals(original.alpha().values()[i], read.alpha().values()[i], half);
      }
    } else {
      assertNull(read.alpha());
    }
  }

  @Test
  void floatTiffIsNotClipped() {
    Picture wide =
        new Picture(new HostTensor(new Shape(1, 1, 1, 2), new float[] {-3, 2.5f}), 32, null);
    Path file = dir.resolve("wide.tif");
    PictureFiles.write(wide, file, false);
    assertEquals(wide.pixels(), PictureFiles.read(file, LIMIT).pixels());
    assertEquals(2, PictureFiles.clipped(wide));
    PictureFiles.write(wide, dir.resolve("wide.png"), false);
    assertEquals(1, PictureFiles.read(dir.resolve("wide.png"), LIMIT).pixels().values()[1], 1e-6);
  }

  @Test
  void quantizedIsWhatTheFileHolds() {
    Picture p = picture(3, 8, false);
    Path file = dir.resolve("q.png");
    PictureFiles.write(p, file, false);
    assertEquals(PictureFiles.quantized(p).pixels(), PictureFiles.read(file, LIMIT).pixels());
  }

  @Test
  void existingFilesStay() {
    Path file = dir.resolve("a.png");
    PictureFiles.write(picture(1, 8, false), file, false);
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> PictureFiles.write(picture(3, 8, false), file, false));
    assertEquals(ErrorKind.ALREADY_EXISTS, e.kind());
    assertEquals(1, PictureFiles.read(file, LIMIT).channels());
  }

  @Test
  void exifOrientationIsApplied() throws IOException {
    Path file = dir.resolve("a.jpg");
    PictureFiles.write(picture(3, 8, false), file, false);
    byte[] jpeg = Files.readAllBytes(file);
    // an APP1 segment with one EXIF entry: orientation 6, turn clockwise
    ByteBuffer exif = ByteBuffer.allocate(36);
    exif.putShort((short) 0xffe1).putShort((short) 34);
    exif.put("Exif\0\0MM\0*".getBytes(StandardCharsets.ISO_8859_1)).putInt(8);
    exif.putShort((short) 1).putShort((short) 0x112).putShort((short) 3).putInt(1);
    exif.putShort((short) 6).putShort((short) 0).putInt(0);
    ByteBuffer turned = ByteBuffer.allocate(jpeg.length + 36);
    turned.put(jpeg, 0, 2).put(exif.array()).put(jpeg, 2, jpeg.length - 2);
    Path rotated = Files.write(dir.resolve("b.jpg"), turned.array());
    Picture plain = PictureFiles.read(file, LIMIT);
    Picture upright = PictureFiles.read(rotated, LIMIT);
    assertEquals(7, upright.width());
    assertEquals(13, upright.height());
    // clockwise: the top left corner came from the bottom left
    assertEquals(plain.pixels().values()[6 * 13], upright.pixels().values()[0]);
  }

  @Test
  void brokenFilesAreNamed() throws IOException {
    Path png = dir.resolve("a.png");
    PictureFiles.write(picture(3, 16, false), png, false);
    byte[] bytes = Files.readAllBytes(png);
    refuse(
        Files.write(dir.resolve("half.png"), Arrays.copyOf(bytes, bytes.length / 2)), "truncated");
    refuse(Files.write(dir.resolve("empty.png"), new byte[0]), "empty");
    refuse(Files.write(dir.resolve("text.png"), "hello, world".getBytes()), "not a PNG");
    refuse(dir.resolve("none.png"), "no such file");
    ByteBuffer huge = ByteBuffer.wrap(bytes.clone()).putInt(16, 100_000).putInt(20, 100_000);
    CRC32 crc = new CRC32();
    crc.update(huge.array(), 12, 17);
    huge.putInt(29, (int) crc.getValue());
    refuse(Files.write(dir.resolve("huge.png"), huge.array()), "limit is 10000");
  }

  private static void refuse(Path file, String words) {
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> PictureFiles.read(file, LIMIT));
    assertTrue(e.kind().callersFault());
    assertTrue(e.getMessage().contains(words), e.getMessage());
    assertTrue(e.getMessage().contains(file.toString()), e.getMessage());
  }

  @Test
  void kernelsComeFromNpy() throws IOException {
    String header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }";
    header += " ".repeat(63 - (10 + header.length()) % 64) + "\n";
    ByteBuffer npy =
        ByteBuffer.allocate(10 + header.length() + 24).order(java.nio.ByteOrder.LITTLE_ENDIAN);
    npy.put((byte) 0x93).put("NUMPY".getBytes()).put((byte) 1).put((byte) 0);
    npy.putShort((short) header.length()).put(header.getBytes());
    npy.putDouble(0.25).putDouble(0.5).putDouble(0.25);
    Path file = Files.write(dir.resolve("k.npy"), npy.array());
    assertEquals(
        new HostTensor(new Shape(1, 3), new float[] {0.25f, 0.5f, 0.25f}),
        PictureFiles.readKernel(file, LIMIT));
    Path cut = Files.write(dir.resolve("c.npy"), Arrays.copyOf(npy.array(), npy.capacity() - 8));
    assertThrows(PriorArtException.class, () -> PictureFiles.readKernel(cut, LIMIT));
  }
}
