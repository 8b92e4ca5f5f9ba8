package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.NoiseSource;
import java.util.function.BiFunction;
import java.util.stream.IntStream;

/**
 * Flips and quarter turns of pictures {@code [N, C, H, W]}, by number: bit 0 exchanges left and
 * right, bit 1 top and bottom, bit 2, applied first, rows and columns.
 */
final class Turns {
  private Turns() {}

  /** All eight of a square, or the four that leave the sides of other pictures where they are. */
  static int[] all(Shape image) {
    return IntStream.range(0, image.get(1) == image.get(2) ? 8 : 4).toArray();
  }

  /** {@link #all} in a drawn order. */
  static int[] shuffled(NoiseSource random, Shape image) {
    int[] turns = all(image);
    for (int i = turns.length - 1; i > 0; i--) {
      int j = random.below(i + 1);
      int t = turns[i];
      turns[i] = turns[j];
      turns[j] = t;
    }
    return turns;
  }

  /** A turned picture. */
  static NDArray of(NDArray x, int turn) {
    NDArray t = (turn & 4) == 0 ? x : x.transpose(0, 1, 3, 2);
    t = (turn & 1) == 0 ? t : t.flip(3);
    return (turn & 2) == 0 ? t : t.flip(2);
  }

  /** Each sample turned its own way. */
  static NDArray each(NDArray x, int[] turns) {
    return samplewise(x, turns, Turns::of);
  }

  /** Undoes {@link #each}. */
  static NDArray eachBack(NDArray x, int[] turns) {
    return samplewise(x, turns, Turns::back);
  }

  private static NDArray samplewise(
      NDArray x, int[] turns, BiFunction<NDArray, Integer, NDArray> turn) {
    if (turns.length == 1) {
      return turn.apply(x, turns[0]);
    }
    NDList parts = new NDList();
    for (int k = 0; k < turns.length; k++) {
      parts.add(turn.apply(x.get(k + ":" + (k + 1)), turns[k]));
    }
    return NDArrays.concat(parts, 0);
  }

  /** Undoes {@link #of}. */
  static NDArray back(NDArray x, int turn) {
    NDArray t = (turn & 1) == 0 ? x : x.flip(3);
    t = (turn & 2) == 0 ? t : t.flip(2);
    return (turn & 4) == 0 ? t : t.transpose(0, 1, 3, 2);
  }
}
