package io.priorart.runtime.dataset;

import io.priorart.solver.PriorArtException;
import java.util.List;

/**
 * How a dataset is made.
 *
 * @param maxSide longer side of a whole picture at most, in pixels; larger ones are averaged over
 *     areas to it; 16 to 8192
 * @param minSide shorter side of what is written at least, before tiles are cut, in pixels; 1 to
 *     {@code maxSide}
 * @param scales sizes to write of each picture, as shares of the size that {@code maxSide} leaves;
 *     each in (0, 1]
 * @param crop side of the square tiles that each of them is cut into, in pixels, at most {@code
 *     maxSide}; 0 writes it whole
 * @param background what is seen through transparent pixels, {@code 0xRRGGBB}
 * @param captions whether captions are written
 * @param heldOut share of the pictures that is held out; 0 to below 1
 * @param seed of the held-out choice
 * @param duplicateDistance pictures whose perceptual hashes differ in at most that many of 64 bits
 *     are one; 0 to 31
 * @param maxPixels of a source picture; reading one takes about 70 bytes of memory a pixel; at
 *     least 1, at most 2^28
 */
public record DatasetOptions(
    int maxSide,
    int minSide,
    List<Double> scales,
    int crop,
    int background,
    boolean captions,
    double heldOut,
    long seed,
    int duplicateDistance,
    long maxPixels) {
  /**
   * Checks every range.
   *
   * @throws PriorArtException INVALID_ARGUMENT naming the option
   */
  public DatasetOptions {
    require("max-side", maxSide, 16, 8192);
    require("min-side", minSide, 1, maxSide);
    scales = List.copyOf(scales);
    if (scales.isEmpty() || scales.stream().anyMatch(s -> !(s > 0 && s <= 1))) {
      throw PriorArtException.badField("scales", scales + " must be numbers over 0, at most 1");
    }
    require("crop", crop, 0, maxSide);
    require("background", background, 0, 0xffffff);
    if (!(heldOut >= 0 && heldOut < 1)) {
      throw PriorArtException.badField("held-out", heldOut + " is not in [0, 1)");
    }
    require("duplicate-distance", duplicateDistance, 0, 31);
    require("max-pixels", maxPixels, 1, 1L << 28);
  }

  private static void require(String field, long value, long least, long most) {
    if (value < least || value > most) {
      throw PriorArtException.badField(field, value + " is not in %d..%d".formatted(least, most));
    }
  }
}
