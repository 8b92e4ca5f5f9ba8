package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;

/** The baselines against closed forms and slow loops in double. */
class BaselineTest {
  private static double[] solve(
      InverseSolver solver, DenseOperator operator, double[] y, double internalSigma) {
    Shape shape = new Shape(1).addAll(operator.measurementShape());
    Problem problem =
        new Problem(
            operator,
            new HostTensor(shape, Matrices.floats(y)),
            new Noise.Gaussian(internalSigma / 2),
            0);
    try (NDManager manager = NDManager.newBaseManager()) {
      float[] x = solver.solve(problem, null, SolveContext.of(manager, 0)).toFloatArray();
      double[] result = new double[x.length];
      for (int i = 0; i < x.length; i++) {
        result[i] = x[i];
      }
      return result;
    }
  }

  private static DenseOperator dense(Shape image, Shape measured, double[][] a) {
    return new DenseOperator(image, measured, a);
  }

  private static double[][] random(SplittableRandom random, int rows, int columns) {
    double[][] a = new double[rows][];
    for (int i = 0; i < rows; i++) {
      a[i] = Matrices.normal(random, columns);
    }
    return a;
  }

  /** The normal equations with the prior's covariance written out entry by entry. */
  @Test
  void wienerIsTheLinearEstimateOfItsPrior() {
    int height = 3;
    int width = 5;
    int size = height * width;
    SplittableRandom random = new SplittableRandom(1);
    double[][] a = random(random, 7, size);
    double[] y = Matrices.normal(random, 7);
    double sigma = 0.3;
    Wiener.Spec spec = new Wiener.Spec(1.5, 0.7, 200, false);

    double[][] covariance = new double[size][size];
    double[][] basis = new double[size][size];
    double[] power = new double[size];
    double sum = 0;
    for (int k = 0; k < size; k++) {
      double v = k / width / (2.0 * height);
      double h = k % width / (2.0 * width);
      power[k] = Math.pow(Math.pow(0.25 / width, 2) + v * v + h * h, -0.75);
      sum += power[k];
      for (int i = 0; i < size; i++) {
        basis[k][i] = cosine(k / width, i / width, height) * cosine(k % width, i % width, width);
      }
    }
    for (int k = 0; k < size; k++) {
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          covariance[i][j] += 0.49 * size / sum * power[k] * basis[k][i] * basis[k][j];
        }
      }
    }
    double[][] at = Matrices.transpose(a);
    double[][] gram = Matrices.times(a, Matrices.times(covariance, at));
    double[][] noisy = Matrices.plus(gram, sigma * sigma, Matrices.diagonal(7, i -> 1));
    double[] expected =
        Matrices.times(covariance, Matrices.times(at, Matrices.times(Matrices.inverse(noisy), y)));
    double trace = 0;
    for (int i = 0; i < size; i++) {
      trace += covariance[i][i];
    }
    assertEquals(0.49, trace / size, 1e-12, "the contrast");

    DenseOperator operator = dense(new Shape(1, height, width), new Shape(7), a);
    assertArrayEquals(expected, solve(new Wiener(spec), operator, y, sigma), 2e-3);
    double[][] gain = Matrices.times(covariance, Matrices.times(at, Matrices.inverse(noisy)));
    double[][] posterior =
        Matrices.plus(covariance, -1, Matrices.times(gain, Matrices.times(a, covariance)));
    assertDrawsFrom(expected, posterior, operator, y, sigma);
  }

  /** Mean and covariance of many draws, to four Monte-Carlo errors. */
  private static void assertDrawsFrom(
      double[] mean, double[][] covariance, DenseOperator operator, double[] y, double sigma) {
    int n = 3000;
    Problem problem =
        new Problem(
            operator,
            new HostTensor(new Shape(1, 7), Matrices.floats(y)),
            new Noise.Gaussian(sigma / 2),
            0);
    Wiener draw = new Wiener(new Wiener.Spec(1.5, 0.7, 200, true));
    double[][] errors = new double[n][mean.length];
    for (int k = 0; k < n; k++) {
      try (NDManager manager = NDManager.newBaseManager()) {
        float[] x = draw.solve(problem, null, SolveContext.of(manager, k)).toFloatArray();
        for (int i = 0; i < x.length; i++) {
          errors[k][i] = x[i] - mean[i];
        }
      }
    }
    for (int i = 0; i < mean.length; i++) {
      double sum = 0;
      for (double[] e : errors) {
        sum += e[i];
      }
      assertEquals(0, sum / n, 4 * Math.sqrt(covariance[i][i] / n) + 1e-3);
      for (int j = 0; j <= i; j++) {
        double product = 0;
        for (double[] e : errors) {
          product += e[i] * e[j];
        }
        double scale = Math.sqrt(covariance[i][i] * covariance[j][j]);
        assertEquals(covariance[i][j], product / n, 4 * scale * Math.sqrt(2.0 / n));
      }
    }
  }

  private static double cosine(int k, int i, int n) {
    return Math.sqrt((k == 0 ? 1.0 : 2.0) / n) * Math.cos(Math.PI * (i + 0.5) * k / n);
  }

  /**
   * Denoising a step in one dimension is known: the plateaus of n and m pixels approach each other
   * by w/n and w/m (Strong and Chan, Inverse Problems 2003).
   */
  @Test
  void totalVariationShrinksAStepByWeightOverLength() {
    double[] y = {-0.5, -0.5, -0.5, 0.7, 0.7, 0.7, 0.7, 0.7};
    double weight = 0.5 * 0.2;
    for (boolean vertical : new boolean[] {false, true}) {
      Shape shape = vertical ? new Shape(1, 8, 1) : new Shape(1, 1, 8);
      DenseOperator identity = dense(shape, shape, Matrices.diagonal(8, i -> 1));
      double[] x = solve(new TotalVariation(new TotalVariation.Spec(0.5, 2000)), identity, y, 0.2);
      for (int i = 0; i < 8; i++) {
        double expected = i < 3 ? y[i] + weight / 3 : y[i] - weight / 5;
        assertEquals(expected, x[i], 2e-3);
      }
    }
  }

  /**
   * Colours couple: equal steps in three channels cost sqrt(3) steps, so each moves by w/(sqrt(3)
   * n).
   */
  @Test
  void totalVariationCouplesColours() {
    double[] y = new double[24];
    for (int i = 0; i < 24; i++) {
      y[i] = i % 8 < 4 ? -0.5 : 0.5;
    }
    Shape shape = new Shape(3, 1, 8);
    DenseOperator identity = dense(shape, shape, Matrices.diagonal(24, i -> 1));
    double[] x = solve(new TotalVariation(new TotalVariation.Spec(0.5, 2000)), identity, y, 0.2);
    for (int i = 0; i < 24; i++) {
      assertEquals(Math.signum(y[i]) * (0.5 - 0.1 / Math.sqrt(3) / 4), x[i], 2e-3);
    }
  }

  @Test
  void divergenceIsMinusTheAdjointOfTheGradient() {
    try (NDManager manager = NDManager.newBaseManager()) {
      SplittableRandom random = new SplittableRandom(3);
      Shape shape = new Shape(1, 2, 5, 3);
      NDArray x = manager.create(Matrices.floats(Matrices.normal(random, 30)), shape);
      NDArray p = manager.create(Matrices.floats(Matrices.normal(random, 30)), shape);
      for (int axis = 2; axis < 4; axis++) {
        float left = TotalVariation.difference(x, axis).mul(p).sum().getFloat();
        float right = x.mul(TotalVariation.divergence(p, axis)).sum().getFloat();
        assertEquals(-right, left, 1e-5);
      }
    }
  }

  @Test
  void bicubicIsKeysConvolution() {
    assertInterpolates(Interpolation.BICUBIC, BaselineTest::keys);
  }

  @Test
  void lanczosIsAWindowedSinc() {
    assertInterpolates(Interpolation.LANCZOS, BaselineTest::lanczos);
  }

  private static InverseSolver interpolation(SolverMethod<Interpolation.Spec> method) {
    return method.create().apply(method.defaults());
  }

  private static void assertInterpolates(
      SolverMethod<Interpolation.Spec> method, DoubleUnaryOperator kernel) {
    SplittableRandom random = new SplittableRandom(5);
    int factor = 3;
    int height = 11;
    int width = 8;
    int h = 4;
    int w = 3;
    double[] y = Matrices.normal(random, h * w);
    DenseOperator operator =
        dense(
            new Shape(1, height, width), new Shape(1, h, w), random(random, h * w, height * width));
    double[] x = solve(interpolation(method), operator, y, 0.1);
    for (int i = 0; i < height; i++) {
      for (int j = 0; j < width; j++) {
        double v = (i + 0.5) / factor - 0.5;
        double u = (j + 0.5) / factor - 0.5;
        double sum = 0;
        double weights = 0;
        for (int k = -4; k < h + 4; k++) {
          for (int l = -4; l < w + 4; l++) {
            double weight = kernel.applyAsDouble(v - k) * kernel.applyAsDouble(u - l);
            sum += weight * y[clamp(k, h) * w + clamp(l, w)];
            weights += weight;
          }
        }
        assertEquals(sum / weights, x[i * width + j], 1e-5);
      }
    }
  }

  private static double lanczos(double t) {
    double a = Math.PI * t;
    if (a == 0) {
      return 1;
    }
    return Math.abs(t) < 3 ? 3 * Math.sin(a) * Math.sin(a / 3) / (a * a) : 0;
  }

  private static int clamp(int k, int n) {
    return Math.max(0, Math.min(n - 1, k));
  }

  /** Keys 1981, equation 15. */
  private static double keys(double s) {
    double t = Math.abs(s);
    if (t < 1) {
      return 1.5 * t * t * t - 2.5 * t * t + 1;
    }
    return t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0;
  }

  @Test
  void bicubicLeavesEqualSizesAndRefusesOthers() {
    Shape shape = new Shape(1, 4, 4);
    double[] y = Matrices.normal(new SplittableRandom(6), 16);
    DenseOperator identity = dense(shape, shape, Matrices.diagonal(16, i -> 1));
    assertArrayEquals(y, solve(interpolation(Interpolation.BICUBIC), identity, y, 0.1), 1e-6);
    DenseOperator flat = dense(shape, new Shape(16), Matrices.diagonal(16, i -> 1));
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> solve(interpolation(Interpolation.BICUBIC), flat, y, 0.1));
    assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
  }
}
