package io.priorart.runtime.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import com.drew.imaging.ImageMetadataReader;
import com.drew.imaging.ImageProcessingException;
import com.drew.metadata.Metadata;
import com.drew.metadata.exif.ExifDirectoryBase;
import com.drew.metadata.exif.ExifIFD0Directory;
import com.drew.metadata.exif.ExifSubIFDDirectory;
import com.drew.metadata.exif.ExifThumbnailDirectory;
import com.drew.metadata.icc.IccDirectory;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.Prompt;
import java.awt.color.ColorSpace;
import java.awt.color.ICC_Profile;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.InflaterInputStream;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.metadata.IIOMetadata;
import javax.imageio.metadata.IIOMetadataNode;
import javax.imageio.plugins.tiff.TIFFDirectory;
import javax.imageio.stream.ImageInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Profiles and EXIF on their way through files, read back by other readers than ours. */
class AttachmentsTest {
  private static final long LIMIT = 10_000;
  private static final byte[] SRGB = ICC_Profile.getInstance(ColorSpace.CS_sRGB).getData();
  private static final byte[] GREY = ICC_Profile.getInstance(ColorSpace.CS_GRAY).getData();
  private static final int WIDTH = 5;
  private static final int HEIGHT = 4;
  private static final byte[] THUMBNAIL = "\u00ff\u00d8the stale thumbnail".getBytes(latin());

  @TempDir private Path dir;

  private static Charset latin() {
    return StandardCharsets.ISO_8859_1;
  }

  private static Picture picture(int channels, int depth, boolean alpha, Attachments attachments) {
    float[] values = new float[channels * WIDTH * HEIGHT];
    for (int i = 0; i < values.length; i++) {
      values[i] = 2f * i / (values.length - 1) - 1;
    }
    float[] opacity = new float[WIDTH * HEIGHT];
    for (int i = 0; i < opacity.length; i++) {
      opacity[i] = i / (opacity.length - 1f);
    }
    return new Picture(
        new HostTensor(new Shape(1, channels, HEIGHT, WIDTH), values),
        depth,
        alpha ? new HostTensor(new Shape(1, HEIGHT, WIDTH), opacity) : null,
        attachments);
  }

  private static Attachments profile(byte[] icc) {
    return new Attachments(icc, null, Map.of());
  }

  private static Attachments exif(byte[] block) {
    return new Attachments(null, block, Map.of());
  }

  private Path write(Picture picture, String name) {
    Path file = dir.resolve(name);
    PictureFiles.write(picture, file, true);
    return file;
  }

  private Path copy(Path file, String name) {
    return write(PictureFiles.read(file, LIMIT), name);
  }

  // ------------------------------------------------------------------ other readers

  /** The profile's bytes as the JDK's readers find them; null if there are none. */
  private static byte[] storedProfile(Path file) throws IOException {
    try (ImageInputStream in = ImageIO.createImageInputStream(file.toFile())) {
      ImageReader reader = ImageIO.getImageReaders(in).next();
      reader.setInput(in);
      IIOMetadata metadata = reader.getImageMetadata(0);
      switch (reader.getFormatName().toLowerCase(Locale.ROOT)) {
        case "png" -> {
          byte[] deflated = (byte[]) userObject(metadata, "iCCP");
          return deflated == null
              ? null
              : new InflaterInputStream(new ByteArrayInputStream(deflated)).readAllBytes();
        }
        case "jpeg" -> {
          ICC_Profile profile = (ICC_Profile) userObject(metadata, "app2ICC");
          return profile == null ? null : profile.getData();
        }
        default -> {
          var field = TIFFDirectory.createFromMetadata(metadata).getTIFFField(34675);
          return field == null ? null : field.getAsBytes();
        }
      }
    }
  }

  private static Object userObject(IIOMetadata metadata, String node) {
    var root = (IIOMetadataNode) metadata.getAsTree(metadata.getNativeMetadataFormatName());
    var found = root.getElementsByTagName(node);
    return found.getLength() == 0 ? null : ((IIOMetadataNode) found.item(0)).getUserObject();
  }

  private static Metadata metadata(Path file) throws IOException, ImageProcessingException {
    return ImageMetadataReader.readMetadata(file.toFile());
  }

  private static List<String> pngTypes(byte[] png) {
    List<String> types = new ArrayList<>();
    ByteBuffer in = ByteBuffer.wrap(png);
    for (int at = 8; at < png.length; at += 12 + in.getInt(at)) {
      types.add(new String(png, at + 4, 4, latin()));
    }
    return types;
  }

  // ------------------------------------------------------------------ profiles

