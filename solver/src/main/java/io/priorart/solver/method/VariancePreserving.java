package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;

/**
 * Steps in variance-preserving form, {@code z = sqrt(a) z0 + sqrt(1 - a) eps} with {@code a}
 * alphaBar, from {@code at} to the next step's {@code as}; {@code as = 1} is the clean end. Arrays
 * are {@code [N, c, h, w]}.
 */
final class VariancePreserving {
  /** Steps that the papers' weights of a misfit's gradient are for. */
  private static final double PAPER_STEPS = 1000;

  private VariancePreserving() {}

  /** {@code E[z0 | z]}. */
  static NDArray denoised(
      LatentDiffusionModel model, NDArray z, double alphaBar, Conditioning text) {
    return model.denoise(z.div(Math.sqrt(alphaBar)), Math.sqrt((1 - alphaBar) / alphaBar), text);
  }

  /**
   * The mean of DDPM's step (Ho et al. 2020, arXiv 2006.11239, equation 7), with {@code alpha =
   * at/as}:
   *
   * <pre>
   *   sqrt(as) (1 - alpha) / (1 - at) clean + sqrt(alpha) (1 - as) / (1 - at) z
   * </pre>
   */
  static NDArray ancestral(NDArray z, NDArray clean, double at, double as) {
    double alpha = at / as;
    return clean
        .mul(Math.sqrt(as) * (1 - alpha) / (1 - at))
        .add(z.mul(Math.sqrt(alpha) * (1 - as) / (1 - at)));
  }

  /** The standard deviation of the noise that goes with {@link #ancestral}; 0 at the clean end. */
  static double ancestralDeviation(double at, double as) {
    return Math.sqrt((1 - at / as) * (1 - as) / (1 - at));
  }

  /**
   * DDIM's deterministic step (Song et al. 2021, arXiv 2010.02502, equation 12 with eta = 0):
   * {@code sqrt(as) clean + sqrt(1 - as) (z - sqrt(at) clean) / sqrt(1 - at)}.
   */
  static NDArray ddim(NDArray z, NDArray clean, double at, double as) {
    double kept = Math.sqrt((1 - as) / (1 - at));
    return z.mul(kept).add(clean.mul(Math.sqrt(as) - kept * Math.sqrt(at)));
  }

  /** A weight that is told per thousand steps, of one of {@code steps}. */
  static double perStep(double weight, int steps) {
    return weight * PAPER_STEPS / steps;
  }
}
