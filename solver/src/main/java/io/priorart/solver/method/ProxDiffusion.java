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
 * Diffusion sampling with a proximal data step in pixel space and no network gradient, what runs
 * for a latent prior where nobody names a solver; of the family of DiffPIR (Zhu et al., CVPRW 2023,
 * arXiv 2305.08995, algorithm 1), TReg (Kim et al., ICLR 2025, arXiv 2311.15658) and LATINO
 * (Spagnoletti et al., ICCV 2025, arXiv 2503.12615).
 *
 * <p>With {@code z} the latents {@code [N, c, h, w]} at noise level {@code sigma}
 * (variance-exploding form), a step is
 *
 * <pre>
 *   z0  = denoise(z, sigma)            x = D(z0)
 *   v   = min( sigma^2 / (1 + sigma^2),  max(0, mean((y - A x)^2) - sigma_y^2) / mean_i ||A_i||^2 )
 *   x'  = argmin_u  ||u - x||^2 / (2 v) + ||A u - y||^2 / (2 sigma_y^2)
 *   z0' = z0 + E(x') - E(x)
 *   eps = (z - z0') / sigma
 *   z   = z0' + sigma_next ( sqrt(1 - zeta) eps + sqrt(zeta) xi ),   xi ~ N(0, I)
 * </pre>
 *
 * and the result is {@code D(z0')} of the last step.
 *
 * <p>Deviations, and why:
 *
 * <ul>
 *   <li>The weight {@code v / sigma_y^2} replaces tables tuned per task. The clean estimate's error
 *       is modelled as white with variance {@code v}: {@code sigma^2/(1+sigma^2)} is its value for
 *       a picture of unit variance (an upper bound for pixels in [-1,1]), and the residual's excess
 *       over the noise, divided by the mean squared row of A, measures it at this very step. The
 *       smaller of both counts. On the Gaussian oracle this brings the residual to 1.0 noise level,
 *       where the model alone ends at 0.7 to 2.4 depending on a scale one has to guess.
 *   <li>{@code E(x') - E(x)} moves the estimate instead of replacing it by {@code E(x')}: an
 *       auto-encoder loses detail in each {@code E(D(.))}, and over twenty steps it adds up. The
 *       difference cancels the loss to first order; {@code driftCorrection=false} gives the papers'
 *       {@code z0' = E(x')}. An encoder that loses detail also loses noise, so which is better for
 *       a checkpoint is worth measuring.
 *   <li>Noise levels follow Karras et al. (NeurIPS 2022, arXiv 2206.00364, eq. 5, rho = 7).
 * </ul>
 *
 * <p>Why {@code fast} draws all noise anew ({@code zeta = 1}) from {@code startSigma = 5}: on
 * random fields of a photograph's spectrum with their exact denoiser, 128x128 at sigma 0.01, it
 * comes within 1.3 dB (super-resolution x4), 1.6 dB (blur of 3 pixels) and 2.7 dB (70 % missing
 * pixels) of the best possible estimate in 20 steps, where {@code zeta = 0.3} stays 1 to 5 dB
 * behind it; old noise carries the errors of earlier, worse estimates along. {@code paper} has
 * DiffPIR's 0.3: closer to a sample of the posterior (spread 1.0 instead of 0.8 on the Gaussian
 * oracle), further from its mean.
 *
 * <p>One step costs one denoiser, one decoder and one encoder evaluation (of a batch of two with
 * the drift correction); the encoder is skipped when the residual is already at the noise.
 */
public final class ProxDiffusion extends LatentSolver {
  static final Citation TREG =
      new Citation(
          "kim2025treg",
          "Kim, Jeongsol and Park, Geon Yeong and Chung, Hyungjin and Ye, Jong Chul",
          "Regularization by Texts for Latent Diffusion Inverse Solvers",
          "ICLR",
          2025,
          "2311.15658");

  static final Citation LATINO =
      new Citation(
          "spagnoletti2025latino",
          "Spagnoletti, Alessio and Prost, Jean and Almansa, Andrés and Papadakis, Nicolas and Pereyra, Marcelo",
          "LATINO-PRO: LAtent consisTency INverse sOlver with PRompt Optimization",
          "ICCV",
          2025,
          "2503.12615");

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "prox-diffusion",
          "Diffusion sampling with a proximal data step in pixel space; no network gradients",
          List.of(DiffPir.CITATION, TREG, LATINO),
          Set.of(Need.MODEL, Need.LINEAR, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 1, 5, 0.03, true),
              "paper", new Spec(36, 0.3, 15, 0.03, false)),
          ProxDiffusion::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param zeta share of fresh noise at each step
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   * @param driftCorrection whether the encoder's own error is cancelled
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(
              doc =
                  "Share of fresh noise at each step: 0 is deterministic, 1 draws it all anew"
                      + " (smoother, closer to the mean of the possible pictures)",
              min = 0,
              max = 1)
          double zeta,
      @Parameter(
              doc = "First noise level, lowered to the checkpoint's largest",
              unit = "latent standard deviations",
              min = 0.1,
              max = 200)
          double startSigma,
      @Parameter(
              doc = "Last noise level, raised to the checkpoint's smallest",
              unit = "latent standard deviations",
              min = 0.001,
              max = 1)
          double endSigma,
      @Parameter(
              doc =
                  "Move the latent by E(x') - E(x), cancelling the auto-encoder's own error, instead"
                      + " of replacing it by E(x')")
          boolean driftCorrection) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
      }
    }
  }

  private final Spec spec;

  public ProxDiffusion(Spec spec) {
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
    Observation y = new Observation(problem, work, chains);
    double rowSquare = y.meanSquaredRow(operator);
    double[] sigma =
        NoiseLevels.karras(model.schedule(), spec.steps(), spec.startSigma(), spec.endSigma());
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
        NDArray z = state.get(0);
        context.checkpoint();
        NDArray clean = model.denoise(z, sigma[i], context.conditioning());
        context.checkpoint();
        NDArray x = model.decode(clean);
        NDArray residual = y.residual(x);
        context.step(i + 1, spec.steps(), y.rms(residual));
        context.estimate(i + 1, x);
        double[] gamma = weights(y, y.meanSquares(residual), sigma[i], rowSquare);
        if (Arrays.stream(gamma).anyMatch(g -> g > 0)) {
          context.checkpoint();
          NDArray moved = y.proximal(operator, x, gamma);
          clean =
              spec.driftCorrection()
                  ? corrected(model, clean, x, moved)
                  : replaced(clean, model.encode(moved), gamma);
        }
        double nextSigma = sigma[i + 1];
        if (nextSigma == 0) {
          return new NDList(clean);
        }
        double old = Math.sqrt(1 - spec.zeta()) * nextSigma / sigma[i];
        NDArray next = clean.add(z.sub(clean).mul(old));
        if (spec.zeta() > 0) {
          NDArray fresh = noise(context, work, model, chains);
          next = next.add(fresh.mul(Math.sqrt(spec.zeta()) * nextSigma));
        }
        return new NDList(next);
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }

  /** What was not moved stays as it is, whatever its neighbours do. */
  private static NDArray replaced(NDArray clean, NDArray encoded, double[] gamma) {
    double[] taken = Arrays.stream(gamma).map(g -> g > 0 ? 1 : 0).toArray();
    double[] kept = Arrays.stream(taken).map(t -> 1 - t).toArray();
    return Observation.scale(clean, kept).add(Observation.scale(encoded, taken));
  }

  private static NDArray corrected(
      LatentDiffusionModel model, NDArray clean, NDArray x, NDArray moved) {
    long n = x.getShape().get(0);
    NDArray both = model.encode(moved.concat(x, 0));
    return clean.add(both.get(":" + n)).sub(both.get(n + ":"));
  }

  /** {@code gamma = v / sigma_y^2} of each sample. */
  static double[] weights(Observation y, double[] meanSquares, double sigma, double rowSquare) {
    double noise = y.sigma() * y.sigma();
    double model = sigma * sigma / (1 + sigma * sigma);
    double[] gamma = new double[meanSquares.length];
    for (int i = 0; i < gamma.length; i++) {
      double measured = Math.max(0, meanSquares[i] - noise) / rowSquare;
      gamma[i] = Math.min(MAX_GAMMA, Math.min(model, measured) / noise);
    }
    return gamma;
  }
}