  @ParameterizedTest
  @CsvSource({
    "png,png,8,3", "png,jpg,8,3", "png,tif,16,3", "jpg,png,8,3", "jpg,jpeg,8,3", "jpg,tiff,8,3",
    "tif,png,16,3", "tif,jpg,8,3", "tif,tif,32,3", "png,png,16,1", "png,jpg,8,1", "png,tif,8,1",
    "jpg,png,8,1", "jpg,jpg,8,1", "jpg,tif,8,1", "tif,png,16,1", "tif,jpg,16,1", "tif,tif,32,1"
  })
  void profilesGoFromEveryFormatToEveryFormat(String from, String to, int depth, int channels)
      throws Exception {
    byte[] icc = channels == 1 ? GREY : SRGB;
    Picture original = picture(channels, depth, false, profile(icc));
    Path first = write(original, "first." + from);
    assertArrayEquals(icc, storedProfile(first));
    Picture read = PictureFiles.read(first, LIMIT);
    assertArrayEquals(icc, read.attachments().profile());
    Path second = write(read, "second." + to);
    assertArrayEquals(icc, storedProfile(second));
    // the pixels are what they are without a profile
    Path plain = write(new Picture(read.pixels(), read.bitDepth(), null), "plain." + to);
    assertNull(storedProfile(plain));
    assertEquals(
        PictureFiles.read(plain, LIMIT).pixels(), PictureFiles.read(second, LIMIT).pixels());
    assertNotNull(metadata(second).getFirstDirectoryOfType(IccDirectory.class));
    assertNotNull(ImageIO.read(second.toFile()));
  }

  private static byte[] lengthened(byte[] profile, int length) {
    byte[] longer = Arrays.copyOf(profile, length);
    ByteBuffer.wrap(longer).putInt(0, length);
    for (int i = profile.length; i < length; i++) {
      longer[i] = (byte) (i * i >> 7);
    }
    return longer;
  }

  @ParameterizedTest
  @ValueSource(ints = {65_519, 65_520, 200_001, Attachments.MAX_BYTES})
  void longProfilesTakeSeveralSegments(int length) throws Exception {
    byte[] icc = lengthened(SRGB, length);
    Path jpeg = write(picture(3, 8, false, profile(icc)), "a.jpg");
    assertArrayEquals(icc, PictureFiles.read(jpeg, LIMIT).attachments().profile());
    assertArrayEquals(icc, storedProfile(copy(jpeg, "a.png")));
    assertArrayEquals(icc, storedProfile(copy(jpeg, "a.tif")));
    // the segments may come in any order, but all must be there
    byte[] bytes = Files.readAllBytes(jpeg);
    int at = new String(bytes, latin()).indexOf("ICC_PROFILE\0");
    byte[] wrong = bytes.clone();
    wrong[at + 13]++;
    Path damaged = Files.write(dir.resolve("damaged.jpg"), wrong);
    assertNull(PictureFiles.read(damaged, LIMIT).attachments().profile());
  }

  @Test
  void profilesStayWithTheirKindOfPixels() throws IOException {
    assertNull(storedProfile(write(picture(1, 8, false, profile(SRGB)), "a.png")));
    assertNull(storedProfile(write(picture(3, 8, false, profile(GREY)), "b.jpg")));
    // grey with alpha is stored in RGBA in a TIFF, but as such in a PNG
    assertNull(storedProfile(write(picture(1, 8, true, profile(GREY)), "c.tif")));
    assertArrayEquals(GREY, storedProfile(write(picture(1, 8, true, profile(GREY)), "d.png")));
    assertArrayEquals(SRGB, storedProfile(write(picture(3, 8, true, profile(SRGB)), "e.tif")));
  }

  private static byte[] withChunk(byte[] png, String type, byte[] content) {
    ByteBuffer chunk = ByteBuffer.allocate(12 + content.length);
    chunk.putInt(content.length).put(type.getBytes(latin())).put(content);
    CRC32 sum = new CRC32();
    sum.update(chunk.array(), 4, 4 + content.length);
    chunk.putInt((int) sum.getValue());
    ByteBuffer out = ByteBuffer.allocate(png.length + chunk.capacity());
    return out.put(png, 0, 33).put(chunk.array()).put(png, 33, png.length - 33).array();
  }

  private static byte[] iccp(byte[] content) throws IOException {
    ByteArrayOutputStream chunk = new ByteArrayOutputStream();
    chunk.writeBytes("name\0\0".getBytes(latin()));
    try (DeflaterOutputStream deflate = new DeflaterOutputStream(chunk)) {
      deflate.write(content);
    }
    return chunk.toByteArray();
  }

