package io.priorart.runtime.image;

import ai.djl.ndarray.types.Shape;
import com.drew.imaging.FileType;
import com.drew.imaging.FileTypeDetector;
import com.drew.imaging.ImageProcessingException;
import com.drew.imaging.jpeg.JpegMetadataReader;
import com.drew.imaging.tiff.TiffMetadataReader;
import com.drew.metadata.Directory;
import com.drew.metadata.exif.ExifDirectoryBase;
import com.drew.metadata.exif.ExifIFD0Directory;
import com.drew.metadata.jpeg.JpegDirectory;
import com.drew.metadata.jpeg.JpegReader;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.awt.Transparency;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.ComponentColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.WritableRaster;
import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import javax.imageio.stream.ImageOutputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.opencv.core.Core;
import org.opencv.core.CvException;
import org.opencv.core.CvType;
import org.opencv.core.Mat;
import org.opencv.core.MatOfByte;
import org.opencv.core.MatOfInt;
import org.opencv.core.Size;
import org.opencv.imgcodecs.Imgcodecs;
import org.opencv.imgproc.Imgproc;

/**
 * Reads and writes pictures: PNG and TIFF of 8 or 16 bits, float TIFF, JPEG. The only place where
 * samples become [-1,1] and back.
 *
 * <p>Grey stays grey, alpha is carried (grey with alpha becomes RGBA in a TIFF), EXIF orientation
 * is applied. The header is checked before pixels are allocated. Files appear whole or not at all.
 *
 * <p>A picture keeps what its file says beside its samples, and a file written from it says the
 * same:
 *
 * <ul>
 *   <li>the ICC profile, from and to every format, if it is one for the pixels written (grey or
 *       RGB);
 *   <li>gAMA, cHRM, sRGB and cICP from PNG to PNG;
 *   <li>EXIF from and to JPEG (up to 64 KiB) and PNG, with orientation 1 and the size written,
 *       without its thumbnail; maker notes stay as they are.
 * </ul>
 *
 * <p>Not kept: the EXIF and other tags of a TIFF, EXIF written to a TIFF, the profile of a BigTIFF,
 * XMP, IPTC, comments, resolution outside of EXIF, and all that is damaged or longer than 4 MiB.
 */
public final class PictureFiles {
  private static final long MAX_FILE_BYTES = 512L << 20;
  private static final int JPEG_QUALITY = 95;
  private static final int TIFF_UNCOMPRESSED = 1;
  private static final int PHOTOMETRIC_CMYK = 5;
  private static final int PNG_GREY_ALPHA = 4;

  static {
    OpenCv.load();
  }

  private PictureFiles() {}

