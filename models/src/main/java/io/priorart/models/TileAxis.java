package io.priorart.models;

/**
 * Where the tiles lie that an auto-encoder works in along one axis, and how they are blended: a
 * tile's weight rises from its edge over the overlap with its neighbour in a straight line, and all
 * weights of a place add up to one.
 */
final class TileAxis {
  private final int[] starts;
  private final int tile;
  private final int overlap;

  /**
   * @param length of the axis, in latents
   * @param tile length of a tile; one tile is all where it is not less than {@code length}
   * @param overlap of neighbours at least, less than {@code tile}
   */
  TileAxis(int length, int tile, int overlap) {
    this.tile = Math.min(tile, length);
    this.overlap = overlap;
    int count = length <= tile ? 1 : 1 + (length - tile + tile - overlap - 1) / (tile - overlap);
    starts = new int[count];
    for (int i = 0; i < count; i++) {
      // the last one ends with the axis
      starts[i] = Math.min(i * (tile - overlap), length - this.tile);
    }
  }

  int count() {
    return starts.length;
  }

  /** Of tile {@code i}, in latents. */
  int start(int i) {
    return starts[i];
  }

  /** Of every tile, in latents. */
  int tile() {
    return tile;
  }

  /**
   * The weights of tile {@code i}.
   *
   * @param unit positions for a latent: 1, or pixels
   * @param size positions there are; the weights end with them
   */
  float[] weights(int i, int unit, int size) {
    int from = starts[i] * unit;
    float[] weights = new float[Math.min(tile * unit, size - from)];
    for (int p = 0; p < weights.length; p++) {
      double at = (from + p + 0.5) / unit;
      double sum = 0;
      for (int j = 0; j < starts.length; j++) {
        sum += ramp(j, at);
      }
      weights[p] = (float) (ramp(i, at) / sum);
    }
    return weights;
  }

  private double ramp(int i, double at) {
    double inside = Math.min(at - starts[i], starts[i] + tile - at);
    if (inside <= 0) {
      return 0;
    }
    // the axis's own ends have no neighbour
    double rise = i == 0 ? overlap : at - starts[i];
    double fall = i == starts.length - 1 ? overlap : starts[i] + tile - at;
    return Math.min(overlap, Math.min(rise, fall));
  }
}
