package io.priorart.runtime.image;

import java.util.Arrays;
import org.opencv.core.Core;
import org.opencv.core.CvType;
import org.opencv.core.Mat;
import org.opencv.core.Size;
import org.opencv.imgproc.Imgproc;

/**
 * The DCT hash of a picture: Zauner, "Implementation and Benchmarking of Perceptual Image Hash
 * Functions", 2010, section 3.2.1.
 *
 * <p>The luma is averaged over areas to 32 x 32 samples (which takes the place of the mean filter)
 * and transformed; bit {@code 8 v + u} says whether the coefficient of vertical frequency {@code v
 * + 1} and horizontal frequency {@code u + 1}, both 1 to 8, is above the median of these 64. The
 * hash hardly changes with size, compression, brightness and contrast; it knows nothing of colour,
 * of crops and of turned pictures.
 *
 * @param bits of the picture
 * @param mirrored of the picture, left and right exchanged
 */
public record PerceptualHash(long bits, long mirrored) {
  private static final int SIDE = 32;
  private static final int FREQUENCIES = 8;

  static {
    OpenCv.load();
  }

  /** The hash of a grey or RGB picture of any size; alpha is passed over. */
  public static PerceptualHash of(Picture picture) {
    float[] pixels = picture.pixels().values();
    int plane = picture.width() * picture.height();
    float[] luma = pixels;
    if (picture.channels() == 3) {
      luma = new float[plane];
      for (int i = 0; i < plane; i++) {
        luma[i] = 0.299f * pixels[i] + 0.587f * pixels[plane + i] + 0.114f * pixels[2 * plane + i];
      }
    }
    Mat mat = new Mat(picture.height(), picture.width(), CvType.CV_32F);
    float[] spectrum = new float[SIDE * SIDE];
    try {
      mat.put(0, 0, luma);
      Imgproc.resize(mat, mat, new Size(SIDE, SIDE), 0, 0, Imgproc.INTER_AREA);
      Core.dct(mat, mat);
      mat.get(0, 0, spectrum);
    } finally {
      mat.release();
    }
    float[] low = new float[FREQUENCIES * FREQUENCIES];
    float[] mirrored = new float[low.length];
    for (int i = 0; i < low.length; i++) {
      int horizontal = i % FREQUENCIES + 1;
      low[i] = spectrum[(i / FREQUENCIES + 1) * SIDE + horizontal];
      // cosines of odd frequency are odd about the middle
      mirrored[i] = horizontal % 2 == 1 ? -low[i] : low[i];
    }
    return new PerceptualHash(aboveMedian(low), aboveMedian(mirrored));
  }

  /** Number of bits that differ, mirrored or not, whichever is fewer; 0 to 64. */
  public int distance(PerceptualHash other) {
    return Math.min(Long.bitCount(bits ^ other.bits), Long.bitCount(mirrored ^ other.bits));
  }

  private static long aboveMedian(float[] values) {
    float[] sorted = values.clone();
    Arrays.sort(sorted);
    float median = (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
    long bits = 0;
    for (int i = 0; i < values.length; i++) {
      bits |= values[i] > median ? 1L << i : 0;
    }
    return bits;
  }
}
