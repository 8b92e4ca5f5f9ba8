package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
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
          "Kim et al., RAD: Region-Aware Diffusion Models for Image Inpainting, CVPR 2025, arXiv"
              + " 2412.09191",
          Set.of(Need.MODEL, Need.LINEAR, Need.MASK, Need.PIXEL_SPACE, Need.NOISE_MAP),
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
  NDArray run(
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
    float[] known = known(problem);
    boolean complete = true;
    for (float k : known) {
      complete &= k == 1;
    }
    // where nothing is missing, nothing happens above the measurement's own noise
    double start = complete ? Math.min(spec.startSigma(), y.sigma()) : spec.startSigma();
    double[] sigma = NoiseLevels.karras(model.schedule(), spec.steps(), start, spec.endSigma());
    Shape map = new Shape(1, 1).addAll(model.imageShape().slice(1));
    NDArray z;
    try (TensorScope scope = new TensorScope()) {
      NDArray k = work.create(known, map);
      NDArray xi = noise(context, work, model, chains).mul(sigma[0]);
      z = scope.keep(y.measurement().mul(k).add(xi.sub(xi.mul(k))));
    }
    for (int i = 0; ; i++) {
      try (TensorScope scope = new TensorScope()) {
        context.checkpoint();
        float[] level = levels(known, sigma[i], y.sigma());
        NDArray clean = denoised(z, work.create(level, map), model, context);
        context.step(i + 1, spec.steps(), y.rms(y.residual(clean)));
        preview(context, i + 1, clean);
        if (i + 1 == spec.steps()) {
          z.close();
          return Outcome.finite(scope.keep(clean));
        }
        float[] next = levels(known, sigma[i + 1], y.sigma());
        NDArray moved = moved(z, clean, level, next, noise(context, work, model, chains), map);
        z.close();
        z = scope.keep(moved);
      }
    }
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
  private NDArray moved(
      NDArray z, NDArray clean, float[] level, float[] next, NDArray xi, Shape map) {
    float[] old = new float[level.length];
    float[] fresh = new float[level.length];
    for (int p = 0; p < level.length; p++) {
      double ratio = next[p] / level[p];
      double zeta = spec.eta() * spec.eta() * (1 - ratio * ratio);
      old[p] = (float) (Math.sqrt(1 - zeta) * ratio);
      fresh[p] = (float) (Math.sqrt(zeta) * next[p]);
    }
    NDManager m = z.getManager();
    return clean.add(z.sub(clean).mul(m.create(old, map))).add(xi.mul(m.create(fresh, map)));
  }

  private static float[] levels(float[] known, double sigma, double noise) {
    float[] levels = new float[known.length];
    for (int p = 0; p < levels.length; p++) {
      levels[p] = (float) (known[p] == 1 ? Math.min(sigma, noise) : sigma);
    }
    return levels;
  }

  /** {@code [H W]} of zeros and ones; a mask is the same in all channels. */
  private static float[] known(Problem problem) {
    Shape shape = problem.operator().imageShape();
    float[] known = new float[Math.toIntExact(shape.get(1) * shape.get(2))];
    HostTensor observed = problem.operator().observed();
    for (int p = 0; p < known.length; p++) {
      known[p] = observed == null ? 1 : observed.values()[p];
    }
    return known;
  }
}