  /** A folder's {@code .png} files, by name. */
  public static List<Path> pngFiles(Path folder) {
    try (Stream<Path> all = Files.list(folder)) {
      return all.filter(f -> f.toString().endsWith(".png")).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Reads a picture.
   *
   * @param maxPixels {@code limits.pixels}
   * @throws PriorArtException NOT_FOUND, or INVALID_ARGUMENT naming the file, its defect and the
   *     limit
   */
  public static Picture read(Path file, long maxPixels) {
    return decode(file.toString(), bytes(file), maxPixels);
  }

  /**
   * What a file's header says, checked as {@link #decode} does; no pixel is decoded.
   *
   * @throws PriorArtException INVALID_ARGUMENT naming the file, its defect and the limit
   */
  public static PictureInfo info(String name, byte[] bytes, long maxPixels) {
    Header header = header(name, bytes, maxPixels);
    boolean turned = header.orientation >= 5;
    return new PictureInfo(
        header.format,
        turned ? header.height : header.width,
        turned ? header.width : header.height);
  }

  /**
   * Decodes a whole file's bytes.
   *
   * @param name what messages call it
   * @param maxPixels {@code limits.pixels}
   * @throws PriorArtException INVALID_ARGUMENT naming the file, its defect and the limit
   */
  public static Picture decode(String name, byte[] bytes, long maxPixels) {
    Header header = header(name, bytes, maxPixels);
    Mat encoded = new MatOfByte(bytes);
    Mat mat;
    try {
      mat = Imgcodecs.imdecode(encoded, Imgcodecs.IMREAD_UNCHANGED);
    } catch (CvException e) {
      throw bad(name, "cannot be decoded: " + e.getMessage());
    } finally {
      encoded.release();
    }
    if (mat.empty()) {
      throw bad(name, "cannot be decoded; it is truncated or damaged");
    }
    if ((long) mat.rows() * mat.cols() != (long) header.width * header.height) {
      String decoded = mat.cols() + " x " + mat.rows();
      mat.release();
      throw bad(
          name,
          "decodes to %s pixels, its header says %d x %d"
              .formatted(decoded, header.width, header.height));
    }
    Mat upright = orient(mat, header.orientation);
    try {
      return picture(name, upright, header);
    } finally {
      upright.release();
    }
  }

  /**
   * @param grey decoded to RGBA although it is grey with alpha
   */
  private record Header(
      PictureFormat format,
      int width,
      int height,
      int orientation,
      boolean grey,
      Attachments attachments) {}

  private static Header header(String name, byte[] bytes, long maxPixels) {
    if (bytes.length == 0) {
      throw bad(name, "is empty");
    }
    Header header = header(name, bytes);
    long pixels = (long) header.width * header.height;
    if (pixels > maxPixels) {
      throw bad(
          name,
          "has %d x %d = %d pixels, the limit is %d"
              .formatted(header.width, header.height, pixels, maxPixels));
    }
    return header;
  }

  private static Header header(String name, byte[] bytes) {
    try {
      FileType type =
          FileTypeDetector.detectFileType(new BufferedInputStream(new ByteArrayInputStream(bytes)));
      switch (type) {
        case Png -> {
          requireEnding(name, bytes, "IEND");
          var chunks = Attachments.pngChunks(bytes);
          ByteBuffer header = ByteBuffer.wrap(chunks.getOrDefault("IHDR", new byte[0]));
          if (header.capacity() != 13) {
            throw bad(name, "is damaged in its header");
          }
          Attachments attachments = Attachments.ofPng(chunks);
          return checked(
              name,
              new Header(
                  PictureFormat.PNG,
                  header.getInt(0),
                  header.getInt(4),
                  attachments.orientation(),
                  header.get(9) == PNG_GREY_ALPHA,
                  attachments));
        }
        case Jpeg -> {
          JpegDirectory jpeg =
              JpegMetadataReader.readMetadata(
                      new ByteArrayInputStream(bytes), List.of(new JpegReader()))
                  .getFirstDirectoryOfType(JpegDirectory.class);
          if (value(jpeg, JpegDirectory.TAG_NUMBER_OF_COMPONENTS, 3) == 4) {
            throw bad(name, "is a CMYK picture; convert it to RGB first");
          }
          requireEnding(name, bytes, "\u00ff\u00d9");
          Attachments attachments = Attachments.ofJpeg(bytes);
          return checked(
              name,
              new Header(
                  PictureFormat.JPEG,
                  value(jpeg, JpegDirectory.TAG_IMAGE_WIDTH, 0),
                  value(jpeg, JpegDirectory.TAG_IMAGE_HEIGHT, 0),
                  attachments.orientation(),
                  false,
                  attachments));
        }
        case Tiff -> {
          ExifIFD0Directory tiff =
              TiffMetadataReader.readMetadata(new ByteArrayInputStream(bytes))
                  .getFirstDirectoryOfType(ExifIFD0Directory.class);
          if (value(tiff, ExifDirectoryBase.TAG_PHOTOMETRIC_INTERPRETATION, 2)
              == PHOTOMETRIC_CMYK) {
            throw bad(name, "is a CMYK picture; convert it to RGB first");
          }
          // libtiff's reader applies the orientation by itself
          return checked(
              name,
              new Header(
                  PictureFormat.TIFF,
                  value(tiff, ExifDirectoryBase.TAG_IMAGE_WIDTH, 0),
                  value(tiff, ExifDirectoryBase.TAG_IMAGE_HEIGHT, 0),
                  1,
                  false,
                  Attachments.ofTiff(bytes)));
        }
        default -> throw bad(name, "is not a PNG, JPEG or TIFF picture");
      }
    } catch (ImageProcessingException e) {
      throw bad(name, "is not a PNG, JPEG or TIFF picture, or its header is damaged");
    } catch (IOException e) {
      throw bad(name, "is truncated or damaged: " + e.getMessage());
    }
  }

  private static int value(Directory directory, int tag, int otherwise) {
    Integer value = directory == null ? null : directory.getInteger(tag);
    return value == null ? otherwise : value;
  }

  private static Header checked(String name, Header header) {
    if (header.width < 1 || header.height < 1) {
      throw bad(name, "declares a size of " + header.width + " x " + header.height);
    }
    return header;
  }

  /** Decoders fill what a truncated file lacks with grey; its end marker tells. */
  private static void requireEnding(String name, byte[] bytes, String marker) {
    int from = Math.max(0, bytes.length - 4096);
    String tail =
        new String(bytes, from, bytes.length - from, java.nio.charset.StandardCharsets.ISO_8859_1);
    if (!tail.contains(marker)) {
      throw bad(name, "is truncated");
    }
  }

  private static Mat orient(Mat mat, int orientation) {
    Mat out = new Mat();
    switch (orientation) {
      case 2 -> Core.flip(mat, out, 1);
      case 3 -> Core.rotate(mat, out, Core.ROTATE_180);
      case 4 -> Core.flip(mat, out, 0);
      case 5 -> Core.transpose(mat, out);
      case 6 -> Core.rotate(mat, out, Core.ROTATE_90_CLOCKWISE);
      case 7 -> {
        Core.transpose(mat, out);
        Core.rotate(out, out, Core.ROTATE_180);
      }
      case 8 -> Core.rotate(mat, out, Core.ROTATE_90_COUNTERCLOCKWISE);
      default -> {
        return mat;
      }
    }
    mat.release();
    return out;
  }

  private static Picture picture(String name, Mat mat, Header header) {
    int depth =
        switch (mat.depth()) {
          case CvType.CV_8U -> 8;
          case CvType.CV_16U -> 16;
          case CvType.CV_32F -> 32;
          default -> throw bad(name, "has samples of a type that is not supported");
        };
    int w = mat.cols();
    int h = mat.rows();
    int stored = mat.channels();
    Mat floats = new Mat();
    // the same double arithmetic as in quantized(): both give the same float for the same level
    double levels = depth == 32 ? 1 : (1 << depth) - 1;
    mat.convertTo(floats, CvType.CV_32F);
    float[] samples = new float[w * h * stored];
    floats.get(0, 0, samples);
    floats.release();
    int colours = stored >= 3 && !header.grey ? 3 : 1;
    boolean hasAlpha = stored == 2 || stored == 4;
    int plane = w * h;
    float[] pixels = new float[colours * plane];
    float[] alpha = hasAlpha ? new float[plane] : null;
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < colours; c++) {
        float v = samples[i * stored + (colours == 3 ? 2 - c : 0)];
        if (!Float.isFinite(v)) {
          throw bad(name, "has samples that are not finite numbers");
        }
        pixels[c * plane + i] = (float) (2.0 * v / levels - 1);
      }
      if (hasAlpha) {
        alpha[i] = (float) (samples[i * stored + stored - 1] / levels);
      }
    }
    return new Picture(
        new HostTensor(new Shape(1, colours, h, w), pixels),
        depth,
        hasAlpha ? new HostTensor(new Shape(1, h, w), alpha) : null,
        header.attachments);
  }

