package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
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
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * LATINO-PRO (Spagnoletti et al., ICCV 2025, arXiv 2503.12615, algorithm 2): {@link Latino} whose
 * prompt is tuned to the measurement by stochastic gradient ascent on its marginal likelihood
 * (SAPG). {@code rounds} short runs of {@code roundSteps} steps tune the embedding {@code c [N,
 * tokens, width]}, each from the last one's picture noised again; a run of {@code steps} with the
 * tuned prompt ends it. A step at level {@code sigma} (variance-exploding form), with {@code s} the
 * next one's, is
 *
 * <pre>
 *   z0 = denoise(z, sigma, c)
 *   x  = argmin_v  ||v - D(z0)||^2 / (2 v_k) + ||A v - y||^2 / (2 sigma_y^2)
 *   z' = E(x) + s xi,   xi ~ N(0, I)
 *   g  = d/dc ( - ||z' - z0(c)||^2 / (2 s^2) )                      (not at a round's last step)
 *   c_i = P( c_i + rate max(0.9^max(0, round - 10), 0.001) g_i / ||g_i|| )   each token i alone
 * </pre>
 *
 * where {@code P} projects to the ball of {@code radius} around the token of the solve's prompt;
 * the first {@code frozen} tokens stay. The result is {@code D(E(x))} of the last one.
 *
 * <p>A step costs one evaluation of each network, and in rounds one pullback through the denoiser
 * to the text at all steps but the last.
 *
 * <p>Deviations, and why: weight and start as in {@link Latino}; the ball is centred where the
 * prompt was, so that it limits how far the meaning moves, whatever length a text encoder's tokens
 * have; a token moves after each step and each gradient counts once, where the released code sums
 * the unit gradients of all steps and rounds and adds the sum at the end of each round, so that the
 * first ones count in every round (hence no step-by-step comparison with it, as {@link Latino}
 * has); the prior samples that the released code draws in each round for display are left out, and
 * so is its normalisation by the truth.
 */
