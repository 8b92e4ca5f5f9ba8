package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Prompt-tuning inverse problem solver, P2L (Chung et al., ICML 2024, arXiv 2310.01110): DDIM (eta
 * = 0) on the latent {@code z} in variance-preserving form whose prompt's embedding {@code C [N,
 * tokens, width]} is a variable of the problem. At every step, with {@code a} alphaBar here, {@code
 * s} the next one and {@code z0(C) = denoise(z, C)},
 *
 * <pre>
 *   C   by tuning updates of Adam on || y - A(D(z0(C))) ||^2,  z as it is
 *   g   = d/dz || y - A(D(z0(C))) ||                            (un-squared norm)
 *   eps = (z - sqrt(a) z0) / sqrt(1-a)
 *   z0' = E( argmin_x ||y - A x||^2 + lambda ||x - D(z0)||^2 )  at every every-th step, else z0
 *   z   = sqrt(s) z0' + sqrt(1-s) eps - rho (1000 / steps) g
 * </pre>
 *
 * The second-last line projects to what the encoder makes of pictures. The result is {@code D(z)}.
 * The embedding starts at that of the solve's prompt; it and Adam's moments go from step to step,
 * so that a tuned prompt stays tuned. Without {@code tuning} this is DPS on latents with the
 * projection.
 *
 * <p>A step costs {@code tuning + 1} evaluations and pullbacks of denoiser and decoder, and an
 * encoder evaluation where it projects.
 *
 * <p>Deviations, and why:
 *
 * <ul>
 *   <li>No code of the authors is known; {@code rho}, the number of updates and how often to
 *       project are those of re-implementations. {@code rho} counts per thousand steps, and {@code
 *       polyak} bounds the step, as in {@link Dps}; a projection in the last step is then the last
 *       act, since the gradient was taken before it and no denoiser follows.
 *   <li>A sample's prompt rests in a step whose residual is at the noise, {@code ||r||^2 <= m
 *       sigma_y^2}: what is left to fit is noise.
 *   <li>{@code lambda = 0} weighs the projection by noise, operator and residual as {@link
 *       ProxDiffusion} does; a constant fits the noise of some measurements and little of others.
 *       Preset {@code paper} has 1.
 *   <li>The prompt's branch alone is evaluated: guidance by a negative prompt has no part in the
 *       method, and the solve's scale is not looked at.
 * </ul>
 */
