package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import io.priorart.solver.operator.WeightedOperator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Constrained diffusion implicit models (Jayaram et al., NeurIPS 2025, arXiv 2411.00359): DDIM
 * whose state is kept where the measurement says that a rightly noised picture lies.
 *
 * <p>With {@code x} in variance-preserving form, {@code a} alphaBar of the level that a DDIM step
 * (eta = 0) has reached, {@code e = sqrt(a) - 1}, {@code b = 1 - a} and {@code m} observed entries,
 * {@code ||A x - y||^2} of a rightly noised picture has
 *
 * <pre>
 *   mean      mu = e^2 ||y||^2 + b tr(A A^T) + m sigma_y^2 (1 - e^2)
 *   variance  v  = 2 (b^2 tr((A A^T)^2) + 2 b sigma_y^2 tr(A A^T) + m sigma_y^4)
 *                  + 4 e^2 (b (||A^T y||^2 - sigma_y^2 tr(A A^T)) + sigma_y^2 (||y||^2 - m sigma_y^2))
 * </pre>
 *
 * As long as {@code ||A x - y||^2 > mu + band sqrt(v)}, at most {@code iterations} times,
 *
 * <pre>
 *   x = x - eta g,   g = d/dx || A denoise(x) - y ||^2
 * </pre>
 *
 * with the smallest {@code eta} that reaches the band: A being linear, {@code ||A (x - eta g) -
 * y||^2} is a quadratic in {@code eta}; where it does not reach the band, its minimum is taken. A
 * DDIM step costs one evaluation, a projection one with its pullback.
 *
 * <p>Of counted light ({@link Noise.Poisson}) {@code A} and {@code y} are divided by the deviation
 * of each entry, {@code sqrt(max(y, 1/peak) / peak)} on the [0,1] scale, so that the statistics are
 * those of Pearson's residuals, as in the paper.
 *
 * <p>Deviations, and why: {@code ||A^T y||^2} is computed, not estimated; the traces are those of
 * the mask, or come from fixed probes once a solve, where the released code draws them again at
 * each iteration; the step is solved for, not searched; each sample of a batch stops alone; the
 * clean estimate is not clipped, which would cut the gradient.
 */
public final class Cdim extends LatentSolver {
  private static final double LEAST_STEP = 1e-12;

