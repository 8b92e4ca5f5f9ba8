package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
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
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * SITCOM (Alkhouri et al., ICML 2025, arXiv 2410.04479, algorithm 1): at each noise level the
 * network's input is moved until what it denoises to explains the measurement. With {@code x} in
 * variance-preserving form and {@code a} alphaBar,
 *
 * <pre>
 *   v = argmin  || A denoise(v) - y ||^2 + lambda || v - x ||^2      (Adam from x, iterations at most)
 *   x = sqrt(a_next) denoise(v) + sqrt(1 - a_next) xi
 * </pre>
 *
 * and the result is the last {@code denoise(v)}. An iteration costs an evaluation with its
 * pullback; a sample's stop as soon as the mean squared residual is the noise's.
 *
 * <p>Deviations, and why: {@code denoise(v)} of the last iterate is returned, where the released
 * code returns the iterate nearest to the truth; the stopping rule counts the observed entries,
 * where the code counts the picture's, and takes the noise as it is, where the code adds 0.001; the
 * clean estimate is not clamped, nor moved along the data's gradient for missing pixels.
 */
public final class Sitcom extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "sitcom",
          "Moves the network's input until its output explains the measurement; pixel-space priors",
          List.of(
              new Citation(
                  "alkhouri2025sitcom",
                  "Alkhouri, Ismail and Liang, Shijun and Huang, Cheng-Han and Dai, Jimmy and Qu,"
                      + " Qing and Ravishankar, Saiprasad and Wang, Rongrong",
                  "SITCOM: Step-wise Triple-Consistent Diffusion Sampling for Inverse Problems",
                  "ICML",
                  2025,
                  "2410.04479")),
          Set.of(Need.MODEL, Need.PIXEL_SPACE, Need.DENOISER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(12, 8, 0.05, 0), "paper", new Spec(20, 20, 0.01, 0)),
          Sitcom::new);

  /**
   * Parameters.
   *
   * @param steps noise levels
   * @param iterations of Adam at each, at most
   * @param learningRate of Adam
   * @param lambda how much the input is held where it was
   */
  public record Spec(
      @Parameter(doc = "Noise levels", min = 1, max = 1000) int steps,
      @Parameter(
              doc = "Adam iterations at each level at most, a pullback each",
              min = 1,
              max = 1000)
          int iterations,
      @Parameter(doc = "Adam's, on the variance-preserving input", min = 1e-5, max = 1)
          double learningRate,
      @Parameter(doc = "Weight that holds the input where it was", min = 0, max = 1000)
          double lambda) {}

  private final Spec spec;

  public Sitcom(Spec spec) {
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
    double target = y.sigma() * y.sigma();
    return new Steps() {
      @Override
      public int count() {
        return timesteps.length;
      }

      @Override
      public NDList start() {
        return new NDList(noise(context, work, model, chains));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray clean = consistent(state.get(0), schedule.alphaBar(timesteps[i]));
        context.step(i + 1, timesteps.length, y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        if (i + 1 == timesteps.length) {
          return new NDList(clean);
        }
        double as = schedule.alphaBar(timesteps[i + 1]);
        NDArray fresh = noise(context, work, model, chains);
        return new NDList(clean.mul(Math.sqrt(as)).add(fresh.mul(Math.sqrt(1 - as))));
      }

      private NDArray consistent(NDArray x, double alphaBar) {
        double root = Math.sqrt(alphaBar);
        double sigma = Math.sqrt((1 - alphaBar) / alphaBar);
        double[] active = new double[chains];
        Arrays.fill(active, 1);
        try (AdamW adam = new AdamW(x, spec.learningRate(), 0)) {
          for (int k = 0; k < spec.iterations(); k++) {
            context.checkpoint();
            try (TensorScope scope = new TensorScope();
                Linearization denoiser =
                    model.denoiseAt(adam.point().div(root), sigma, context.conditioning());
                Linearization forward = problem.operator().at(denoiser.value())) {
              NDArray residual = y.residualOf(forward.value());
              if (!rest(y.meanSquares(residual), target, active)) {
                break;
              }
              context.checkpoint();
              NDArray gradient = denoiser.pullback(forward.pullback(residual)).mul(-2 / root);
              if (spec.lambda() > 0) {
                gradient = gradient.add(adam.point().sub(x).mul(2 * spec.lambda()));
              }
              adam.step(gradient, active);
            }
          }
          context.checkpoint();
          return model.denoise(adam.point().div(root), sigma, context.conditioning());
        }
      }
    };
  }

  /** Lets samples that explain their measurement rest; whether any is left. */
  private static boolean rest(double[] squares, double target, double[] active) {
    boolean any = false;
    for (int n = 0; n < active.length; n++) {
      if (squares[n] <= target) {
        active[n] = 0;
      }
      any |= active[n] != 0;
    }
    return any;
  }
}
