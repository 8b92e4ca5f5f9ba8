package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
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
 * RED-diff (Mardani et al., "A Variational Perspective on Solving Inverse Problems with Diffusion
 * Models", ICLR 2024, arXiv 2305.04391, algorithm 1): one picture mu by Adam, from the noisiest
 * timestep down, along
 *
 * <pre>
 *   A^T(A mu - y) + lambda sigma (eps(mu + sigma xi, sigma) - xi),   xi ~ N(0, I)
 * </pre>
 *
 * The weight of the paper's inverse signal-to-noise ratio makes the second term {@code lambda (mu -
 * denoise(mu + sigma xi, sigma))}. One step costs one evaluation, no gradient through the network;
 * A may be nonlinear. It seeks a mode: samples differ little and are smooth.
 *
 * <p>Deviations, and why: the data's gradient is that of half the sum of squares, not of a mean
 * over entries, whose number differs between measurement and picture; it starts at zero, as the
 * implementation of InverseBench does, because not every operator has a pseudo-inverse; Adam's
 * second beta is 0.999 as everywhere here, where the released code has 0.99.
 *
 * <p>{@code fast}'s rate was the best of 0.1, 0.05 and 0.02 for missing pixels, super-resolution
 * and blur together on one tuning photograph, by 0.1 to 1.4 dB.
 */
public final class RedDiff extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "red-diff",
          "Regularisation by denoising diffusion: Adam on one picture; pixel-space priors",
          List.of(
              new Citation(
                  "mardani2024reddiff",
                  "Mardani, Morteza and Song, Jiaming and Kautz, Jan and Vahdat, Arash",
                  "A Variational Perspective on Solving Inverse Problems with Diffusion Models",
                  "ICLR",
                  2024,
                  "2305.04391")),
          Set.of(Need.MODEL, Need.PIXEL_SPACE, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(100, 0.02, 0.25), "paper", new Spec(1000, 0.1, 0.25)),
          RedDiff::new);

  /**
   * Parameters.
   *
   * @param steps timesteps
   * @param learningRate of Adam
   * @param lambda weight of the prior against the data
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(doc = "Adam's, on [-1,1]", min = 0.0001, max = 1) double learningRate,
      @Parameter(doc = "Weight of the prior against the data", min = 0, max = 1000)
          double lambda) {}

  private final Spec spec;

  public RedDiff(Spec spec) {
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
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    double[] active = new double[chains];
    Arrays.fill(active, 1);
    return new Steps() {
      @Override
      public int count() {
        return timesteps.length;
      }

      @Override
      public NDList start() {
        return AdamW.state(work.zeros(new Shape(chains).addAll(model.imageShape())));
      }

      @Override
      public NDList next(int i, NDList state) {
        double sigma = schedule.sigma(timesteps[i]);
        context.checkpoint();
        AdamW adam = new AdamW(state, i, spec.learningRate(), 0);
        NDArray mu = adam.point();
        try (Linearization at = problem.operator().at(mu)) {
          NDArray residual = y.residualOf(at.value());
          context.step(i + 1, timesteps.length, y.rms(residual));
          context.estimate(i + 1, mu);
          NDArray noisy = mu.add(noise(context, work, model, chains).mul(sigma));
          NDArray clean = model.denoise(noisy, sigma, context.conditioning());
          adam.step(mu.sub(clean).mul(spec.lambda()).sub(at.pullback(residual)), active);
        }
        return adam.state();
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return state.get(0);
      }
    };
  }
}
