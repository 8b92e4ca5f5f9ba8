package io.priorart.runtime.image;

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

  /** Other samples, with the profile and EXIF of this picture. */
  public Picture withPixels(HostTensor other, int otherDepth, HostTensor otherAlpha) {
    return new Picture(other, otherDepth, otherAlpha, attachments);
  }
}