  /**
   * Reads a mask: white (at least half) = missing = 1.
   *
   * @return {@code [1, H, W]} of 0 and 1
   */
  public static HostTensor readMask(Path file, long maxPixels) {
    return mask(read(file, maxPixels));
  }

  /** As {@link #readMask}, of a picture already decoded. */
  public static HostTensor mask(Picture picture) {
    int plane = picture.width() * picture.height();
    float[] in = picture.pixels().values();
    float[] mask = new float[plane];
    for (int i = 0; i < plane; i++) {
      float sum = 0;
      for (int c = 0; c < picture.channels(); c++) {
        sum += in[c * plane + i];
      }
      mask[i] = sum >= 0 ? 1 : 0;
    }
    return new HostTensor(new Shape(1, picture.height(), picture.width()), mask);
  }

  /**
   * Reads a blur kernel: a grey picture (black = 0, white = 1) or a two-dimensional {@code .npy} of
   * float32 or float64.
   *
   * @return {@code [H, W]}, not normalised
   */
  public static HostTensor readKernel(Path file, long maxPixels) {
    return decodeKernel(file.toString(), bytes(file), maxPixels);
  }

  /** As {@link #readKernel}, of a whole file's bytes. */
  public static HostTensor decodeKernel(String name, byte[] bytes, long maxPixels) {
    if (Npy.is(bytes)) {
      return Npy.decode(name, bytes, maxPixels);
    }
    Picture picture = decode(name, bytes, maxPixels);
    int plane = picture.width() * picture.height();
    float[] kernel = new float[plane];
    for (int c = 0; c < picture.channels(); c++) {
      for (int i = 0; i < plane; i++) {
        kernel[i] += (picture.pixels().values()[c * plane + i] + 1) / 2 / picture.channels();
      }
    }
    return new HostTensor(new Shape(picture.height(), picture.width()), kernel);
  }

