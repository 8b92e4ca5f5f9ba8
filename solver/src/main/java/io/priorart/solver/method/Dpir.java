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
 * DPIR (Zhang et al., TPAMI 2021, arXiv 2008.13751, algorithm 1): plug-and-play half-quadratic
 * splitting with a denoiser. From a start {@code z},
 *
 * <pre>
 *   x = argmin_u  ||A u - y||^2 + rho ||u - z||^2,   rho = lambda sigma_y^2 / sigma^2
 *   z = T^-1 denoise(T x, sigma)
 * </pre>
 *
 * for falling {@code sigma}, {@code T} a flip or quarter turn, another one each step (the paper's
 * periodical geometric self-ensemble); the result is the last {@code z}. It is one best picture,
 * closer to the truth in the mean square than a sample of the posterior, and smoother. Only the
 * order of the turns is drawn: pictures of several seeds differ little, and their mean is a little
 * better than each.
 *
 * <p>Where pixels are missing and the prior takes a noise level for each pixel, {@code x} is the
 * measurement where it is known and {@code z} elsewhere, and the denoiser is told so: the
 * measurement's noise here, {@code sigma} there (the levels of {@link Rad}).
 *
 * <p>Deviations, and why: the start is the {@link Wiener} estimate, for every operator; the paper
 * takes the measurement, its bicubic enlargement or an interpolation, task by task. The last {@code
 * sigma} is a parameter, where the paper takes the measurement's noise, which for a noise-free one
 * would be zero.
 *
 * <p>The preset {@code inpainting} takes more and smaller steps from more noise: what is missing
 * grows in from the known pixels, step by step. All presets but {@code paper} were chosen on four
 * photographs that no figure is reported on.
 */
public final class Dpir extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "dpir",
          "Plug-and-play half-quadratic splitting: one best picture; pixel-space priors",
          List.of(
              new Citation(
                  "zhang2021dpir",
                  "Zhang, Kai and Li, Yawei and Zuo, Wangmeng and Zhang, Lei and Van Gool, Luc and Timofte, Radu",
                  "Plug-and-Play Image Restoration with Deep Denoiser Prior",
                  Citation.Kind.JOURNAL,
                  "TPAMI",
                  2021,
                  "2008.13751")),
          Set.of(Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(8, 0.23, 0.3, 0.02),
              "detail", new Spec(16, 0.12, 0.4, 0.02),
              "inpainting", new Spec(48, 0.23, 1, 0.02),
              "paper", new Spec(24, 0.23, 0.384, 0.02)),
          Dpir::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param lambda how far the prior is trusted against the measurement
   * @param startSigma first noise level, lowered to the checkpoint's largest
   * @param endSigma last noise level, raised to the checkpoint's smallest
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(
              doc = "Trust in the prior against the measurement; the paper uses 0.19 to 0.55",
              min = 0.001,
              max = 1000)
          double lambda,
      @Parameter(
              doc = "First noise level, lowered to the checkpoint's largest",
              unit = "standard deviations on [-1,1]",
              min = 0.01,
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

  public Dpir(Spec spec) {
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
        NoiseLevels.logarithmic(model.schedule(), spec.steps(), spec.startSigma(), spec.endSigma());
    int[][] turns = new int[chains][];
    for (int k = 0; k < chains; k++) {
      turns[k] = Turns.shuffled(context.noise(k), model.imageShape());
    }
    KnownPixels known = operator.isMask() ? new KnownPixels(problem) : null;
    boolean gaps = known != null && !known.complete() && model.noiseMap();
    double noise = y.sigma() * y.sigma();
    return new Steps() {
      @Override
      public int count() {
        return spec.steps();
      }

      @Override
      public NDList start() {
        return new NDList(Wiener.START.estimate(problem, work, chains, context));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray z = state.get(0);
        context.checkpoint();
        int[] turn = Arrays.stream(turns).mapToInt(t -> t[i % t.length]).toArray();
        NDArray denoised;
        if (gaps) {
          NDArray x = z.add(y.measurement().sub(z).mul(known.mask(work)));
          NDArray levels = known.levels(work, y.sigma(), sigma[i]).repeat(0, chains);
          denoised =
              model.denoise(Turns.each(x, turn), Turns.each(levels, turn), context.conditioning());
        } else {
          double[] gamma = new double[chains];
          Arrays.fill(gamma, Math.min(MAX_GAMMA, sigma[i] * sigma[i] / (spec.lambda() * noise)));
          NDArray x = y.proximal(operator, z, gamma);
          context.checkpoint();
          denoised = model.denoise(Turns.each(x, turn), sigma[i], context.conditioning());
        }
        NDArray clean = Turns.eachBack(denoised, turn);
        context.step(i + 1, spec.steps(), y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        return new NDList(clean);
      }
    };
  }
}
