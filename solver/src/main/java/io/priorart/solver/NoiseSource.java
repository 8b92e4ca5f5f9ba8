package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.SplittableRandom;

/**
 * All randomness of a solve: a seeded generator on the host, so that a seed gives the same picture
 * whatever else the process does. The engine's own generator is global and never used. One thread.
 */
public final class NoiseSource {
  private SplittableRandom random;

  public NoiseSource(long seed) {
    random = new SplittableRandom(seed);
  }

  /**
   * Goes on with stream {@code index} of {@code seed}, so that step {@code index} of a long work
   * draws the same whether or not it was interrupted before.
   */
  public void restart(long seed, long index) {
    random =
        new SplittableRandom(
            new SplittableRandom(seed).nextLong() ^ new SplittableRandom(~index).nextLong());
  }

  /** Independent standard normal values, float32. */
  public NDArray normal(NDManager manager, Shape shape) {
    return normal(shape).to(manager);
  }

  /** Independent standard normal values on the host. */
  public HostTensor normal(Shape shape) {
    float[] values = new float[Math.toIntExact(shape.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return new HostTensor(shape, values);
  }

  /** Uniform in [0, 1). */
  public double uniform() {
    return random.nextDouble();
  }

  /** Uniform in {@code 0..bound-1}. */
  public int below(int bound) {
    return random.nextInt(bound);
  }
}