  /** The picture as its file will hold it: clipped and rounded to its depth. */
  public static Picture quantized(Picture picture) {
    if (picture.bitDepth() == 32) {
      return picture;
    }
    int levels = (1 << picture.bitDepth()) - 1;
    float[] in = picture.pixels().values();
    float[] out = new float[in.length];
    float[] values = new float[levels + 1];
    for (int i = 0; i <= levels; i++) {
      values[i] = (float) (2.0 * i / levels - 1);
    }
    for (int i = 0; i < in.length; i++) {
      out[i] = values[level(in[i], levels)];
    }
    return picture.withPixels(new HostTensor(picture.pixels().shape(), out));
  }

  /** Rounded, halves up; NaN is 0. */
  private static int level(float value, int levels) {
    int nearest = (int) ((value + 1.0) / 2 * levels + 0.5);
    return Math.max(0, Math.min(levels, nearest));
  }

  /** Number of samples outside [-1,1], which integer formats clip. */
  public static long clipped(Picture picture) {
    long count = 0;
    for (float v : picture.pixels().values()) {
      count += v < -1 || v > 1 ? 1 : 0;
    }
    return count;
  }

  /** Refuses a path that exists, unless forced. */
  public static void requireWritable(Path file, boolean force) {
    if (Files.exists(file) && !force) {
      throw new PriorArtException(
          ErrorKind.ALREADY_EXISTS, file + " exists; add --force to overwrite it");
    }
    Path parent = file.toAbsolutePath().getParent();
    if (!Files.isDirectory(parent)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "output: there is no folder " + parent);
    }
  }

  /**
   * Writes a picture with its depth as far as the format holds it, aside and then renamed.
   *
   * @param force overwrite an existing file
   */
  public static void write(Picture picture, Path file, boolean force) {
    requireWritable(file, force);
    writeBytes(file, encode(picture, PictureFormat.of(file)));
  }

  /** A whole file's bytes, with the picture's depth as far as the format holds it. */
  public static byte[] encode(Picture picture, PictureFormat format) {
    int depth = format.depth(picture.bitDepth());
    boolean withAlpha = picture.alpha() != null && format != PictureFormat.JPEG;
    int colours = picture.channels();
    byte[] encoded =
        format == PictureFormat.PNG && withAlpha && colours == 1
            ? greyAlphaPng(picture, depth)
            : encoded(picture, format, depth, withAlpha);
    Attachments attachments = picture.attachments();
    return switch (format) {
      case PNG -> attachments.intoPng(encoded, colours, picture.width(), picture.height());
      case JPEG -> attachments.intoJpeg(encoded, colours, picture.width(), picture.height());
      case TIFF -> attachments.intoTiff(encoded, withAlpha ? 3 : colours);
    };
  }

  private static byte[] encoded(
      Picture picture, PictureFormat format, int depth, boolean withAlpha) {
    Mat mat = mat(picture, depth, withAlpha);
    MatOfByte encoded = new MatOfByte();
    try {
      if (!Imgcodecs.imencode("." + format.extension(), mat, encoded, codecOptions(format))) {
        throw new PriorArtException(ErrorKind.INTERNAL, "a picture could not be encoded");
      }
      return encoded.toArray();
    } finally {
      mat.release();
      encoded.release();
    }
  }

  /** By the JDK: OpenCV cannot write grey with alpha. */
  private static byte[] greyAlphaPng(Picture picture, int depth) {
    int w = picture.width();
    int h = picture.height();
    int levels = (1 << depth) - 1;
    int[] samples = new int[2 * w * h];
    for (int i = 0; i < w * h; i++) {
      samples[2 * i] = level(picture.pixels().values()[i], levels);
      samples[2 * i + 1] = level(2 * picture.alpha().values()[i] - 1, levels);
    }
    ColorModel model =
        new ComponentColorModel(
            ColorSpace.getInstance(ColorSpace.CS_GRAY),
            true,
            false,
            Transparency.TRANSLUCENT,
            depth == 8 ? DataBuffer.TYPE_BYTE : DataBuffer.TYPE_USHORT);
    WritableRaster raster = model.createCompatibleWritableRaster(w, h);
    raster.setPixels(0, 0, w, h, samples);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ImageOutputStream stream = new MemoryCacheImageOutputStream(out)) {
      ImageIO.write(new BufferedImage(model, raster, false, null), "png", stream);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  private static MatOfInt codecOptions(PictureFormat format) {
    return switch (format) {
      case JPEG -> new MatOfInt(Imgcodecs.IMWRITE_JPEG_QUALITY, JPEG_QUALITY);
      // OpenCV's own choice for float colour is LogLuv, which is lossy
      case TIFF -> new MatOfInt(Imgcodecs.IMWRITE_TIFF_COMPRESSION, TIFF_UNCOMPRESSED);
      case PNG -> new MatOfInt();
    };
  }

  private static Mat mat(Picture picture, int depth, boolean withAlpha) {
    int colours = picture.channels();
    int plane = picture.width() * picture.height();
    // OpenCV cannot write grey with alpha: in a TIFF such a picture becomes RGBA
    int stored = withAlpha ? 4 : colours;
    int levels = (1 << depth) - 1;
    float[] samples = new float[plane * stored];
    for (int c = 0; c < stored; c++) {
      boolean alpha = withAlpha && c == 3;
      float[] in = (alpha ? picture.alpha() : picture.pixels()).values();
      int from = colours == 3 && !alpha ? (2 - c) * plane : 0;
      for (int i = 0; i < plane; i++) {
        float v = alpha ? 2 * in[i] - 1 : in[from + i];
        samples[i * stored + c] = depth == 32 ? (v + 1) / 2 : level(v, levels);
      }
    }
    Mat floats = new Mat(picture.height(), picture.width(), CvType.CV_32FC(stored));
    floats.put(0, 0, samples);
    if (depth == 32) {
      return floats;
    }
    Mat mat = new Mat();
    floats.convertTo(mat, depth == 8 ? CvType.CV_8U : CvType.CV_16U);
    floats.release();
    return mat;
  }

  /** Writes a mask as an 8-bit grey PNG, white = 1. */
  public static void writeMask(HostTensor mask, Path file, boolean force) {
    requireWritable(file, force);
    writeBytes(file, encodeMask(mask));
  }

  /** As {@link #writeMask}, a whole PNG file's bytes. */
  public static byte[] encodeMask(HostTensor mask) {
    float[] pixels = new float[mask.values().length];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = 2 * mask.values()[i] - 1;
    }
    long[] shape = mask.shape().getShape();
    return encode(
        new Picture(
            new HostTensor(
                new Shape(1, 1, shape[shape.length - 2], shape[shape.length - 1]), pixels),
            8,
            null),
        PictureFormat.PNG);
  }

  /** The picture, made smaller (by area, its proportions kept) until it has no more pixels. */
  public static Picture reduced(Picture picture, long maxPixels) {
    double scale = Math.sqrt((double) maxPixels / ((long) picture.width() * picture.height()));
    if (scale >= 1) {
      return picture;
    }
    return resized(
        picture,
        Math.max(1, (int) (picture.width() * scale)),
        Math.max(1, (int) (picture.height() * scale)));
  }

  /** The picture at another size, averaged over areas where it shrinks; its alpha is dropped. */
  public static Picture resized(Picture picture, int width, int height) {
    int channels = picture.channels();
    int plane = picture.width() * picture.height();
    float[] out = new float[channels * width * height];
    Mat in = new Mat(picture.height(), picture.width(), CvType.CV_32F);
    Mat small = new Mat();
    for (int c = 0; c < channels; c++) {
      in.put(0, 0, Arrays.copyOfRange(picture.pixels().values(), c * plane, (c + 1) * plane));
      Imgproc.resize(in, small, new Size(width, height), 0, 0, Imgproc.INTER_AREA);
      float[] channel = new float[width * height];
      small.get(0, 0, channel);
      System.arraycopy(channel, 0, out, c * width * height, width * height);
    }
    in.release();
    small.release();
    return new Picture(
        new HostTensor(new Shape(1, channels, height, width), out), picture.bitDepth(), null);
  }

  /** Writes a whole file aside, then renames it. */
  public static void writeBytes(Path file, byte[] bytes) {
    Path aside = file.resolveSibling("." + file.getFileName() + ".part");
    try {
      Files.write(aside, bytes);
      Files.move(aside, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      try {
        Files.deleteIfExists(aside);
      } catch (IOException suppressed) {
        e.addSuppressed(suppressed);
      }
      throw new UncheckedIOException(e);
    }
  }

  /** An alpha plane at another size, bicubic. */
  public static HostTensor resizedAlpha(HostTensor alpha, int height, int width) {
    long[] shape = alpha.shape().getShape();
    if (shape[1] == height && shape[2] == width) {
      return alpha;
    }
    Mat in = new Mat((int) shape[1], (int) shape[2], CvType.CV_32F);
    in.put(0, 0, alpha.values());
    Mat out = new Mat();
    Imgproc.resize(in, out, new Size(width, height), 0, 0, Imgproc.INTER_CUBIC);
    float[] values = new float[height * width];
    out.get(0, 0, values);
    in.release();
    out.release();
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.max(0, Math.min(1, values[i]));
    }
    return new HostTensor(new Shape(1, height, width), values);
  }

  /**
   * A whole file's bytes.
   *
   * @throws PriorArtException NOT_FOUND, or INVALID_ARGUMENT for a file of more than 512 MiB
   */
  public static byte[] bytes(Path file) {
    try {
      if (!Files.isRegularFile(file)) {
        throw new PriorArtException(ErrorKind.NOT_FOUND, file + ": no such file");
      }
      long size = Files.size(file);
      if (size > MAX_FILE_BYTES) {
        throw bad(file.toString(), "has " + size + " bytes, the limit is " + MAX_FILE_BYTES);
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static PriorArtException bad(String name, String problem) {
    return PriorArtException.badField(name, problem);
  }
}
