package io.priorart.models.train;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.util.List;

/** Draws random crops; a picture's chance grows with the square root of its area. */
final class PatchSampler {
  private final List<TrainingPicture> pictures;
  private final double[] cumulative;
  private final int size;
  private final NoiseSource random;

  PatchSampler(List<TrainingPicture> all, int size, NoiseSource random) {
    this.pictures = all.stream().filter(p -> p.width() >= size && p.height() >= size).toList();
    if (pictures.isEmpty()) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          "no training picture is at least " + size + " pixels wide and high");
    }
    this.size = size;
    this.random = random;
    cumulative = new double[pictures.size()];
    double sum = 0;
    for (int i = 0; i < cumulative.length; i++) {
      TrainingPicture p = pictures.get(i);
      sum += Math.sqrt((double) p.width() * p.height());
      cumulative[i] = sum;
    }
  }

  /** A picture by its weight. */
  TrainingPicture picture() {
    double u = random.uniform() * cumulative[cumulative.length - 1];
    int at = java.util.Arrays.binarySearch(cumulative, u);
    return pictures.get(Math.min(cumulative.length - 1, at < 0 ? -at - 1 : at));
  }

  /** {@code [count, 3, size, size]} in [-1,1]. */
  HostTensor batch(int count) {
    float[] values = new float[count * 3 * size * size];
    for (int i = 0; i < count; i++) {
      picture().crop(random, size, values, i * 3 * size * size);
    }
    return new HostTensor(new Shape(count, 3, size, size), values);
  }
}