  /** A step that ends on the band is not to be repeated because float32 sums a little more. */
  private static final double ROUNDING = 1e-5;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "cdim",
          "DDIM held where the measurement's statistics say; pixel-space priors, few evaluations",
          List.of(
              new Citation(
                  "jayaram2025cdim",
                  "Jayaram, Vivek and Kemelmacher-Shlizerman, Ira and Seitz, Steven M. and"
                      + " Thickstun, John",
                  "Linearly Constrained Diffusion Implicit Models",
                  "NeurIPS",
                  2025,
                  "2411.00359")),
          Set.of(Need.MODEL, Need.LINEAR, Need.PIXEL_SPACE, Need.DENOISER_GRADIENT),
          Spec.class,
          Map.of("fast", new Spec(25, 3, 0.1), "paper", new Spec(25, 20, 0.1)),
          Cdim::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param iterations projections at most after each
   * @param band how many standard deviations the residual may be above its mean
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 2, max = 1000) int steps,
      @Parameter(doc = "Projections after a step at most", min = 0, max = 1000) int iterations,
      @Parameter(
              doc = "How far the residual may be above its mean",
              unit = "standard deviations of the squared residual",
              min = 0,
              max = 100)
          double band) {}

  private final Spec spec;

  public Cdim(Spec spec) {
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
    Problem even = problem.noise() instanceof Noise.Poisson light ? even(problem, light) : problem;
    LinearOperator operator = even.linearOperator();
    Observation y = new Observation(even, work, chains);
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = leading(schedule, spec.steps());
    Statistics statistics = new Statistics(y, operator);
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
        NDArray x = state.get(0);
        double at = schedule.alphaBar(timesteps[i]);
        context.checkpoint();
        NDArray clean = VariancePreserving.denoised(model, x, at, context.conditioning());
        context.step(i + 1, timesteps.length, y.rms(y.residual(clean)));
        context.estimate(i + 1, clean);
        if (i + 1 == timesteps.length) {
          return new NDList(clean);
        }
        double as = schedule.alphaBar(timesteps[i + 1]);
        return new NDList(constrained(VariancePreserving.ddim(x, clean, at, as), as));
      }

      private NDArray constrained(NDArray start, double alphaBar) {
        double bound = statistics.bound(alphaBar);
        return TensorScope.iterate(
            start,
            spec.iterations(),
            (k, x) -> {
              double[] squares = Observation.sumsOfSquares(y.residual(x));
              if (all(squares, bound * (1 + ROUNDING))) {
                return x;
              }
              double[] steps = new double[chains];
              NDArray next = projected(x, alphaBar, squares, bound, steps);
              return none(steps) ? x : next;
            });
      }

      /**
       * @param steps gets the step that each sample took
       */
      private NDArray projected(
          NDArray x, double alphaBar, double[] squares, double bound, double[] steps) {
        double root = Math.sqrt(alphaBar);
        context.checkpoint();
        try (Linearization denoiser =
            model.denoiseAt(
                x.div(root), Math.sqrt((1 - alphaBar) / alphaBar), context.conditioning())) {
          NDArray residual = y.residual(denoiser.value());
          context.checkpoint();
          NDArray gradient = denoiser.pullback(operator.adjoint(residual)).mul(-2 / root);
          NDArray moved = y.seen(operator.apply(gradient));
          double[] products = Observation.dots(y.residual(x), moved);
          double[] norms = Observation.sumsOfSquares(moved);
          for (int n = 0; n < chains; n++) {
            // r = A x - y is minus the residual
            steps[n] =
                squares[n] <= bound * (1 + ROUNDING)
                    ? 0
                    : smallest(squares[n], -products[n], norms[n], bound);
          }
          return x.sub(Observation.scale(gradient, steps));
        }
      }
    };
  }

  /** The same problem with noise that has one deviation: entries over their own. */
  private static Problem even(Problem problem, Noise.Poisson light) {
    LinearOperator operator = problem.linearOperator();
    HostTensor observed = operator.observed();
    float[] y = problem.measurement().values();
    double[] variance = new double[y.length];
    double sum = 0;
    long count = 0;
    for (int i = 0; i < y.length; i++) {
      // where nothing was counted there may have been light: one count's variance
      variance[i] = Math.max((y[i] + 1) / 2, 1 / light.peak()) / light.peak();
      if (observed == null || observed.values()[i] != 0) {
        sum += variance[i];
        count++;
      }
    }
    // no pixel scale is wider than 1
    double sigma = Math.min(1, Math.sqrt(sum / Math.max(1, count)));
    float[] weights = new float[y.length];
    float[] weighed = new float[y.length];
    for (int i = 0; i < y.length; i++) {
      weights[i] = (float) (sigma / Math.sqrt(variance[i]));
      weighed[i] = weights[i] * y[i];
    }
    Shape shape = problem.measurement().shape();
    return new Problem(
        new WeightedOperator(operator, new HostTensor(shape, weights)),
        new HostTensor(shape, weighed),
        new Noise.Gaussian(sigma),
        problem.quantizationStep());
  }

  private static boolean all(double[] squares, double bound) {
    for (double s : squares) {
      // not <=: NaN must go on to where it is reported
      if (!(s <= bound)) {
        return false;
      }
    }
    return true;
  }

  private static boolean none(double[] steps) {
    for (double s : steps) {
      if (!(s <= LEAST_STEP)) {
        return false;
      }
    }
    return true;
  }

  /**
   * The smallest {@code eta >= 0} with {@code square - 2 eta product + eta^2 norm <= bound}, or
   * where there is none that of the least value.
   */
  static double smallest(double square, double product, double norm, double bound) {
    if (square <= bound || product <= 0 || norm == 0) {
      return 0;
    }
    double discriminant = product * product - norm * (square - bound);
    return discriminant <= 0 ? product / norm : (product - Math.sqrt(discriminant)) / norm;
  }

  /** What is known of {@code ||A x - y||^2}. */
  private final class Statistics {
    private final double noise;
    private final long count;
    private final double trace;
    private final double squaredTrace;
    private final double measured;
    private final double back;

    Statistics(Observation y, LinearOperator operator) {
      noise = y.sigma() * y.sigma();
      count = y.count();
      double[] traces = y.traces(operator);
      trace = traces[0];
      squaredTrace = traces[1];
      try (TensorScope scope = new TensorScope()) {
        NDArray seen = y.seen(y.measurement()).get("0:1");
        measured = Observation.sumsOfSquares(seen)[0];
        back = Observation.sumsOfSquares(operator.adjoint(seen))[0];
      }
    }

    /** {@code mu + band sqrt(v)}. */
    double bound(double alphaBar) {
      double e = Math.sqrt(alphaBar) - 1;
      double b = 1 - alphaBar;
      double mean = e * e * measured + b * trace + count * noise * (1 - e * e);
      double variance =
          2 * (b * b * squaredTrace + 2 * b * noise * trace + count * noise * noise)
              + 4 * e * e * (b * (back - noise * trace) + noise * (measured - count * noise));
      return mean + spec.band() * Math.sqrt(Math.max(0, variance));
    }
  }
}
