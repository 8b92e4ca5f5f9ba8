package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import io.priorart.solver.operator.ConjugateGradient;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The Wiener filter: the best linear estimate of a picture whose spectrum falls by a power law, as
 * photographs' do (Field, JOSA A 1987), from any linear measurement:
 *
 * <pre>
 *   x = argmin  ||A x - y||^2 / sigma_eff^2 + x^T C^-1 x,     C = T^t diag(S) T,
 *   S(k) ~ ( k0^2 + |k|^2 )^(-exponent/2),   mean S = contrast^2
 * </pre>
 *
 * with {@code T} the orthonormal two-dimensional cosine transform (reflecting borders), {@code k}
 * in cycles per pixel and {@code k0} half the lowest frequency of the longer side. Each colour
 * channel alone. Solved by conjugate gradients on the whitened coefficients {@code w = S^(-1/2) T
 * x}: {@code (F^t A^T A F + sigma^2) w = F^t A^T y} with {@code F = T^t S^(1/2)}, whose start at
 * zero makes an early stop a smoother picture, not a worse fit to the prior.
 *
 * <p>A draw from the Gaussian posterior instead of its mean is {@code x_s + W(y - A x_s - n)} with
 * {@code x_s} drawn from the prior, {@code n} from the noise and {@code W} the filter (Papandreou
 * and Yuille, Gaussian Sampling by Local Perturbations, NIPS 2010).
 */
public final class Wiener implements InverseSolver {
  private static final double RELATIVE_TOLERANCE = 1e-5;

  /** What plug-and-play methods start from, whatever the operator. */
  static final Wiener START = new Wiener(new Spec(2.5, 1, 30, false));

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "wiener",
          "Wiener filter with a power-law image spectrum, for any linear operator",
          List.of(
              new Citation(
                  "wiener1949",
                  "Wiener, Norbert",
                  "Extrapolation, Interpolation, and Smoothing of Stationary Time Series",
                  Citation.Kind.BOOK,
                  "MIT Press",
                  1949,
                  ""),
              new Citation(
                  "field1987",
                  "Field, David J.",
                  "Relations between the Statistics of Natural Images and the Response Properties of Cortical Cells",
                  Citation.Kind.JOURNAL,
                  "JOSA A",
                  1987,
                  "")),
          Set.of(Need.LINEAR, Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(2, 0.5, 100, false), "paper", new Spec(2, 0.5, 500, false)),
          Wiener::new);

  /**
   * Parameters.
   *
   * @param exponent of the power spectrum
   * @param contrast standard deviation of a pixel
   * @param iterations most conjugate-gradient iterations
   * @param draw whether to draw from the posterior
   */
  public record Spec(
      @Parameter(
              doc = "How fast the power spectrum falls with frequency; photographs have 2",
              min = 0,
              max = 6)
          double exponent,
      @Parameter(
              doc = "Standard deviation of the picture's pixels",
              unit = "[-1,1] pixel scale",
              min = 0.01,
              max = 10)
          double contrast,
      @Parameter(doc = "Most conjugate-gradient iterations", min = 1, max = 10_000) int iterations,
      @Parameter(doc = "Draw from the Gaussian posterior instead of taking its mean")
          boolean draw) {}

  private final Spec spec;

  public Wiener(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  public NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    try (NDManager work = context.manager().newSubManager()) {
      Observation y = new Observation(problem, work, 1);
      NDArray x = spec.draw() ? draw(problem, work, context) : estimate(problem, work, 1, context);
      context.step(1, 1, y.rms(y.residual(x)));
      Outcome.finite(x).attach(context.manager());
      return x;
    }
  }

  private NDArray draw(Problem problem, NDManager work, SolveContext context) {
    LinearOperator operator = problem.linearOperator();
    try (TensorScope scope = new TensorScope()) {
      Observation y = new Observation(problem, work, 1);
      NDArray white = context.noise().normal(work, new Shape(1).addAll(operator.imageShape()));
      NDArray prior = new Root(work, operator.imageShape(), spec).apply(white);
      NDArray noise = context.noise().normal(work, y.measurement().getShape()).mul(y.sigma());
      NDArray left = y.residualOf(operator.apply(prior).add(noise));
      Problem rest =
          new Problem(operator, HostTensor.of(left), problem.noise(), problem.quantizationStep());
      return scope.keep(prior.add(estimate(rest, work, 1, context)));
    }
  }

  /** The estimate itself, {@code [chains, C, H, W]} in {@code work}, all chains the same. */
  NDArray estimate(Problem problem, NDManager work, int chains, SolveContext context) {
    LinearOperator operator = problem.linearOperator();
    try (TensorScope scope = new TensorScope()) {
      Observation y = new Observation(problem, work, 1);
      Root root = new Root(work, operator.imageShape(), spec);
      double noise = y.sigma() * y.sigma();
      NDArray b = root.adjoint(operator.adjoint(y.residualOf(y.measurement().zerosLike())));
      NDArray w =
          new ConjugateGradient(RELATIVE_TOLERANCE, spec.iterations())
              .solve(
                  v ->
                      root.adjoint(operator.adjoint(operator.apply(root.apply(v))))
                          .add(v.mul(noise)),
                  b,
                  context::checkpoint)
              .value();
      NDArray x = root.apply(w);
      return scope.keep(chains == 1 ? x : x.repeat(0, chains));
    }
  }

  /** {@code F = T^t S^(1/2)}, a root of the covariance: {@code F F^t = C}. */
  private static final class Root {
    private final CosineTransform transform;
    private final NDArray amplitude;

    Root(NDManager manager, Shape image, Spec spec) {
      int height = Math.toIntExact(image.get(1));
      int width = Math.toIntExact(image.get(2));
      transform = new CosineTransform(manager, height, width);
      double low = 0.25 / Math.max(height, width);
      double[] power = new double[height * width];
      double sum = 0;
      for (int i = 0; i < power.length; i++) {
        double v = 0.5 * (i / width) / height;
        double h = 0.5 * (i % width) / width;
        power[i] = Math.pow(low * low + v * v + h * h, -spec.exponent() / 2);
        sum += power[i];
      }
      float[] root = new float[power.length];
      for (int i = 0; i < root.length; i++) {
        root[i] = (float) (spec.contrast() * Math.sqrt(power[i] * root.length / sum));
      }
      amplitude = manager.create(root, new Shape(height, width));
    }

    NDArray apply(NDArray coefficients) {
      return transform.inverse(coefficients.mul(amplitude));
    }

    NDArray adjoint(NDArray x) {
      return transform.forward(x).mul(amplitude);
    }
  }
}
