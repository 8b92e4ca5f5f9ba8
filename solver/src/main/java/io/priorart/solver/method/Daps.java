package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
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
 * DAPS (Zhang et al., "Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing",
 * CVPR 2025, arXiv 2407.01521, algorithm 1). With {@code x} the picture at noise level {@code
 * sigma} (variance-exploding form), a level is
 *
 * <pre>
 *   x0 = the probability-flow ODE's end from x, in odeSteps evaluations
 *   u  = x0, then langevinSteps times
 *        u + eta ( (x0 - u) / sigma^2 + A^T(y - A u) / tau^2 ) + sqrt(2 eta (1 - m)) xi
 *          + m (u - the u before)
 *   x  = u + sigma_next xi
 * </pre>
 *
 * with {@code m = momentum}, which the paper's code has for latents (its velocity is {@code (u -
 * the u before) / sqrt(eta)}), and the result is the last {@code u}. No gradient through the
 * network; A may be nonlinear. With a latent prior (LatentDAPS) {@code x} and {@code u} are
 * latents, {@code A} is {@code A(D(.))} and its transpose the decoder's pullback after A's, and the
 * result is {@code D(u)}.
 *
 * <p>Deviations, and why: {@code eta = stepSize / (1/sigma^2 + ||A||^2/tau^2)}, the reciprocal of
 * the target's largest curvature, instead of a rate chosen for each task over three decades: a
 * single setting is stable for every linear operator; {@code ||A|| = 1} is taken for others. For
 * latents, {@code ||A||} is that of the Jacobian of {@code A(D(.))} at {@code x0}, of each sample,
 * by power iteration that goes on from level to level (its forward products are differences of two
 * decoded latents), and its momentum is one number where the code has another table by task;
 * without it the few steps that are affordable move along the stiffest directions alone. Where
 * {@code eta} times the curvature is {@code s}, a variance comes out {@code 1 / (1 - s / (2 + 2m))}
 * times too large. Latents have variances of about 1, so that given {@code x} they lie about {@code
 * x0} with variances of {@code r^2 = sigma^2 / (1 + sigma^2)}: in n dimensions at a distance of
 * {@code r (sqrt(n) + 3 / sqrt(2))} at most, by three standard deviations, and {@code u} is held
 * within. At the first levels, whose own term is weak, decoders saturate further out, and the steps
 * diverge. {@code tau} is the measurement's sigma unless it is given: the paper's 0.01 is smaller
 * than its noise. The evaluations of a level end at {@code odeEndSigma}, as the code's do, on a
 * grid of as many levels as there are evaluations, and then at 0. The step does not decay within a
 * level, as the code's does linearly, since it is bounded by the curvature already; {@code
 * latent-paper} has one number of inner steps where the code has 15 to 95 by task.
 *
 * <p>For a linear operator the inner target is Gaussian, and with {@code langevinSteps = 0} it is
 * sampled exactly: {@code argmin_u ||u - x0 - sigma xi||^2 / sigma^2 + ||A u - y - tau xi'||^2 /
 * tau^2} (Papandreou and Yuille, "Gaussian Sampling by Local Perturbations", NIPS 2010). With that,
 * one evaluation a level and {@code tau} the measurement's sigma, a Gaussian prior's posterior is
 * reached; with more evaluations it is not: {@code x0} then is where the probability flow ends, a
 * sample of the prior rather than its mean, and the target around it is too wide.
 */
public final class Daps extends LatentSolver {
  /** Power iterations at the first level. */
  private static final int FIRST_ITERATIONS = 8;

  /**
   * At each of the others, which begin with the level's before. By one, a curvature that had moved
   * was found too small in 7 % of 200 crops: their latents left the decoder's range.
   */
  private static final int LATER_ITERATIONS = 3;

  /** Root mean square change of a latent that a forward product is taken from. */
  private static final double DIFFERENCE = 0.01;

