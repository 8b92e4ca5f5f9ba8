package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.ForwardOperator;
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
 *        u + eta ( (x0 - u) / sigma^2 + A^T(y - A u) / tau^2 ) + sqrt(2 eta) xi
 *   x  = u + sigma_next xi
 * </pre>
 *
 * and the result is the last {@code u}. No gradient through the network; A may be nonlinear.
 *
 * <p>Deviations, and why: {@code eta = stepSize / (1/sigma^2 + ||A||^2/tau^2)}, the reciprocal of
 * the target's largest curvature, instead of a rate chosen for each task over three decades: a
 * single setting is stable for every linear operator; {@code ||A|| = 1} is taken for others. {@code
 * tau} is the measurement's sigma unless it is given: the paper's 0.01 is smaller than its noise.
 *
 * <p>For a linear operator the inner target is Gaussian, and with {@code langevinSteps = 0} it is
 * sampled exactly: {@code argmin_u ||u - x0 - sigma xi||^2 / sigma^2 + ||A u - y - tau xi'||^2 /
 * tau^2} (Papandreou and Yuille, "Gaussian Sampling by Local Perturbations", NIPS 2010). With that,
 * one evaluation a level and {@code tau} the measurement's sigma, a Gaussian prior's posterior is
 * reached; with more evaluations it is not: {@code x0} then is where the probability flow ends, a
 * sample of the prior rather than its mean, and the target around it is too wide.
 */
public final class Daps extends LatentSolver {
  /** Keeps the inner problem's linear systems in float32's reach. */
  private static final double MAX_GAMMA = 1e6;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "daps",
          "Decoupled noise annealing: Langevin steps between levels; pixel-space priors",
          List.of(
              new Citation(
                  "zhang2025daps",
                  "Zhang, Bingliang and Chu, Wenda and Berner, Julius and Meng, Chenlin and Anandkumar, Anima and Song, Yang",
                  "Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing",
                  "CVPR",
                  2025,
                  "2407.01521")),
          Set.of(Need.MODEL, Need.PIXEL_SPACE),
          Spec.class,
          Map.of(
              "fast", new Spec(40, 1, 50, 0.2, 0, 100, 0.02),
              "exact", new Spec(100, 1, 0, 0.5, 0, 100, 0.02),
              "paper", new Spec(200, 5, 100, 0.5, 0.01, 100, 0.1)),
          Daps::new);

  /**
   * Parameters.
   *
   * @param steps noise levels
   * @param odeSteps evaluations at each
   * @param langevinSteps at each
   * @param stepSize of Langevin's, relative to the target's curvature
   * @param tau how exactly the measurement is fitted; 0 is the measurement's sigma
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   */
  public record Spec(
      @Parameter(doc = "Noise levels", min = 1, max = 1000) int steps,
      @Parameter(doc = "Denoiser evaluations at each level", min = 1, max = 100) int odeSteps,
      @Parameter(
              doc = "Langevin steps at each level; 0 samples exactly, for linear operators",
              min = 0,
              max = 10000)
          int langevinSteps,
      @Parameter(
              doc = "Langevin's step relative to the curvature; the smaller, the more exact",
              min = 0.001,
              max = 1)
          double stepSize,
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
          double endSigma) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
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
    requirePixelSpace(model);
    Observation y = new Observation(problem, work, chains);
    ForwardOperator operator = problem.operator();
    double norm = operator instanceof LinearOperator linear ? y.squaredNorm(linear) : 1;
    double tau = spec.tau() == 0 ? y.sigma() : spec.tau();
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
        NDArray clean = clean(model, context, state.get(0), sigma[i]);
        NDArray u = spec.langevinSteps() == 0 ? exact(clean, i) : langevin(clean, i);
        context.step(i + 1, spec.steps(), y.rms(y.residual(u)));
        context.estimate(i + 1, u);
        return new NDList(
            sigma[i + 1] == 0 ? u : u.add(noise(context, work, model, chains).mul(sigma[i + 1])));
      }

      /** The mode of a problem whose two means are drawn is a sample. */
      private NDArray exact(NDArray clean, int i) {
        context.checkpoint();
        LinearOperator linear = problem.linearOperator();
        NDArray mean = clean.add(noise(context, work, model, chains).mul(sigma[i]));
        NDArray fresh = context.normal(work, chains, operator.measurementShape());
        double gamma = Math.min(MAX_GAMMA, sigma[i] * sigma[i] / (tau * tau));
        return y.proximal(linear, mean, y.measurement().add(fresh.mul(tau)), gamma);
      }

      private NDArray langevin(NDArray clean, int i) {
        double eta = spec.stepSize() / (1 / (sigma[i] * sigma[i]) + norm / (tau * tau));
        NDArray u = clean.duplicate();
        for (int k = 0; k < spec.langevinSteps(); k++) {
          context.checkpoint();
          NDArray before = u;
          u =
              TensorScope.only(
                  () -> {
                    try (Linearization at = operator.at(before)) {
                      NDArray data = at.pullback(y.residualOf(at.value()));
                      NDArray score =
                          clean.sub(before).div(sigma[i] * sigma[i]).add(data.div(tau * tau));
                      NDArray fresh = noise(context, work, model, chains).mul(Math.sqrt(2 * eta));
                      return before.add(score.mul(eta)).add(fresh);
                    }
                  });
          before.close();
        }
        return u;
      }
    };
  }

  /** Deterministic steps down to the clean picture. */
  private NDArray clean(LatentDiffusionModel model, SolveContext context, NDArray x, double sigma) {
    double[] levels = NoiseLevels.karras(model.schedule(), spec.odeSteps(), sigma, spec.endSigma());
    NDArray z = x;
    for (int k = 0; k < spec.odeSteps(); k++) {
      context.checkpoint();
      NDArray clean = model.denoise(z, levels[k], context.conditioning());
      z = clean.add(z.sub(clean).mul(levels[k + 1] / levels[k]));
    }
    return z;
  }
}
