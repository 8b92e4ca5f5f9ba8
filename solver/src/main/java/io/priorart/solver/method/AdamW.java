package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import io.priorart.solver.TensorScope;

/**
 * Adam with decoupled weight decay on one array (Loshchilov and Hutter, ICLR 2019, arXiv
 * 1711.05101, algorithm 2), betas 0.9 and 0.999, epsilon 1e-8, as in torch.optim.AdamW:
 *
 * <pre>
 *   x &lt;- (1 - lr decay) x;  m &lt;- b1 m + (1-b1) g;  v &lt;- b2 v + (1-b2) g^2
 *   x &lt;- x - lr (m / (1-b1^k)) / ( sqrt(v / (1-b2^k)) + eps )
 * </pre>
 *
 * Owns three arrays in the manager of the starting point until closed.
 */
public final class AdamW implements AutoCloseable {
  private static final double BETA1 = 0.9;
  private static final double BETA2 = 0.999;
  private static final double EPSILON = 1e-8;

  private final double rate;
  private final double decay;
  private NDArray x;
  private NDArray first;
  private NDArray second;
  private int count;

  /** Starts at a copy of {@code start}. */
  public AdamW(NDArray start, double rate, double decay) {
    this.rate = rate;
    this.decay = decay;
    try (TensorScope scope = new TensorScope()) {
      x = scope.keep(start.duplicate());
      first = scope.keep(start.zerosLike());
      second = scope.keep(start.zerosLike());
    }
  }

  /**
   * Goes on.
   *
   * @param state of {@link #state}; the arrays are copied
   * @param count updates that were made
   */
  AdamW(NDList state, int count, double rate, double decay) {
    this.rate = rate;
    this.decay = decay;
    this.count = count;
    try (TensorScope scope = new TensorScope()) {
      x = scope.keep(state.get(0).duplicate());
      first = scope.keep(state.get(1).duplicate());
      second = scope.keep(state.get(2).duplicate());
    }
  }

  /** Point and moments. */
  NDList state() {
    return new NDList(x, first, second);
  }

  /** {@link #state} before the first update. */
  static NDList state(NDArray start) {
    return new NDList(start, start.zerosLike(), start.zerosLike());
  }

  /** The current point; valid until the next {@link #step}. */
  public NDArray point() {
    return x;
  }

  /**
   * One update.
   *
   * @param gradient same shape as the point
   * @param active 1 for each sample of the batch that moves, 0 for one that rests
   */
  public void step(NDArray gradient, double[] active) {
    count++;
    try (TensorScope scope = new TensorScope()) {
      NDArray m = first.mul(BETA1).add(gradient.mul(1 - BETA1));
      NDArray v = second.mul(BETA2).add(gradient.square().mul(1 - BETA2));
      NDArray direction =
          m.div(1 - Math.pow(BETA1, count))
              .div(v.div(1 - Math.pow(BETA2, count)).sqrt().add(EPSILON))
              .add(x.mul(decay));
      NDArray next = x.sub(Observation.scale(direction.mul(rate), active));
      close();
      x = scope.keep(next);
      first = scope.keep(m);
      second = scope.keep(v);
    }
  }

  @Override
  public void close() {
    x.close();
    first.close();
    second.close();
  }
}
