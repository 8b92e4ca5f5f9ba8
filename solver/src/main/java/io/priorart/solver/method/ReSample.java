package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * ReSample: latent diffusion with hard data consistency (Song et al., ICLR 2024, arXiv 2307.08123,
 * algorithms 1 and 2).
 *
 * <p>Deterministic DDIM over {@code S} steps on latents {@code z [N, c, h, w]} in
 * variance-preserving form; {@code a} is alphaBar at the step, {@code p} at the next one, {@code k}
 * counts down from {@code S - 1}:
 *
 * <pre>
 *   z0 = (z - sqrt(1-a) eps) / sqrt(a)                                     (Tweedie)
 *   z  = sqrt(p) z0 + sqrt(1-p) eps  -  a/2  d/dz || y - A(D(z0)) ||       (the nudge; un-squared norm)
 * </pre>
 *
 * After the first third, whenever {@code k} is a multiple of {@code every} (and not 0), a
 * hard-consistency event:
 *
 * <ol>
 *   <li>five plain DDIM steps ahead give a sharper clean estimate {@code z0};
 *   <li>second third: pixel stage, {@code x} from {@code D(z0)} minimises {@code MSE(y, A x)},
 *       {@code zy = E(x)}; last third: latent stage, {@code zy} from {@code z0} minimises {@code
 *       MSE(y, A D(zy))};
 *   <li>stochastic resample with {@code s = gamma (1-p)/(1-a) (1-a/p)}: {@code z = [s sqrt(p) zy +
 *       (1-p) z] / (s + 1-p) + xi / sqrt(1/s + 1/(1-p))} (proposition 1: the product of both
 *       Gaussians).
 * </ol>
 *
 * A last latent stage follows the loop; the result is {@code D(z)}.
 *
 * <p>Deviations from the paper or its code, and why:
 *
 * <ul>
 *   <li>Tweedie's formula as in the paper; the published code has {@code (1-a)} where {@code
 *       sqrt(1-a)} belongs, and gives the look-ahead steps the wrong timestep.
 *   <li>An inner optimisation stops at the discrepancy {@code MSE <= sigma_eff^2} (the code's 1e-6
 *       fits the noise), or when the loss falls by less than {@code plateau} over 10 iterations, in
 *       {@code paper}, too: the code ends a latent stage only when the loss exceeds that of 200
 *       iterations before, and a pixel stage never, which spends most of its thousands of decoders
 *       on losses that no longer fall. Each sample of a batch stops alone.
 *   <li>With {@code closedFormPixels} the pixel stage of a linear operator is {@link
 *       LinearOperator#proximal} at the weight that meets the discrepancy ({@link FinalDataStep}):
 *       the same target, but the nearest picture that meets it rather than where AdamW stops.
 *       Preset {@code fast} does so, {@code paper} does not.
 *   <li>Weight decay acts on unconstrained pixels too; {@code fast} leaves it out, {@code paper}
 *       has torch's 0.01.
 *   <li>{@code fast} allows a latent stage 30 iterations instead of 500, which at the paper's rate
 *       of 5e-3 end before the residual has reached the noise; its rate is six times that.
 * </ul>
 */
@SuppressWarnings("try") // a TensorScope works by being open
public final class ReSample extends LatentSolver {
  private static final int LOOK_AHEAD = 5;
  private static final int PLATEAU_SPAN = 10;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "resample",
          "Latent diffusion with hard data consistency by optimisation and stochastic resampling",
          List.of(
              new Citation(
                  "song2024resample",
                  "Song, Bowen and Kwon, Soo Min and Zhang, Zecheng and Hu, Xinyu and Qu, Qing and Shen, Liyue",
                  "Solving Inverse Problems with Latent Diffusion Models via Hard Data Consistency",
                  "ICLR",
                  2024,
                  "2307.08123")),
          Set.of(Need.MODEL, Need.DECODER_GRADIENT, Need.DENOISER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(60, 10, 40, 500, 30, 1e-2, 3e-2, 0, 0.01, true),
              "paper", new Spec(500, 10, 40, 2000, 500, 1e-2, 5e-3, 0.01, 0.01, false)),
          ReSample::new);

  /**
   * Parameters.
   *
   * @param steps DDIM steps
   * @param every steps between two hard-consistency events
   * @param gamma how far a resample trusts the data against the chain
   * @param pixelIterations most iterations of a pixel stage
   * @param latentIterations most iterations of a latent stage
   * @param pixelRate AdamW's rate in pixel stages
   * @param latentRate AdamW's rate in latent stages
   * @param weightDecay AdamW's weight decay
   * @param plateau relative fall of the loss over 10 iterations below which a stage stops
   * @param closedFormPixels pixel stages of linear operators by a proximal step
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 3, max = 1000) int steps,
      @Parameter(doc = "Steps between two hard-consistency events", min = 1, max = 1000) int every,
      @Parameter(
              doc = "How far a resample trusts the data against the chain",
              min = 0.001,
              max = 1e6)
          double gamma,
      @Parameter(doc = "Most iterations of a pixel stage", min = 1, max = 100_000)
          int pixelIterations,
      @Parameter(doc = "Most iterations of a latent stage", min = 1, max = 100_000)
          int latentIterations,
      @Parameter(doc = "AdamW's rate in pixel stages", min = 1e-6, max = 1) double pixelRate,
      @Parameter(doc = "AdamW's rate in latent stages", min = 1e-6, max = 1) double latentRate,
      @Parameter(doc = "AdamW's weight decay", min = 0, max = 1) double weightDecay,
      @Parameter(
              doc = "Relative fall of the loss over 10 iterations below which a stage stops",
              min = 0,
              max = 0.99)
          double plateau,
      @Parameter(
              doc =
                  "Solve pixel stages of linear operators by one proximal step to the noise level"
                      + " instead of AdamW")
          boolean closedFormPixels) {}

  private final Spec spec;

  public ReSample(Spec spec) {
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

  /** One solve's surroundings. */
  private final class Run implements Steps {
    private final Problem problem;
    private final LatentDiffusionModel model;
    private final SolveContext context;
    private final NDManager work;
    private final int chains;
    private final Observation y;

    /** alphaBar at each step, then at the table's first timestep, where the last step lands. */
    private final double[] alphaBar;

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
      y = new Observation(problem, work, chains);
      NoiseSchedule schedule = model.schedule();
      int[] timesteps = leading(schedule, spec.steps());
      alphaBar = new double[spec.steps() + 1];
      for (int i = 0; i < timesteps.length; i++) {
        alphaBar[i] = schedule.alphaBar(timesteps[i]);
      }
      alphaBar[spec.steps()] = schedule.alphaBar(0);
    }

    @Override
    public int count() {
      return spec.steps();
    }

    @Override
    public NDList start() {
      return new NDList(noise(context, work, model, chains));
    }

    @Override
    public NDList next(int i, NDList state) {
      int steps = spec.steps();
      int down = steps - 1 - i;
      Guidance guidance = Guidance.at(state.get(0), alphaBar[i], problem, y, model, context);
      context.step(i + 1, steps, guidance.residualRms());
      context.estimate(i + 1, guidance.picture());
      NDArray next =
          ddim(state.get(0), guidance.clean(), i).sub(guidance.gradient().mul(0.5 * alphaBar[i]));
      if (down > 0 && down <= steps - steps / 3 && down % spec.every() == 0) {
        NDArray sharper = lookAhead(next, i + 1);
        NDArray consistent = down >= steps / 3 ? pixelStage(sharper) : latentStage(sharper);
        next = resample(next, consistent, i);
      }
      return new NDList(next);
    }

    @Override
    public NDArray pictures(NDList state) {
      NDArray consistent = latentStage(state.get(0));
      context.checkpoint();
      return model.decode(consistent);
    }

    /** The deterministic step from {@code alphaBar[i]} to {@code alphaBar[i+1]}. */
    private NDArray ddim(NDArray z, NDArray clean, int i) {
      return VariancePreserving.ddim(z, clean, alphaBar[i], alphaBar[i + 1]);
    }

    private NDArray lookAhead(NDArray start, int from) {
      NDArray z = start;
      NDArray clean = null;
      for (int i = from; i < Math.min(from + LOOK_AHEAD, spec.steps()); i++) {
        context.checkpoint();
        clean = VariancePreserving.denoised(model, z, alphaBar[i], context.conditioning());
        z = ddim(z, clean, i);
      }
      return clean;
    }

    private NDArray resample(NDArray z, NDArray consistent, int i) {
      double a = alphaBar[i];
      double p = alphaBar[i + 1];
      double s = spec.gamma() * (1 - p) / (1 - a) * (1 - a / p);
      NDArray xi = noise(context, work, model, chains);
      return consistent
          .mul(s * Math.sqrt(p) / (s + 1 - p))
          .add(z.mul((1 - p) / (s + 1 - p)))
          .add(xi.div(Math.sqrt(1 / s + 1 / (1 - p))));
    }

    private NDArray pixelStage(NDArray clean) {
      context.checkpoint();
      NDArray x = model.decode(clean);
      NDArray fitted;
      if (spec.closedFormPixels() && problem.operator() instanceof LinearOperator linear) {
        fitted = y.toDiscrepancy(linear, x);
      } else {
        fitted =
            minimise(
                x, spec.pixelRate(), spec.pixelIterations(), point -> problem.operator().at(point));
      }
      context.checkpoint();
      return model.encode(fitted);
    }

    private NDArray latentStage(NDArray clean) {
      return minimise(
          clean,
          spec.latentRate(),
          spec.latentIterations(),
          point -> Chain.measured(problem, model, point));
    }

    /** AdamW on {@code MSE(y, f(point))} of each sample. */
    private NDArray minimise(NDArray start, double rate, int iterations, Prediction f) {
      double target = y.sigma() * y.sigma();
      double[][] losses = new double[iterations][];
      double[] active = new double[chains];
      Arrays.fill(active, 1);
      try (AdamW optimizer = new AdamW(start, rate, spec.weightDecay())) {
        for (int k = 0; k < iterations; k++) {
          context.checkpoint();
          try (TensorScope scope = new TensorScope();
              Linearization at = f.at(optimizer.point())) {
            NDArray residual = y.residualOf(at.value());
            losses[k] = y.meanSquares(residual);
            if (!retire(losses, k, active, target)) {
              break;
            }
            // d MSE / d prediction = -2 r / m
            context.checkpoint();
            NDArray gradient = at.pullback(residual.mul(-2.0 / y.count()));
            optimizer.step(gradient, active);
          }
        }
        return optimizer.point().duplicate();
      }
    }

    /** Lets finished samples rest; whether any is left. */
    private boolean retire(double[][] losses, int k, double[] active, double target) {
      boolean any = false;
      for (int n = 0; n < active.length; n++) {
        double loss = losses[k][n];
        if (!Double.isFinite(loss)) {
          throw new PriorArtException(
              ErrorKind.DIVERGED, "the inner optimisation met non-finite values");
        }
        boolean stuck =
            k >= PLATEAU_SPAN && loss > (1 - spec.plateau()) * losses[k - PLATEAU_SPAN][n];
        if (loss <= target || stuck) {
          active[n] = 0;
        }
        any |= active[n] != 0;
      }
      return any;
    }
  }

  /** A differentiable map from a point to a predicted measurement. */
  private interface Prediction {
    Linearization at(NDArray point);
  }
}