public final class P2l extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "p2l",
          "Latent posterior sampling that tunes the prompt as it goes; gradients to the text",
          List.of(
              new Citation(
                  "chung2024p2l",
                  "Chung, Hyungjin and Ye, Jong Chul and Milanfar, Peyman and Delbracio, Mauricio",
                  "Prompt-tuning Latent Diffusion Models for Inverse Problems",
                  "ICML",
                  2024,
                  "2310.01110")),
          Set.of(
              Need.MODEL,
              Need.LINEAR,
              Need.TEXT,
              Need.TEXT_GRADIENT,
              Need.DECODER_GRADIENT,
              Need.DENOISER_GRADIENT,
              Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast",
              new Spec(40, 1, 1e-3, 1, 4, 0, true),
              "paper",
              new Spec(1000, 1, 1e-4, 1, 8, 1, false)),
          P2l::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param tuning updates of the prompt at each
   * @param textRate Adam's rate
   * @param rho weight of the gradient in the latent, per thousand steps
   * @param every steps between two projections
   * @param lambda trust in the estimate against the data when projecting; 0 weighs by the noise
   * @param polyak whether a gradient step ends where the linearised misfit meets the noise
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 1, max = 1000) int steps,
      @Parameter(doc = "Updates of the prompt's embedding at each step", min = 0, max = 100)
          int tuning,
      @Parameter(doc = "Adam's rate for the embedding", min = 1e-7, max = 1) double textRate,
      @Parameter(
              doc = "Weight of the normalised misfit gradient, per thousand steps",
              min = 0,
              max = 100)
          double rho,
      @Parameter(doc = "Steps between two projections", min = 1, max = 1000) int every,
      @Parameter(
              doc =
                  "Trust in the estimate against the data when projecting; 0 weighs by noise,"
                      + " operator and residual",
              min = 0,
              max = 1e6)
          double lambda,
      @Parameter(doc = Guidance.POLYAK) boolean polyak) {}

  private final Spec spec;

  public P2l(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    return new Run(problem, model, context, work, chains);
  }

  /** One solve's surroundings; the state is the latent, the embedding and Adam's moments. */
  private final class Run implements Steps {
    private final LinearOperator operator;
    private final Problem problem;
    private final LatentDiffusionModel model;
    private final SolveContext context;
    private final NDManager work;
    private final int chains;
    private final Observation y;
    private final double rowSquare;
    private final int[] timesteps;
    private final NoiseSchedule schedule;

    Run(
        Problem problem,
        LatentDiffusionModel model,
        SolveContext context,
        NDManager work,
        int chains) {
      this.problem = problem;
      this.model = model;
      this.context = context;
      this.work = work;
      this.chains = chains;
      operator = problem.linearOperator();
      y = new Observation(problem, work, chains);
      rowSquare = y.meanSquaredRow(operator);
      schedule = model.schedule();
      timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    }

    @Override
    public int count() {
      return timesteps.length;
    }

    @Override
    public NDList start() {
      NDList state = new NDList(noise(context, work, model, chains));
      state.addAll(AdamW.state(embedding(context, work, chains)));
      return state;
    }

    @Override
    public NDList next(int i, NDList state) {
      NDArray z = state.get(0);
      double a = schedule.alphaBar(timesteps[i]);
      boolean last = i == timesteps.length - 1;
      double s = last ? 1 : schedule.alphaBar(timesteps[i + 1]);
      NDList prompt = tuned(z, a, i, new NDList(state.subList(1, 4)));
      Guidance guidance =
          Guidance.at(z, a, problem, y, model, context, prompted(context, prompt.get(0)));
      context.step(i + 1, timesteps.length, guidance.residualRms());
      context.estimate(i + 1, guidance.picture());
      NDArray eps = z.sub(guidance.clean().mul(Math.sqrt(a))).div(Math.sqrt(1 - a));
      boolean projects = (i + 1) % spec.every() == 0;
      NDArray clean = projects ? projected(guidance.picture(), a) : guidance.clean();
      double eta =
          last && projects && spec.polyak()
              ? 0
              : VariancePreserving.perStep(spec.rho(), spec.steps());
      NDArray next =
          clean
              .mul(Math.sqrt(s))
              .add(eps.mul(Math.sqrt(1 - s)))
              .sub(guidance.step(eta, spec.polyak()));
      NDList after = new NDList(next);
      after.addAll(prompt);
      return after;
    }

    @Override
    public NDArray pictures(NDList state) {
      context.checkpoint();
      return model.decode(state.get(0));
    }

    private NDArray projected(NDArray picture, double a) {
      double[] gamma = new double[chains];
      if (spec.lambda() > 0) {
        Arrays.fill(gamma, Math.min(MAX_GAMMA, 1 / spec.lambda()));
      } else {
        double[] squares = y.meanSquares(y.residual(picture));
        gamma = ProxDiffusion.weights(y, squares, Math.sqrt((1 - a) / a), rowSquare);
      }
      context.checkpoint();
      return model.encode(y.proximal(operator, picture, gamma));
    }

    private NDList tuned(NDArray z, double a, int i, NDList prompt) {
      NDArray noisy = z.div(Math.sqrt(a));
      double sigma = Math.sqrt((1 - a) / a);
      AdamW adam = new AdamW(prompt, i * spec.tuning(), spec.textRate(), 0);
      for (int k = 0; k < spec.tuning(); k++) {
        try (TensorScope scope = new TensorScope()) {
          update(adam, noisy, sigma);
        }
      }
      return adam.state();
    }

    /** One update of each sample's embedding. */
    private void update(AdamW adam, NDArray noisy, double sigma) {
      context.checkpoint();
      try (Linearization denoiser =
          model.denoiseAtText(noisy, sigma, prompted(context, adam.point()))) {
        context.checkpoint();
        try (Linearization decoder = model.decodeAt(denoiser.value())) {
          NDArray residual = y.residual(decoder.value());
          double[] active = y.meanSquares(residual);
          for (int n = 0; n < chains; n++) {
            // NaN goes on, to be met by the step
            active[n] = active[n] <= y.sigma() * y.sigma() ? 0 : 1;
          }
          context.checkpoint();
          NDArray latent = decoder.pullback(operator.adjoint(residual.mul(-2)));
          context.checkpoint();
          adam.step(denoiser.pullback(latent), active);
        }
      }
    }
  }
}
