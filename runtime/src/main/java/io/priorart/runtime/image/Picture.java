package io.priorart.runtime.image;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;

/**
 * A picture as a solver sees it, with what its file needs to be written like it was read.
 *
 * @param pixels {@code [1, C, H, W]}, C 1 (grey) or 3 (RGB), in [-1,1]
 * @param bitDepth 8, 16, or 32 for float samples
 * @param alpha {@code [1, H, W]} in [0,1]; {@code null} for an opaque picture
 * @param attachments profile and EXIF of the file it came from, opaque outside of this package
 */
public record Picture(HostTensor pixels, int bitDepth, HostTensor alpha, Attachments attachments) {
  public Picture {
    if (pixels.shape().dimension() != 4 || pixels.shape().get(0) != 1) {
      throw new IllegalArgumentException("a picture is [1, C, H, W], not " + pixels.shape());
    }
    if (bitDepth != 8 && bitDepth != 16 && bitDepth != 32) {
      throw new IllegalArgumentException("bit depth " + bitDepth);
    }
  }

  /** A picture that comes from no file. */
  public Picture(HostTensor pixels, int bitDepth, HostTensor alpha) {
    this(pixels, bitDepth, alpha, Attachments.NONE);
  }

  public int channels() {
    return (int) pixels.shape().get(1);
  }

  public int height() {
    return (int) pixels.shape().get(2);
  }

  public int width() {
    return (int) pixels.shape().get(3);
  }

  /** Distance of two neighbouring sample values on the [-1,1] scale; 0 for float samples. */
  public double quantizationStep() {
    return quantizationStep(bitDepth);
  }

  /** As {@link #quantizationStep()}, of a depth. */
  public static double quantizationStep(int bitDepth) {
    return bitDepth == 32 ? 0 : 2.0 / ((1 << bitDepth) - 1);
  }

  public Picture withPixels(HostTensor other) {
    return withPixels(other, bitDepth, alpha);
  }

  /**
   * Other samples, with the EXIF of this picture and, where it has as many channels, the profile.
   */
  public Picture withPixels(HostTensor other, int otherDepth, HostTensor otherAlpha) {
    boolean alike = other.shape().get(1) == channels();
    return new Picture(
        other, otherDepth, otherAlpha, alike ? attachments : attachments.withoutColour());
  }

  /** The pixels of a rectangle inside, without transparency and attachments. */
  public Picture part(int x, int y, int partWidth, int partHeight) {
    float[] out = new float[channels() * partHeight * partWidth];
    for (int c = 0; c < channels(); c++) {
      for (int row = 0; row < partHeight; row++) {
        int from = (c * height() + y + row) * width() + x;
        System.arraycopy(pixels.values(), from, out, (c * partHeight + row) * partWidth, partWidth);
      }
    }
    Shape shape = new Shape(1, channels(), partHeight, partWidth);
    return new Picture(new HostTensor(shape, out), bitDepth, null);
  }

  /** This, or three equal channels of a grey picture. */
  public Picture inColour() {
    if (channels() == 3) {
      return this;
    }
    float[] grey = pixels.values();
    float[] out = new float[3 * grey.length];
    for (int c = 0; c < 3; c++) {
      System.arraycopy(grey, 0, out, c * grey.length, grey.length);
    }
    HostTensor three = new HostTensor(new Shape(1, 3, height(), width()), out);
    return new Picture(three, bitDepth, alpha, attachments);
  }
}