  private Picture readPng(byte[] bytes) throws IOException {
    return PictureFiles.read(Files.write(dir.resolve("read.png"), bytes), LIMIT);
  }

  @Test
  void pngKeepsItsOtherWordsOnColour() throws IOException {
    byte[] png = Files.readAllBytes(write(picture(3, 8, false, Attachments.NONE), "a.png"));
    byte[] gamma = {0, 0, (byte) 0xb1, (byte) 0x8f};
    png = withChunk(png, "sRGB", new byte[] {1});
    // white point and primaries of sRGB, times 100000
    ByteBuffer primaries = ByteBuffer.allocate(32);
    for (int v : new int[] {31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000}) {
      primaries.putInt(v);
    }
    png = withChunk(png, "cHRM", primaries.array());
    png = withChunk(png, "gAMA", gamma);
    Picture read = readPng(png);
    byte[] again = Files.readAllBytes(write(read, "b.png"));
    assertEquals(List.of("IHDR", "cHRM", "gAMA", "sRGB", "IDAT", "IEND"), pngTypes(again));
    assertArrayEquals(gamma, readPng(again).attachments().chunks().get("gAMA"));
    // never sRGB beside a profile; nothing of a wrong length; nothing with a wrong checksum
    again = Files.readAllBytes(write(readPng(withChunk(png, "iCCP", iccp(SRGB))), "c.png"));
    assertEquals(List.of("IHDR", "cHRM", "gAMA", "iCCP", "IDAT", "IEND"), pngTypes(again));
    png = withChunk(png, "cICP", new byte[3]);
    png[new String(png, latin()).indexOf("gAMA") + 4]++;
    again = Files.readAllBytes(write(readPng(png), "d.png"));
    assertEquals(List.of("IHDR", "cHRM", "sRGB", "IDAT", "IEND"), pngTypes(again));
  }

  @Test
  void damagedAndOversizedProfilesAreLeftOut() throws IOException {
    Picture plain = picture(3, 8, false, Attachments.NONE);
    byte[] png = Files.readAllBytes(write(plain, "a.png"));
    assertArrayEquals(SRGB, profileOf(withChunk(png, "iCCP", iccp(SRGB))));
    byte[] sound = iccp(SRGB);
    byte[] flipped = sound.clone();
    flipped[sound.length / 2] ^= 0x55;
    byte[] unsigned = SRGB.clone();
    unsigned[36] = 'x';
    byte[] lying = SRGB.clone();
    ByteBuffer.wrap(lying).putInt(0, SRGB.length + 1);
    for (byte[] chunk :
        List.of(
            Arrays.copyOf(sound, sound.length / 2),
            flipped,
            iccp(unsigned),
            iccp(lying),
            iccp(new byte[0]),
            iccp(lengthened(SRGB, Attachments.MAX_BYTES + 1)),
            // a bomb: 64 MiB in 64 KiB
            iccp(new byte[64 << 20]),
            new byte[0],
            new byte[500],
            "no end of the name".getBytes(latin()))) {
      assertNull(profileOf(withChunk(png, "iCCP", chunk)));
    }
    Path tiff = write(picture(3, 8, false, profile(SRGB)), "a.tif");
    byte[] bytes = Files.readAllBytes(tiff);
    int entry = bytes.length - 4 - 12;
    ByteBuffer field = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    assertEquals((short) 34675, field.getShort(entry));
    for (int[] lie :
        new int[][] {{SRGB.length, -1}, {-1, 8}, {Integer.MAX_VALUE, Integer.MAX_VALUE}, {3, 8}}) {
      assertNull(
          Attachments.ofTiff(field.putInt(entry + 4, lie[0]).putInt(entry + 8, lie[1]).array())
              .profile());
    }
  }

  private byte[] profileOf(byte[] png) throws IOException {
    Picture read = readPng(png);
    assertEquals(WIDTH, read.width());
    return read.attachments().profile();
  }

  // ------------------------------------------------------------------ EXIF

