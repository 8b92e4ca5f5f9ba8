package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.Iterator;
import java.util.List;
import java.util.SplittableRandom;

/**
 * All randomness of a solve: a seeded generator on the host, so that a seed gives the same picture
 * whatever else the process does. The engine's own generator is global and never used. One thread.
 */
public sealed class NoiseSource {
  private SplittableRandom random;

  public NoiseSource(long seed) {
    random = new SplittableRandom(seed);
  }

  /**
   * Normal draws that someone else has made, in order, so that two implementations can be compared.
   *
   * @throws PriorArtException INVALID_ARGUMENT at a draw that is not there or has another shape
   */
  public static NoiseSource recorded(List<HostTensor> draws) {
    return new Recorded(draws);
  }

  private static final class Recorded extends NoiseSource {
    private final Iterator<HostTensor> draws;

    Recorded(List<HostTensor> draws) {
      super(0);
      this.draws = List.copyOf(draws).iterator();
    }

    /** Recorded draws are in order already. */
    @Override
    public void restart(long seed, long index) {}

    @Override
    public HostTensor normal(Shape shape) {
      if (!draws.hasNext()) {
        throw PriorArtException.badField("noise", "has fewer draws than are needed");
      }
      HostTensor draw = draws.next();
      if (!draw.shape().equals(shape)) {
        throw PriorArtException.badField("noise", "is " + draw.shape() + ", not " + shape);
      }
      return draw;
    }
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

  /** 64 uniform bits, for samplers of other distributions. */
  public long nextLong() {
    return random.nextLong();
  }

  /** Uniform in {@code 0..bound-1}. */
  public int below(int bound) {
    return random.nextInt(bound);
  }
}
