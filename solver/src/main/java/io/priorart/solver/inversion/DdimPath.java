package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.SolveContext;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;

/**
 * Deterministic DDIM (Song et al., ICLR 2021, arXiv 2010.02502, equation 12 with eta = 0) on
 * trailing timesteps down to the clean latent. In variance-exploding form, with {@code D = E[z0 |
 * z]} and {@code s} the level below {@code sigma},
 *
 * <pre>  z' = D + s/sigma (z - D)</pre>
 *
 * Its inverse is the equation of one step in {@code z}, given {@code z'}:
 *
 * <pre>  z = z' + (sigma - s) eps(z, sigma),   eps = (z - D) / sigma</pre>
 */
public final class DdimPath {
  /** Descending, and 0 at the end. */
  private final double[] sigma;

  /**
   * @param steps 1 to the schedule's training timesteps
   */
  public DdimPath(NoiseSchedule schedule, int steps) {
    int[] timesteps = schedule.timesteps(steps, TimestepSpacing.TRAILING);
    sigma =
        Arrays.copyOf(Arrays.stream(timesteps).mapToDouble(schedule::sigma).toArray(), steps + 1);
  }

  public int steps() {
    return sigma.length - 1;
  }

  /** Noise level before step {@code i} of the way down; 0 for {@code i = steps()}. */
  double sigma(int i) {
    return sigma[i];
  }

  /** {@code sqrt(1 + sigma^2)}: what a variance-preserving state is multiplied by. */
  double root(int i) {
    return Math.sqrt(1 + sigma[i] * sigma[i]);
  }

  /** The state after step {@code i} down from {@code z}, whose clean estimate is known. */
  NDArray down(int i, NDArray z, NDArray clean) {
    return clean.add(z.sub(clean).mul(sigma[i + 1] / sigma[i]));
  }

  /** What {@code z} at level {@code i} should be by its own noise, {@code below} at the next. */
  NDArray up(int i, NDArray below, NDArray z, NDArray clean) {
    return below.add(z.sub(clean).mul((sigma[i] - sigma[i + 1]) / sigma[i]));
  }

  /** {@code below} brought to level {@code i} as it is, in variance-preserving form. */
  NDArray guess(int i, NDArray below) {
    return below.mul(root(i) / root(i + 1));
  }

  /**
   * The way down.
   *
   * @param noise as {@link Inversion#noise}
   * @param nulls as {@link Inversion#nulls}: where there are any, they stand for the negative
   *     prompt
   * @param conditioning of every evaluation
   * @return the clean latent, in the manager of {@code noise}
   */
  public NDArray forward(
      LatentDiffusionModel model,
      NDArray noise,
      NDList nulls,
      Conditioning conditioning,
      SolveContext context) {
    NDArray z = noise.mul(root(0));
    for (int i = 0; i < steps(); i++) {
      context.checkpoint();
      Conditioning given = nulls.isEmpty() ? conditioning : conditioning.withNegative(nulls.get(i));
      double size;
      try (TensorScope scope = new TensorScope()) {
        NDArray next = down(i, z, model.denoise(z, sigma[i], given));
        z.close();
        z = scope.keep(next);
        size = rms(z);
      }
      requireFinite(context, i, size);
      context.step(i + 1, steps());
    }
    return z;
  }

  /** Ends a solve whose state is not finite, as any divergence is told. */
  void requireFinite(SolveContext context, int i, double size) {
    if (!Double.isFinite(size)) {
      context.step(i + 1, steps(), size);
    }
  }

  static double rms(NDArray a) {
    return Math.sqrt(a.square().mean().getFloat());
  }

  static double dot(NDArray a, NDArray b) {
    return a.mul(b).sum().getFloat();
  }
}
