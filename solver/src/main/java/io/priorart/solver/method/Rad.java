package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Region-aware diffusion (Kim et al., CVPR 2025, arXiv 2412.09191): each pixel has its own noise
 * level, so a picture with missing pixels simply is a noisy picture, and restoring it is denoising
 * it. With {@code c} the measurement's noise where a pixel is known and infinite where it is
 * missing, the level of pixel {@code p} at step {@code i} is {@code l_i = min(sigma_i, c)} and
 *
 * <pre>
 *   z_0     = y where known, sigma_0 xi where missing
 *   x       = denoise(z_i, l_i)
 *   z_{i+1} = x + l_{i+1} ( sqrt(1 - zeta) (z_i - x) / l_i + sqrt(zeta) xi ),
 *             zeta = eta^2 (1 - l_{i+1}^2 / l_i^2)
 * </pre>
 *
 * and the result is the last {@code x}. {@code z_0} is what the prior's own diffusion makes of the
 * picture at these levels, and {@code eta = 1} is that diffusion backwards (DDPM's ancestral step),
 * so for small steps the result is a sample of the posterior; a single step is the posterior's
 * mean. {@code eta = 0} follows the probability flow, whose end given {@code y} is less spread than
 * the posterior. No data step, no gradients; one denoiser evaluation a step, or, with {@code
 * ensemble}, one for each of the picture's eight flips and quarter turns, averaged (Timofte et al.,
 * "Seven Ways to Improve Example-Based Single Image Super Resolution", CVPR 2016).
 *
 * <p>Deviations from the paper: noise levels in the variance-exploding form and on the grid of
 * Karras et al. (arXiv 2206.00364, eq. 5), without Perlin noise in the levels; the measurement may
 * be noisy, which the paper's is not: once {@code sigma_i} falls below its noise, known pixels are
 * denoised with the rest.
 */
public final class Rad extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "rad",
          "Region-aware diffusion for missing pixels and noise: samples the posterior, no data steps",
          List.of(
              new Citation(
                  "kim2025rad",
                  "Kim, Sora and Suh, Sungho and Lee, Minsik",
                  "RAD: Region-Aware Diffusion Models for Image Inpainting",
                  "CVPR",
                  2025,
                  "2412.09191")),
          Set.of(
              Need.MODEL,
              Need.LINEAR,
              Need.MASK,
              Need.PIXEL_SPACE,
              Need.NOISE_MAP,
              Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 1, 8, 0.01, false),
              "mean", new Spec(1, 0, 8, 0.01, true),
              "paper", new Spec(100, 1, 8, 0.01, false)),
          Rad::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param eta how much of the diffusion's own noise is drawn anew at each step
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   * @param ensemble whether the denoiser is averaged over flips and quarter turns
   */
  public record Spec(
      @Parameter(
              doc = "Denoiser evaluations; 1 gives the mean of what is possible, smooth",
              min = 1,
              max = 1000)
          int steps,
      @Parameter(
              doc = "Fresh noise: 0 follows the probability flow, 1 is the diffusion backwards",
              min = 0,
              max = 1)
          double eta,
      @Parameter(
              doc = "First noise level, lowered to the checkpoint's largest",
              unit = "standard deviations on [-1,1]",
              min = 0.1,
              max = 1000)
          double startSigma,
      @Parameter(
              doc = "Last noise level, raised to the checkpoint's smallest",
              unit = "standard deviations on [-1,1]",
              min = 0.001,
              max = 1)
          double endSigma,
      @Parameter(
              doc = "Average each estimate over flips and quarter turns, at eight times the cost")
          boolean ensemble) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
      }
    }
  }

  private final Spec spec;

  public Rad(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    if (!problem.linearOperator().isMask()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "operators: this solver restores missing pixels and noise alone");
    }
    requirePixelSpace(model);
    if (!model.noiseMap()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: this solver needs a prior that takes a noise level for each pixel");
    }
    Observation y = new Observation(problem, work, chains);
    KnownPixels known = new KnownPixels(problem);
    // where nothing is missing, nothing happens above the measurement's own noise
    double start = known.complete() ? Math.min(spec.startSigma(), y.sigma()) : spec.startSigma();
    double[] sigma = NoiseLevels.karras(model.schedule(), spec.steps(), start, spec.endSigma());
    return new Steps() {
      @Override
      public int count() {
        return spec.steps();
      }

      @Override
      public NDList start() {
        NDArray k = known.mask(work);
        NDArray xi = noise(context, work, model, chains).mul(sigma[0]);
        return new NDList(y.measurement().mul(k).add(xi.sub(xi.mul(k))));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray z = state.get(0);
        context.checkpoint();
        NDArray level = levels(known, sigma[i], y.sigma(), work);
        NDArray clean = denoised(z, level, model, context);
        context.step(i + 1, spec.steps(), y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        if (i + 1 == spec.steps()) {
          return new NDList(clean);
        }
        NDArray next = levels(known, sigma[i + 1], y.sigma(), work);
        return new NDList(moved(z, clean, level, next, noise(context, work, model, chains)));
      }
    };
  }

  private static NDArray levels(KnownPixels known, double sigma, double noise, NDManager work) {
    return known.levels(work, Math.min(sigma, noise), sigma);
  }

  private NDArray denoised(
      NDArray z, NDArray level, LatentDiffusionModel model, SolveContext context) {
    if (!spec.ensemble()) {
      return model.denoise(z, level, context.conditioning());
    }
    int[] turns = Turns.all(model.imageShape());
    NDArray sum = z.zerosLike();
    for (int turn : turns) {
      context.checkpoint();
      try (TensorScope scope = new TensorScope()) {
        NDArray turned =
            model.denoise(Turns.of(z, turn), Turns.of(level, turn), context.conditioning());
        sum.addi(Turns.back(turned, turn));
      }
    }
    return sum.div(turns.length);
  }

  /** {@code z_{i+1}}. */
  private NDArray moved(NDArray z, NDArray clean, NDArray level, NDArray next, NDArray xi) {
    NDArray ratio = next.div(level);
    NDArray zeta = ratio.square().neg().add(1).mul(spec.eta() * spec.eta());
    NDArray old = zeta.neg().add(1).sqrt().mul(ratio);
    return clean.add(z.sub(clean).mul(old)).add(xi.mul(zeta.sqrt().mul(next)));
  }
}
