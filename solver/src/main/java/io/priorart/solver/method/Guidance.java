package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;

/**
 * The gradient that {@link Dps}, {@link Mcg}, {@link P2l} and {@link ReSample} follow: of the
 * un-squared data misfit through decoder and denoiser.
 *
 * <p>With {@code z} in variance-preserving form, {@code clean = denoise(z / sqrt(alphaBar))},
 * {@code x = D(clean)} and {@code r = y - A(x)}: {@code d/dz ||r|| = -(1/sqrt(alphaBar))
 * J_denoise^T J_D^T J_A^T r / ||r||}, each sample with the norm of its own residual.
 *
 * @param clean {@code E[z0 | z]}, {@code [N, c, h, w]}
 * @param gradient of {@code ||r||} in {@code z}, {@code [N, c, h, w]}; zero where {@code r} is
 * @param picture {@code D(clean)}
 * @param residualRms {@code RMS(r)}
 * @param excess {@link Observation#excess} of {@code r}
 */
record Guidance(
    NDArray clean, NDArray gradient, NDArray picture, double residualRms, double[] excess) {
  static final String POLYAK =
      "Step no further than to where the misfit, linearised, meets the noise (Polyak's step size)";

  /** Arrays belong to the manager of {@code z} and to the caller's scope. */
  static Guidance at(
      NDArray z,
      double alphaBar,
      Problem problem,
      Observation y,
      LatentDiffusionModel model,
      SolveContext context) {
    return at(z, alphaBar, problem, y, model, context, context.conditioning());
  }

  /** The same with another text than the solve's. */
  static Guidance at(
      NDArray z,
      double alphaBar,
      Problem problem,
      Observation y,
      LatentDiffusionModel model,
      SolveContext context,
      Conditioning text) {
    double root = Math.sqrt(alphaBar);
    double sigma = Math.sqrt((1 - alphaBar) / alphaBar);
    context.checkpoint();
    try (Linearization denoiser = model.denoiseAt(z.div(root), sigma, text)) {
      context.checkpoint();
      try (Linearization decoder = model.decodeAt(denoiser.value());
          Linearization forward = problem.operator().at(decoder.value())) {
        NDArray residual = y.residualOf(forward.value());
        NDArray unit = Observation.scale(residual, Observation.inverseNorms(residual));
        context.checkpoint();
        NDArray latent = decoder.pullback(forward.pullback(unit));
        context.checkpoint();
        NDArray gradient = denoiser.pullback(latent).div(-root);
        return new Guidance(
            denoiser.value(), gradient, decoder.value(), y.rms(residual), y.excess(residual));
      }
    }
  }

  /** {@link #step(NDArray, double[], double, boolean)} along this gradient. */
  NDArray step(double eta, boolean polyak) {
    return step(gradient, excess, eta, polyak);
  }

  /**
   * {@code eta g}, or with {@code polyak} {@code min(eta, f / ||g||^2) g} of each sample: no
   * further than Polyak's step size (Polyak, Minimization of unsmooth functionals, USSR
   * Computational Mathematics and Mathematical Physics 9(3), 1969), at which the linearised misfit
   * is what the noise explains.
   *
   * <p>The gradient of a norm does not shrink as the norm does. A thousand short steps wander about
   * the data by their length; of a hundred, ten times as long, the last ones pass by it, and no
   * denoiser comes after them.
   *
   * @param g the misfit's gradient, {@code [N, ...]}
   * @param f how far the misfit exceeds what the noise explains, one value a sample, 0 or more
   */
  static NDArray step(NDArray g, double[] f, double eta, boolean polyak) {
    if (!polyak) {
      return g.mul(eta);
    }
    double[] etas = Observation.sumsOfSquares(g);
    for (int n = 0; n < etas.length; n++) {
      etas[n] = f[n] < eta * etas[n] ? f[n] / etas[n] : eta;
    }
    return Observation.scale(g, etas);
  }
}