public final class LatinoPro extends LatentSolver {
  private static final int CONSTANT_ROUNDS = 10;
  private static final double DECAY = 0.9;
  private static final double LEAST_DECAY = 0.001;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "latino-pro",
          "LATINO with the prompt tuned to the measurement before the last run",
          List.of(ProxDiffusion.LATINO),
          Set.of(
              Need.MODEL,
              Need.LINEAR,
              Need.FEW_STEP,
              Need.TEXT,
              Need.TEXT_GRADIENT,
              Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(4, 4, 8, 0.08, 15, 4), "paper", new Spec(15, 4, 8, 0.08, 15, 4)),
          LatinoPro::new);

  /**
   * Parameters.
   *
   * @param rounds that tune the prompt
   * @param roundSteps of each
   * @param steps of the last run
   * @param rate length of a token's step
   * @param radius how far a token may go
   * @param frozen tokens at the start that stay
   */
  public record Spec(
      @Parameter(doc = "Runs that tune the prompt", min = 0, max = 1000) int rounds,
      @Parameter(doc = "Steps of each", min = 2, max = 100) int roundSteps,
      @Parameter(doc = "Steps of the last run, with the tuned prompt", min = 1, max = 100)
          int steps,
      @Parameter(
              doc = "Length of a token's step",
              unit = "the text encoder's",
              min = 1e-6,
              max = 100)
          double rate,
      @Parameter(
              doc = "How far a token may go from where it was",
              unit = "the text encoder's",
              min = 1e-6,
              max = 1e6)
          double radius,
      @Parameter(doc = "Tokens at the start of the prompt that stay", min = 0, max = 10_000)
          int frozen) {}

  private final Spec spec;

  public LatinoPro(Spec spec) {
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

  /** One solve's surroundings; the state is the picture, the noisy latent and the embedding. */
  private final class Run implements Steps {
    private final LinearOperator operator;
    private final LatentDiffusionModel model;
    private final SolveContext context;
    private final NDManager work;
    private final int chains;
    private final Observation y;
    private final double rowSquare;

    /** Noise level of each step of all runs. */
    private final double[] sigma;

    /** Where the embedding was, and 1 for each token that may leave from there. */
    private final NDArray prompt;

    private final NDArray tunable;

    Run(
        Problem problem,
        LatentDiffusionModel model,
        SolveContext context,
        NDManager work,
        int chains) {
      this.model = model;
      this.context = context;
      this.work = work;
      this.chains = chains;
      operator = problem.linearOperator();
      y = new Observation(problem, work, chains);
      rowSquare = y.meanSquaredRow(operator);
      NoiseSchedule schedule = model.schedule();
      int tuning = spec.rounds() * spec.roundSteps();
      sigma = new double[tuning + spec.steps()];
      int[] ofRound = schedule.timesteps(spec.roundSteps(), TimestepSpacing.TRAILING);
      int[] ofRun = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
      for (int i = 0; i < sigma.length; i++) {
        int timestep = i < tuning ? ofRound[i % spec.roundSteps()] : ofRun[i - tuning];
        sigma[i] = schedule.sigma(timestep);
      }
      prompt = embedding(context, work, chains);
      float[] free = new float[Math.toIntExact(prompt.getShape().get(1))];
      Arrays.fill(free, Math.min(spec.frozen(), free.length), free.length, 1);
      tunable = work.create(free, new Shape(1, free.length, 1));
    }

    @Override
    public int count() {
      return sigma.length;
    }

    @Override
    public NDList start() {
      NDArray x = operator.pseudoInverse(y.measurement(), Latino.RCOND);
      return new NDList(x, noised(x, 0), prompt.duplicate());
    }

    @Override
    public NDList next(int i, NDList state) {
      NDArray c = state.get(2);
      if (!tunes(i)) {
        context.checkpoint();
        NDArray clean = model.denoise(state.get(1), sigma[i], prompted(context, c));
        NDArray x = consistent(clean, i);
        // nothing follows the last step; its latent is kept to keep the state's form
        return new NDList(x, i + 1 < sigma.length ? noised(x, i + 1) : state.get(1), c);
      }
      context.checkpoint();
      try (Linearization denoiser =
          model.denoiseAtText(state.get(1), sigma[i], prompted(context, c))) {
        NDArray clean = denoiser.value();
        NDArray x = consistent(clean, i);
        NDArray z = noised(x, i + 1);
        context.checkpoint();
        // the factor 1/s^2 is lost in the normalisation
        NDArray gradient = denoiser.pullback(z.sub(clean));
        return new NDList(x, z, moved(c, gradient, i / spec.roundSteps()));
      }
    }

    @Override
    public NDArray pictures(NDList state) {
      return reencoded(state.get(0), model, context);
    }

    /** In a round, and not its last step. */
    private boolean tunes(int i) {
      return i < spec.rounds() * spec.roundSteps() && (i + 1) % spec.roundSteps() != 0;
    }

    private NDArray noised(NDArray x, int i) {
      context.checkpoint();
      return model.encode(x).add(noise(context, work, model, chains).mul(sigma[i]));
    }

    private NDArray consistent(NDArray clean, int i) {
      context.checkpoint();
      NDArray u = model.decode(clean);
      NDArray residual = y.residual(u);
      context.step(i + 1, sigma.length, y.rms(residual));
      double[] gamma = ProxDiffusion.weights(y, y.meanSquares(residual), sigma[i], rowSquare);
      NDArray x = y.proximal(operator, u, gamma);
      if (sigma[i] <= Arrays.stream(sigma, 0, i + 1).min().orElseThrow()) {
        context.estimate(i + 1, x);
      } else {
        context.preview(i + 1, x); // begun anew from noise, it is behind the last round's end
      }
      return x;
    }

    private NDArray moved(NDArray c, NDArray gradient, int round) {
      double decay = Math.pow(DECAY, Math.max(0, round - CONSTANT_ROUNDS));
      NDArray unit = gradient.div(lengths(gradient)).mul(tunable);
      NDArray away = c.add(unit.mul(spec.rate() * Math.max(decay, LEAST_DECAY))).sub(prompt);
      return prompt.add(away.mul(lengths(away).pow(-1).mul(spec.radius()).minimum(1)));
    }

    /** Of each token, {@code [N, tokens, 1]}; more than 0. */
    private static NDArray lengths(NDArray tokens) {
      return tokens.square().sum(new int[] {2}, true).sqrt().maximum(1e-20);
    }
  }
}
