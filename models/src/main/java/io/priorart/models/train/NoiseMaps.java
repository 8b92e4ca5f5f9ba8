package io.priorart.models.train;

import io.priorart.solver.NoiseSource;
import java.util.Arrays;

/**
 * Draws noise levels pixel by pixel, as pictures with missing parts have them: half of the maps are
 * one level; in the others some pixels are known to a low level and the rest is at a higher one,
 * often the highest, where nothing is known. What is missing are single pixels or boxes.
 *
 * @param low smallest level
 * @param high largest level
 */
record NoiseMaps(double low, double high, NoiseSource random) {
  private static final double EVEN_SHARE = 0.4;
  private static final double PIXELS_SHARE = 0.7;
  private static final double NOTHING_KNOWN_SHARE = 0.5;
  private static final double KNOWN_AT_MOST = 0.4;
  private static final int BOXES = 6;

  /** Writes {@code size x size} levels at {@code offset}. */
  void draw(int size, float[] target, int offset) {
    int end = offset + size * size;
    double kind = random.uniform();
    if (kind < EVEN_SHARE) {
      Arrays.fill(target, offset, end, (float) DenoiserTraining.level(random, low, high));
      return;
    }
    float known = (float) DenoiserTraining.level(random, low, Math.min(high, KNOWN_AT_MOST));
    float missing =
        (float)
            (random.uniform() < NOTHING_KNOWN_SHARE
                ? high
                : DenoiserTraining.level(random, known, high));
    if (kind < EVEN_SHARE + (1 - EVEN_SHARE) * PIXELS_SHARE) {
      double share = 0.2 + 0.78 * random.uniform();
      for (int i = offset; i < end; i++) {
        target[i] = random.uniform() < share ? missing : known;
      }
      return;
    }
    Arrays.fill(target, offset, end, known);
    for (int boxes = 1 + random.below(BOXES); boxes > 0; boxes--) {
      int width = 2 + random.below(size / 2);
      int height = 2 + random.below(size / 2);
      int x0 = random.below(size - width + 1);
      int y0 = random.below(size - height + 1);
      for (int y = y0; y < y0 + height; y++) {
        Arrays.fill(target, offset + y * size + x0, offset + y * size + x0 + width, missing);
      }
    }
  }
}