  /** A camera's block: maker, orientation, size as the sensor has it, a thumbnail. */
  private static byte[] camera(ByteOrder order, int orientation) {
    ByteBuffer b = ByteBuffer.allocate(142 + THUMBNAIL.length).order(order);
    b.put((order == ByteOrder.BIG_ENDIAN ? "MM" : "II").getBytes(latin()));
    b.putShort((short) 42).putInt(8);
    b.putShort((short) 3);
    entry(b, 0x10f, 2, 8, 50);
    entry(b, 0x112, 3, 1, 0).putShort(b.position() - 4, (short) orientation);
    entry(b, 0x8769, 4, 1, 58);
    b.putInt(100);
    b.put("PriorArt".getBytes(latin()));
    assertEquals(58, b.position());
    b.putShort((short) 3);
    entry(b, 0x9286, 7, 4, 0x41424344);
    entry(b, 0xa002, 3, 1, 0).putShort(b.position() - 4, (short) WIDTH);
    entry(b, 0xa003, 4, 1, HEIGHT);
    b.putInt(0);
    assertEquals(100, b.position());
    b.putShort((short) 3);
    entry(b, 0x103, 4, 1, 6);
    entry(b, 0x201, 4, 1, 142);
    entry(b, 0x202, 4, 1, THUMBNAIL.length);
    b.putInt(0);
    assertEquals(142, b.position());
    return b.put(THUMBNAIL).array();
  }

  private static ByteBuffer entry(ByteBuffer b, int tag, int type, int count, int value) {
    return b.putShort((short) tag).putShort((short) type).putInt(count).putInt(value);
  }

  private Path withExif(byte[] block, String format) throws IOException {
    byte[] file =
        Files.readAllBytes(write(picture(3, 8, false, Attachments.NONE), "plain." + format));
    if (format.equals("png")) {
      return Files.write(dir.resolve("camera.png"), withChunk(file, "eXIf", block));
    }
    ByteBuffer out = ByteBuffer.allocate(file.length + 10 + block.length);
    out.put(file, 0, 2).putShort((short) 0xffe1).putShort((short) (8 + block.length));
    out.put("Exif\0\0".getBytes(latin())).put(block).put(file, 2, file.length - 2);
    return Files.write(dir.resolve("camera.jpg"), out.array());
  }

  @ParameterizedTest
  @CsvSource({"jpg,jpg,true", "jpg,png,false", "png,jpg,true", "png,png,false"})
  void exifIsTrueOfTheTurnedPicture(String from, String to, boolean big) throws Exception {
    byte[] block = camera(big ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN, 6);
    Path file = withExif(block, from);
    Metadata before = metadata(file);
    assertNotNull(before.getFirstDirectoryOfType(ExifThumbnailDirectory.class));
    assertEquals(
        6, before.getFirstDirectoryOfType(ExifIFD0Directory.class).getInteger(0x112).intValue());

    Path turned = copy(file, "turned." + to);
    Picture upright = PictureFiles.read(turned, LIMIT);
    assertEquals(HEIGHT, upright.width());
    assertEquals(WIDTH, upright.height());
    // clockwise: the top left corner came from the bottom left
    float[] plain = PictureFiles.read(dir.resolve("plain." + from), LIMIT).pixels().values();
    double tolerance = to.equals("jpg") ? 0.2 : 1e-6;
    assertEquals(plain[(HEIGHT - 1) * WIDTH], upright.pixels().values()[0], tolerance);

    Metadata after = metadata(turned);
    ExifIFD0Directory main = after.getFirstDirectoryOfType(ExifIFD0Directory.class);
    assertEquals(1, main.getInteger(ExifDirectoryBase.TAG_ORIENTATION).intValue());
    assertEquals("PriorArt", main.getString(ExifDirectoryBase.TAG_MAKE));
    ExifSubIFDDirectory exif = after.getFirstDirectoryOfType(ExifSubIFDDirectory.class);
    assertEquals(HEIGHT, exif.getInteger(ExifDirectoryBase.TAG_EXIF_IMAGE_WIDTH).intValue());
    assertEquals(WIDTH, exif.getInteger(ExifDirectoryBase.TAG_EXIF_IMAGE_HEIGHT).intValue());
    assertNotNull(exif.getByteArray(ExifDirectoryBase.TAG_USER_COMMENT));
    assertNull(after.getFirstDirectoryOfType(ExifThumbnailDirectory.class));
    String bytes = Files.readString(turned, latin());
    assertFalse(bytes.contains("stale thumbnail"), "the thumbnail is still there");
    after.getDirectories().forEach(d -> assertFalse(d.hasErrors(), () -> d.getErrors() + ""));
    // a second pass turns nothing
    assertEquals(HEIGHT, PictureFiles.read(copy(turned, "again.png"), LIMIT).width());
  }

  @Test
  void exifTooLongForJpegIsLeftOut() throws Exception {
    byte[] block = Arrays.copyOf(camera(ByteOrder.BIG_ENDIAN, 1), 65_528);
    Path png = write(picture(3, 8, false, exif(block)), "a.png");
    assertNotNull(metadata(png).getFirstDirectoryOfType(ExifIFD0Directory.class));
    assertNull(metadata(copy(png, "a.jpg")).getFirstDirectoryOfType(ExifIFD0Directory.class));
    Path most = write(picture(3, 8, false, exif(Arrays.copyOf(block, 65_527))), "b.jpg");
    assertNotNull(metadata(most).getFirstDirectoryOfType(ExifIFD0Directory.class));
  }

