package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.DoubleUnaryOperator;

/**
 * Interpolates a smaller measurement up to the picture's size with half-pixel centres and edge
 * pixels repeated; a measurement of the picture's own size is returned as it is, which is the "do
 * nothing" baseline of blur and noise. Kernels: cubic convolution (Keys 1981, a = -1/2), and
 * Lanczos' windowed sinc of three lobes, {@code sinc(t) sinc(t/3)}, its weights normalised to sum
 * to 1.
 *
 * <p>The factor is the smallest whole {@code f} with {@code ceil(H/f) = h} and {@code ceil(W/f) =
 * w}; pixel {@code i} lies at {@code (i + 1/2)/f - 1/2} of the measurement.
 */
public final class Interpolation implements InverseSolver {
  /** Cubic convolution. */
  public static final SolverMethod<Spec> BICUBIC =
      new SolverMethod<>(
          "bicubic",
          "Cubic interpolation of a smaller measurement; one of equal size is returned as it is",
          List.of(
              new Citation(
                  "keys1981",
                  "Keys, Robert G.",
                  "Cubic Convolution Interpolation for Digital Image Processing",
                  Citation.Kind.JOURNAL,
                  "IEEE TASSP",
                  1981,
                  "")),
          Set.of(),
          Spec.class,
          Map.of("fast", new Spec(), "paper", new Spec()),
          spec -> new Interpolation(Interpolation::keys, 2));

  /** Lanczos of three lobes. */
  public static final SolverMethod<Spec> LANCZOS =
      new SolverMethod<>(
          "lanczos",
          "Lanczos interpolation of a smaller measurement; one of equal size is returned as it is",
          List.of(
              new Citation(
                  "duchon1979",
                  "Duchon, Claude E.",
                  "Lanczos Filtering in One and Two Dimensions",
                  Citation.Kind.JOURNAL,
                  "Journal of Applied Meteorology",
                  1979,
                  "")),
          Set.of(),
          Spec.class,
          Map.of("fast", new Spec(), "paper", new Spec()),
          spec -> new Interpolation(Interpolation::windowedSinc, 3));

  /** No parameters. */
  public record Spec() {}

  private final DoubleUnaryOperator kernel;
  private final int radius;

  /**
   * @param kernel of the distance in measured pixels, 0 beyond {@code radius}
   */
  private Interpolation(DoubleUnaryOperator kernel, int radius) {
    this.kernel = kernel;
    this.radius = radius;
  }

  @Override
  public NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    Shape image = problem.operator().imageShape();
    Shape measured = problem.operator().measurementShape();
    int factor = factor(problem, image, measured);
    try (NDManager work = context.manager().newSubManager()) {
      Observation y = new Observation(problem, work, 1);
      context.checkpoint();
      NDArray rows = weights(work, (int) image.get(1), (int) measured.get(1), factor);
      NDArray columns = weights(work, (int) image.get(2), (int) measured.get(2), factor);
      // [C, h, w]: rows from the left, columns from the right.
      NDArray flat = y.measurement().squeeze(0);
      NDArray x = rows.matMul(flat).matMul(columns.transpose()).expandDims(0);
      context.step(1, 1, y.rms(y.residual(x)));
      Outcome.finite(x).attach(context.manager());
      return x;
    }
  }

  private static int factor(Problem problem, Shape image, Shape measured) {
    if (problem.operator().observedCount() == measured.size()
        && measured.dimension() == 3
        && measured.get(0) == image.get(0)) {
      for (int f = 1; f <= Math.max(image.get(1), image.get(2)); f++) {
        if (ceil(image.get(1), f) == measured.get(1) && ceil(image.get(2), f) == measured.get(2)) {
          return f;
        }
      }
    }
    throw new PriorArtException(
        ErrorKind.FAILED_PRECONDITION,
        "interpolation needs a complete, smaller picture; this operator measures "
            + measured
            + " of "
            + image
            + " with "
            + problem.operator().observedCount()
            + " entries observed; use pseudo-inverse, wiener or tv");
  }

  private static long ceil(long n, int f) {
    return (n + f - 1) / f;
  }

  /** {@code [size, measured]}; each row sums to 1. */
  private NDArray weights(NDManager manager, int size, int measured, int factor) {
    float[] weights = new float[size * measured];
    for (int i = 0; i < size; i++) {
      double centre = (i + 0.5) / factor - 0.5;
      int first = (int) Math.floor(centre) - radius + 1;
      double sum = 0;
      for (int k = first; k < first + 2 * radius; k++) {
        sum += kernel.applyAsDouble(centre - k);
      }
      for (int k = first; k < first + 2 * radius; k++) {
        int edge = Math.min(Math.max(k, 0), measured - 1);
        weights[i * measured + edge] += (float) (kernel.applyAsDouble(centre - k) / sum);
      }
    }
    return manager.create(weights, new Shape(size, measured));
  }

  private static double keys(double t) {
    double d = Math.abs(t);
    if (d <= 1) {
      return (1.5 * d - 2.5) * d * d + 1;
    }
    return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
  }

  private static double windowedSinc(double t) {
    return Math.abs(t) >= 3 ? 0 : sinc(t) * sinc(t / 3);
  }

  private static double sinc(double t) {
    return t == 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t);
  }
}
