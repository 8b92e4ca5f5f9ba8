package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
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
import io.priorart.solver.operator.ConjugateGradient;
import io.priorart.solver.operator.Gmres;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Moment-matching posterior sampling (Rozet et al., "Learning Diffusion Priors from Observations by
 * Expectation Maximization", NeurIPS 2024, arXiv 2405.13712, section 4.2). The prior at noise level
 * {@code sigma} is taken as the Gaussian with the denoiser's mean and covariance, {@code V =
 * sigma^2 J}, {@code J} the denoiser's Jacobian (Tweedie), so that a step's estimate knows the
 * measurement:
 *
 * <pre>
 *   x0  = denoise(x, sigma)
 *   u   : (sigma_y^2 I + A V A^T) u = y - A x0          conjugate gradients or GMRES
 *   x0' = x0 + V A^T u
 *   x   = x0' + sigma_next ( sqrt(1 - zeta) (x - x0') / sigma + sqrt(zeta) xi ),
 *         zeta = eta^2 (1 - sigma_next^2 / sigma^2)
 * </pre>
 *
 * and the result is the last {@code x0'}. On a Gaussian prior the estimate is exact, so small steps
 * sample the posterior itself. A step costs one evaluation and one pullback more than its
 * iterations; all pullbacks go through one linearisation.
 *
 * <p>Deviation, and why: noise levels on the grid of Karras et al. (arXiv 2206.00364, eq. 5)
 * between the prior's own bounds instead of equal ratios from 1e-3 to 1e2, which the bundled prior
 * was not trained on. The pullback stands for the product with {@code J}, as in the paper: they are
 * equal for an exact denoiser. A trained one's Jacobian is not quite symmetric, which conjugate
 * gradients take for granted and GMRES does not ({@code krylov}; the authors' benchmark, where
 * {@code paper}'s figures are from, takes GMRES).
 */
public final class Mmps extends LatentSolver {
  private static final double TOLERANCE = 1e-3;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "mmps",
          "Moment-matching posterior sampling: the denoiser's own covariance weighs the data",
          List.of(
              new Citation(
                  "rozet2024em",
                  "Rozet, François and Andry, Gérôme and Lanusse, François and Louppe, Gilles",
                  "Learning Diffusion Priors from Observations by Expectation Maximization",
                  "NeurIPS",
                  2024,
                  "2405.13712")),
          Set.of(
              Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.DENOISER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 1, Krylov.CG, 1, 8, 0.01),
              "paper", new Spec(100, 5, Krylov.GMRES, 1, 1000, 0.001)),
          Mmps::new);

  /** How the linear system of a step is solved. */
  public enum Krylov {
    /** {@link ConjugateGradient}. */
    CG,
    /** {@link Gmres}. */
    GMRES
  }

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param iterations of the linear system at most, a pullback each
   * @param krylov how it is solved
   * @param eta how much of the diffusion's own noise is drawn anew at each step
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(
              doc = "Iterations of a step's linear system, a denoiser pullback each",
              min = 1,
              max = 100)
          int iterations,
      @Parameter(doc = "How it is solved: gmres does not ask for a symmetric Jacobian")
          Krylov krylov,
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
          double endSigma) {
    public Spec {
      if (endSigma >= startSigma) {
        throw PriorArtException.badField(
            "endSigma", "must be less than startSigma, " + startSigma + ", was " + endSigma);
      }
    }
  }

  private final Spec spec;

  public Mmps(Spec spec) {
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
        NDArray clean = posteriorMean(x, sigma[i], operator, y, model, context);
        context.step(i + 1, spec.steps(), y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        if (i + 1 == spec.steps()) {
          return new NDList(clean);
        }
        double ratio = sigma[i + 1] / sigma[i];
        double zeta = spec.eta() * spec.eta() * (1 - ratio * ratio);
        NDArray fresh = noise(context, work, model, chains).mul(Math.sqrt(zeta) * sigma[i + 1]);
        return new NDList(clean.add(x.sub(clean).mul(Math.sqrt(1 - zeta) * ratio)).add(fresh));
      }
    };
  }

  /** {@code x0'}, an estimate of {@code E[x0 | x, y]}. */
  private NDArray posteriorMean(
      NDArray x,
      double sigma,
      LinearOperator operator,
      Observation y,
      LatentDiffusionModel model,
      SolveContext context) {
    context.checkpoint();
    try (Linearization at = model.denoiseAt(x, sigma, context.conditioning())) {
      NDArray residual = y.residual(at.value());
      double noise = y.sigma() * y.sigma();
      double variance = sigma * sigma;
      UnaryOperator<NDArray> system =
          v -> operator.apply(at.pullback(operator.adjoint(v))).mul(variance).add(v.mul(noise));
      NDArray u =
          switch (spec.krylov()) {
            case CG ->
                new ConjugateGradient(TOLERANCE, spec.iterations())
                    .solve(system, residual, context::checkpoint)
                    .value();
            case GMRES ->
                new Gmres(TOLERANCE, spec.iterations())
                    .solve(system, residual, context::checkpoint)
                    .value();
          };
      context.checkpoint();
      return at.value().add(at.pullback(operator.adjoint(u)).mul(variance));
    }
  }
}