  /** Of tau, but for 0: its square divides float32 pictures. */
  private static final double LEAST_TAU = 1e-4;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "daps",
          "Decoupled noise annealing: Langevin steps between levels; any A, pixels or latents",
          List.of(
              new Citation(
                  "zhang2025daps",
                  "Zhang, Bingliang and Chu, Wenda and Berner, Julius and Meng, Chenlin and Anandkumar, Anima and Song, Yang",
                  "Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing",
                  "CVPR",
                  2025,
                  "2407.01521")),
          Set.of(Need.MODEL, Need.DECODER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(40, 1, 50, 0.2, 0, 0, 100, 0.02, 0.01),
              "latent", new Spec(12, 1, 10, 2, 0.9, 0, 10, 0.05, 0.001),
              "latent-paper", new Spec(50, 2, 30, 0.5, 0.9, 0.01, 10, 0.1, 0.001),
              "exact", new Spec(100, 1, 0, 0.5, 0, 0, 100, 0.02, 0.01),
              "paper", new Spec(200, 5, 100, 0.5, 0, 0.01, 100, 0.1, 0.01)),
          Daps::new);

  /**
   * Parameters.
   *
   * @param steps noise levels
   * @param odeSteps evaluations at each
   * @param langevinSteps at each
   * @param stepSize of Langevin's, relative to the target's curvature
   * @param momentum how much of a Langevin step the next repeats
   * @param tau how exactly the measurement is fitted; 0 is the measurement's sigma
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   * @param odeEndSigma level of the last evaluation at each, where there are several, raised to the
   *     checkpoint's smallest
   */
  public record Spec(
      @Parameter(doc = "Noise levels", min = 1, max = 1000) int steps,
      @Parameter(doc = "Denoiser evaluations at each level", min = 1, max = 100) int odeSteps,
      @Parameter(
              doc =
                  "Langevin steps at each level; 0 samples exactly, for linear operators and"
                      + " priors of pixels",
              min = 0,
              max = 10000)
          int langevinSteps,
      @Parameter(
              doc =
                  "Langevin's step relative to the curvature; the smaller, the more exact. Less than"
                      + " 2 (1 + momentum), where it is no longer stable",
              min = 0.001,
              max = 3)
          double stepSize,
      @Parameter(
              doc = "How much of a Langevin step the next one repeats; 0 is Langevin's own form",
              min = 0,
              max = 0.99)
          double momentum,
      @Parameter(
              doc = "How exactly the measurement is fitted; 0 takes its own sigma",
              unit = "standard deviations on [-1,1]",
              min = 0,
              max = 10)
          double tau,
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
              doc =
                  "Level of the last evaluation at each noise level, where there are several; raised"
                      + " to the checkpoint's smallest",
              unit = "standard deviations on [-1,1]",
              min = 0.0001,
              max = 1)
          double odeEndSigma) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
      }
      if (stepSize >= 2 * (1 + momentum)) {
        throw PriorArtException.badField(
            "stepSize", "must be less than 2 (1 + momentum), where it diverges, was " + stepSize);
      }
      if (tau > 0 && tau < LEAST_TAU) {
        throw PriorArtException.badField(
            "tau", "must be 0 or at least " + LEAST_TAU + ", was " + tau);
      }
    }
  }

  private final Spec spec;

  public Daps(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    if (spec.langevinSteps() == 0) {
      if (!model.pixelSpace()) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION,
            "langevinSteps: 0 is for pixel-space priors; no decoder is linear");
      }
      problem.linearOperator();
    }
    return new Run(problem, model, context, work, chains);
  }

  /**
   * One solve's surroundings. The state is the noisy picture or latent, and of a latent prior the
   * vectors of the power iteration.
   */
  private final class Run implements Steps {
    private final Problem problem;
    private final LatentDiffusionModel model;
    private final SolveContext context;
    private final NDManager work;
    private final int chains;
    private final Observation y;
    private final double tau;
    private final double[] sigma;

    /** Of the operator, for pictures. */
    private final double norm;

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
      norm = problem.operator() instanceof LinearOperator linear ? y.squaredNorm(linear) : 1;
      tau = spec.tau() == 0 ? y.sigma() : spec.tau();
      sigma =
          NoiseLevels.karras(model.schedule(), spec.steps(), spec.startSigma(), spec.endSigma());
    }

    @Override
    public int count() {
      return spec.steps();
    }

    @Override
    public NDList start() {
      NDList state = new NDList(noise(context, work, model, chains).mul(sigma[0]));
      if (!model.pixelSpace()) {
        state.add(unit(noise(context, work, model, chains)));
      }
      return state;
    }

    private static NDArray unit(NDArray v) {
      return Observation.scale(v, Observation.inverseNorms(v));
    }

    @Override
    public NDList next(int i, NDList state) {
      NDArray clean = clean(model, context, state.get(0), sigma[i]);
      double[] norms = new double[chains];
      Arrays.fill(norms, norm);
      NDList after = new NDList();
      if (!model.pixelSpace()) {
        int iterations = i == 0 ? FIRST_ITERATIONS : LATER_ITERATIONS;
        after.add(stiffest(clean, state.get(1), iterations, norms));
      }
      NDArray u = spec.langevinSteps() == 0 ? exact(clean, i) : langevin(clean, norms, i);
      NDArray picture = u;
      if (!model.pixelSpace()) {
        context.checkpoint();
        picture = model.decode(u);
      }
      context.step(i + 1, spec.steps(), y.rms(y.residual(picture)));
      context.estimate(i + 1, picture);
      after.add(
          0, sigma[i + 1] == 0 ? u : u.add(noise(context, work, model, chains).mul(sigma[i + 1])));
      return after;
    }

    @Override
    public NDArray pictures(NDList state) {
      if (model.pixelSpace()) {
        return state.get(0);
      }
      context.checkpoint();
      return model.decode(state.get(0));
    }

    /**
     * Power iterations of {@code J^T J}, {@code J} the Jacobian of {@code A(D(.))} at {@code
     * clean}.
     *
     * @param v unit vectors to begin with
     * @param norms gets {@code ||J v||^2} of each sample, of the last {@code v} but one
     * @return the last {@code v}
     */
    private NDArray stiffest(NDArray clean, NDArray v, int iterations, double[] norms) {
      double h = DIFFERENCE * Math.sqrt(model.latentShape().size());
      context.checkpoint();
      try (Linearization at = Chain.measured(problem, model, clean)) {
        NDArray value = y.seen(at.value());
        return TensorScope.iterate(
            v,
            iterations,
            (k, unit) -> {
              context.checkpoint();
              NDArray moved = model.decode(clean.add(unit.mul(h)));
              NDArray forward = y.seen(problem.operator().apply(moved)).sub(value).div(h);
              System.arraycopy(Observation.sumsOfSquares(forward), 0, norms, 0, chains);
              context.checkpoint();
              return unit(at.pullback(forward));
            });
      }
    }

    /** The mode of a problem whose two means are drawn is a sample. */
    private NDArray exact(NDArray clean, int i) {
      context.checkpoint();
      LinearOperator linear = problem.linearOperator();
      NDArray mean = clean.add(noise(context, work, model, chains).mul(sigma[i]));
      NDArray fresh = context.normal(work, chains, problem.operator().measurementShape());
      double gamma = Math.min(MAX_GAMMA, sigma[i] * sigma[i] / (tau * tau));
      return y.proximal(linear, mean, y.measurement().add(fresh.mul(tau)), gamma);
    }

    private Linearization at(NDArray u) {
      return model.pixelSpace() ? problem.operator().at(u) : Chain.measured(problem, model, u);
    }

    /** {@code u}, or where its way from {@code clean} leaves the ball. */
    private NDArray near(NDArray clean, NDArray u, double sigma) {
      long n = model.latentShape().size();
      double radius = (Math.sqrt(n) + 3 / Math.sqrt(2)) * sigma / Math.hypot(1, sigma);
      NDArray way = u.sub(clean);
      double[] shorter =
          Arrays.stream(Observation.inverseNorms(way))
              .map(inverse -> Math.min(1, radius * inverse))
              .toArray();
      return clean.add(Observation.scale(way, shorter));
    }

    private NDArray langevin(NDArray clean, double[] norms, int i) {
      double[] eta = new double[chains];
      double[] spread = new double[chains];
      for (int n = 0; n < chains; n++) {
        eta[n] = spec.stepSize() / (1 / (sigma[i] * sigma[i]) + norms[n] / (tau * tau));
        spread[n] = Math.sqrt(2 * eta[n] * (1 - spec.momentum()));
      }
      NDArray earlier = clean.duplicate();
      NDArray u = clean.duplicate();
      for (int k = 0; k < spec.langevinSteps(); k++) {
        context.checkpoint();
        NDArray before = u;
        NDArray last = earlier;
        u =
            TensorScope.only(
                () -> {
                  try (Linearization at = at(before)) {
                    NDArray data = at.pullback(y.residualOf(at.value()));
                    NDArray score =
                        clean.sub(before).div(sigma[i] * sigma[i]).add(data.div(tau * tau));
                    NDArray fresh = noise(context, work, model, chains);
                    NDArray next =
                        before
                            .add(Observation.scale(score, eta))
                            .add(Observation.scale(fresh, spread));
                    if (spec.momentum() > 0) {
                      next = next.add(before.sub(last).mul(spec.momentum()));
                    }
                    return model.pixelSpace() ? next : near(clean, next, sigma[i]);
                  }
                });
        last.close();
        earlier = before;
      }
      earlier.close();
      return u;
    }
  }

  /** Deterministic steps down to the clean picture. */
  private NDArray clean(LatentDiffusionModel model, SolveContext context, NDArray x, double sigma) {
    double[] levels =
        NoiseLevels.karras(model.schedule(), spec.odeSteps(), sigma, spec.odeEndSigma());
    return TensorScope.iterate(
        x,
        spec.odeSteps(),
        (k, z) -> {
          context.checkpoint();
          NDArray clean = model.denoise(z, levels[k], context.conditioning());
          return clean.add(z.sub(clean).mul(levels[k + 1] / levels[k]));
        });
  }
}