  @Test
  void noDamageToAttachmentsStopsAPicture() throws Exception {
    Attachments all = new Attachments(SRGB, camera(ByteOrder.LITTLE_ENDIAN, 3), Map.of());
    byte[] png = Files.readAllBytes(write(picture(3, 8, false, all), "a.png"));
    byte[] jpeg = Files.readAllBytes(write(picture(3, 8, false, all), "a.jpg"));
    byte[] tiff = Files.readAllBytes(write(picture(3, 8, false, all), "a.tif"));
    Random random = new Random(7);
    int kept = 0;
    for (int i = 0; i < 3000; i++) {
      byte[] block = damaged(camera(ByteOrder.BIG_ENDIAN, 6), random);
      Attachments read =
          Attachments.ofPng(Map.of("eXIf", block, "iCCP", damaged(iccp(GREY), random)));
      kept += read.exif() == null ? 0 : 1;
      assertTrue(read.orientation() >= 1 && read.orientation() <= 8);
      assertTrue(read.intoPng(png, 1, 3, 3).length >= png.length);
      assertTrue(read.intoJpeg(jpeg, 1, 3, 3).length >= jpeg.length);
      Attachments.ofPng(Attachments.pngChunks(damaged(png, random)));
      Attachments.ofTiff(damaged(tiff, random));
      try {
        Attachments.ofJpeg(damaged(jpeg, random)).intoJpeg(jpeg, 3, 3, 3);
      } catch (ImageProcessingException | IOException e) {
        assertNotNull(e.getMessage());
      }
    }
    assertTrue(kept > 1000, "damage was tried on " + kept);
  }

  private static byte[] damaged(byte[] bytes, Random random) {
    byte[] out = bytes.clone();
    for (int i = random.nextInt(6); i >= 0; i--) {
      out[random.nextInt(out.length)] =
          (byte) (random.nextBoolean() ? random.nextInt(256) : random.nextBoolean() ? -1 : 0);
    }
    return random.nextInt(4) == 0 ? Arrays.copyOf(out, random.nextInt(out.length)) : out;
  }

  // ------------------------------------------------------------------ grey with alpha; restoring

  @ParameterizedTest
  @ValueSource(ints = {8, 16})
  void greyWithAlphaStaysSo(int depth) throws IOException {
    Path first = write(picture(1, depth, true, profile(GREY)), "a.png");
    Picture read = PictureFiles.read(first, LIMIT);
    assertEquals(1, read.channels());
    assertEquals(depth, read.bitDepth());
    Path second = copy(first, "b.png");
    var raster = ImageIO.read(second.toFile()).getRaster();
    assertEquals(2, raster.getNumBands());
    assertEquals(depth, raster.getSampleModel().getSampleSize(0));
    int levels = (1 << depth) - 1;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
      long level = Math.round((double) levels * i / (WIDTH * HEIGHT - 1));
      assertEquals(level, raster.getSample(i % WIDTH, i / WIDTH, 0), 1);
      assertEquals(level, raster.getSample(i % WIDTH, i / WIDTH, 1), 1);
    }
    assertEquals(read.pixels(), PictureFiles.read(second, LIMIT).pixels());
    assertEquals(read.alpha(), PictureFiles.read(second, LIMIT).alpha());
  }

  @Test
  void measurementsAndRestorationsCarryThem() {
    Attachments all = new Attachments(SRGB, camera(ByteOrder.LITTLE_ENDIAN, 1), Map.of());
    var hole = OperatorRequest.parse("inpainting:box=1,1,2,2");
    Picture measured =
        Degrader.degrade(picture(3, 8, false, all), List.of(hole), Noise.ofSigma(0), 1, 16)
            .measurement();
    assertSame(all, measured.attachments());
    var request =
        new Restorer.Request(
            List.of(hole),
            Noise.ofSigma(0),
            "opencv-telea",
            "fast",
            Map.of(),
            null,
            true,
            Prompt.NONE,
            1,
            2,
            0,
            0);
    Restorer.Restoration restored =
        Restorer.restore(measured, request, () -> null, 8, RestoreListener.NONE, Stopping.never());
    assertSame(all, restored.samples().get(0).picture().attachments());
    assertSame(all, restored.mean().attachments());
    assertSame(Attachments.NONE, restored.standardDeviation().attachments());
  }
}
