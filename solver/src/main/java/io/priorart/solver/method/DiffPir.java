package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * DiffPIR (Zhu et al., CVPRW 2023, arXiv 2305.08995, algorithm 1): half-quadratic splitting along
 * the diffusion, with a pixel-space prior. With {@code x} the picture at noise level {@code sigma}
 * (variance-exploding form), a step is
 *
 * <pre>
 *   x0  = denoise(x, sigma)
 *   x0' = argmin_u  ||A u - y||^2 + rho ||u - x0||^2,   rho = lambda sigma_y^2 / sigma^2
 *   eps = (x - x0') / sigma
 *   x   = x0' + sigma_next ( sqrt(1 - zeta) eps + sqrt(zeta) xi ),   xi ~ N(0, I)
 * </pre>
 *
 * and the result is the last {@code x0'}. Both sigmas are on one scale, so {@code lambda} has no
 * unit. One step costs one denoiser evaluation.
 *
 * <p>Deviations, and why: noise levels follow Karras et al. (arXiv 2206.00364, eq. 5, rho = 7)
 * instead of a quadratic grid of DDPM's thousand timesteps, because a prior that was trained on a
 * continuum has no timesteps; {@code sigma_y} includes the quantisation of the measurement's file,
 * which bounds {@code rho} where the paper's noise-free tasks would divide by zero.
 */
public final class DiffPir extends LatentSolver {
  static final Citation CITATION =
      new Citation(
          "zhu2023diffpir",
          "Zhu, Yuanzhi and Zhang, Kai and Liang, Jingyun and Cao, Jiezhang and Wen, Bihan and Timofte, Radu and Van Gool, Luc",
          "Denoising Diffusion Models for Plug-and-Play Image Restoration",
          "CVPRW",
          2023,
          "2305.08995");

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "diffpir",
          "Half-quadratic splitting along the diffusion; pixel-space priors, no network gradients",
          List.of(CITATION),
          Set.of(Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 7, 1, 2, 0.02),
              "paper", new Spec(100, 7, 0.3, 200, 0.01)),
          DiffPir::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param lambda how far the prior is trusted against the measurement
   * @param zeta share of fresh noise at each step
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(
              doc = "Trust in the prior against the measurement; the paper uses 3 to 25",
              min = 0.001,
              max = 1000)
          double lambda,
      @Parameter(
              doc = "Share of fresh noise at each step: 0 is deterministic, 1 draws it all anew",
              min = 0,
              max = 1)
          double zeta,
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
          double endSigma) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
      }
    }
  }

  private final Spec spec;

  public DiffPir(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    LinearOperator operator = problem.linearOperator();
    requirePixelSpace(model);
    Observation y = new Observation(problem, work, chains);
    double[] sigma =
        NoiseLevels.karras(model.schedule(), spec.steps(), spec.startSigma(), spec.endSigma());
    double noise = y.sigma() * y.sigma();
    return new Steps() {
      @Override
      public int count() {
        return spec.steps();
      }

      @Override
      public NDList start() {
        return new NDList(noise(context, work, model, chains).mul(sigma[0]));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray x = state.get(0);
        context.checkpoint();
        NDArray clean = model.denoise(x, sigma[i], context.conditioning());
        context.step(i + 1, spec.steps(), y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        context.checkpoint();
        double[] gamma = new double[chains];
        Arrays.fill(gamma, Math.min(MAX_GAMMA, sigma[i] * sigma[i] / (spec.lambda() * noise)));
        NDArray next = y.proximal(operator, clean, gamma);
        if (sigma[i + 1] > 0) {
          double old = Math.sqrt(1 - spec.zeta()) * sigma[i + 1] / sigma[i];
          NDArray fresh = noise(context, work, model, chains);
          next =
              next.add(x.sub(next).mul(old)).add(fresh.mul(Math.sqrt(spec.zeta()) * sigma[i + 1]));
        }
        return new NDList(next);
      }
    };
  }
}
