package io.priorart.solver.method;

import static io.priorart.solver.method.Matrices.cholesky;
import static io.priorart.solver.method.Matrices.diagonal;
import static io.priorart.solver.method.Matrices.dot;
import static io.priorart.solver.method.Matrices.inverse;
import static io.priorart.solver.method.Matrices.normal;
import static io.priorart.solver.method.Matrices.orthogonal;
import static io.priorart.solver.method.Matrices.plus;
import static io.priorart.solver.method.Matrices.times;
import static io.priorart.solver.method.Matrices.transpose;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.Problem;
import io.priorart.solver.SolverMethod;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * A linear inverse problem whose posterior is known: latents {@code z ~ N(mean, S)} of dimension 16
 * with eigenvalues {@code 1/k}, pictures {@code x = B z} with singular values of {@code B} from 0.5
 * to 1.5, eight measurements {@code y = A x + n} with a random Gaussian {@code A} and noise 0.1
 * (internal scale). Everything in double.
 */
final class GaussianOracle {
  static final int D = 16;
  static final int M = 8;
  static final double SIGMA = 0.1;
  static final Shape MEASURED = new Shape(1, 2, 4);

  final double[] mean;
  final double[][] covariance;
  final double[][] codec;
  final double[][] inverseCodec;
  final double[][] a;
  final double[] y;
  private final double[] posteriorMean;
  private final double[][] whitening;

  GaussianOracle(long seed) {
    this(seed, false);
  }

  /**
   * @param masked whether {@code A} knows eight pixels and nothing of the others
   */
  GaussianOracle(long seed, boolean masked) {
    SplittableRandom random = new SplittableRandom(seed);
    double[][] q = orthogonal(random, D);
    covariance = times(transpose(q), times(diagonal(D, i -> 1.0 / (i + 1)), q));
    mean = Matrices.scaled(normal(random, D), 0.3);
    double[][] left = orthogonal(random, D);
    codec = times(left, times(diagonal(D, i -> 0.5 + i / 15.0), orthogonal(random, D)));
    inverseCodec = inverse(codec);
    a = new double[M][];
    for (int i = 0; i < M; i++) {
      int pixel = (5 * i + (int) seed) % D;
      a[i] =
          masked
              ? diagonal(D, k -> k == pixel ? 1 : 0)[pixel]
              : Matrices.scaled(normal(random, D), 1 / Math.sqrt(D));
    }
    double[] truth = times(codec, priorLatent(random));
    y = plus(times(a, truth), SIGMA, normal(random, M));

    double[][] prior = inverse(times(codec, times(covariance, transpose(codec))));
    double[][] precision = plus(prior, 1 / (SIGMA * SIGMA), times(transpose(a), a));
    double[] information =
        plus(times(prior, times(codec, mean)), 1 / (SIGMA * SIGMA), times(transpose(a), y));
    posteriorMean = times(inverse(precision), information);
    whitening = transpose(cholesky(precision));
  }

  double[] priorLatent(SplittableRandom random) {
    return plus(mean, 1, times(cholesky(covariance), normal(random, D)));
  }

  double[] posteriorSample(SplittableRandom random) {
    return plus(posteriorMean, 1, times(inverse(whitening), normal(random, D)));
  }

  /** The model that a method needs: pixel-space or latent; {@code null} for none. */
  GaussianLatentModel model(NDManager manager, SolverMethod<?> method) {
    return method.needs().contains(SolverMethod.Need.MODEL)
        ? model(manager, method.needs().contains(SolverMethod.Need.PIXEL_SPACE))
        : null;
  }

  GaussianLatentModel model(NDManager manager, boolean pixels) {
    return new GaussianLatentModel(manager, mean, covariance, codec, pixels);
  }

  GaussianLatentModel model(NDManager manager) {
    return new GaussianLatentModel(manager, mean, covariance, codec);
  }

  DenseOperator operator() {
    return new DenseOperator(GaussianLatentModel.IMAGE, MEASURED, a);
  }

  Problem problem() {
    return problem(operator());
  }

  Problem problem(DenseOperator operator) {
    HostTensor measurement = new HostTensor(new Shape(1).addAll(MEASURED), Matrices.floats(y));
    return new Problem(operator, measurement, new Noise.Gaussian(SIGMA / 2), 0);
  }

  /**
   * The problem of a masked oracle, missing pixels 0.
   *
   * @param count how many of its measurements are in it, at most {@link #M}
   */
  Problem maskedProblem(int count) {
    float[] known = new float[D];
    float[] measured = new float[D];
    for (int i = 0; i < count; i++) {
      for (int p = 0; p < D; p++) {
        known[p] += (float) a[i][p];
        measured[p] += (float) (a[i][p] * y[i]);
      }
    }
    return new Problem(
        new MaskedPixels(known),
        new HostTensor(new Shape(1).addAll(GaussianLatentModel.IMAGE), measured),
        new Noise.Gaussian(SIGMA / 2),
        0);
  }

  /** {@code [N, 1, 4, 4]} as samples. */
  static double[][] samples(NDArray x) {
    float[] values = x.toFloatArray();
    double[][] samples = new double[values.length / D][D];
    for (int i = 0; i < values.length; i++) {
      samples[i / D][i % D] = values[i];
    }
    return samples;
  }

  /**
   * What a set of samples looks like to the true posterior, in coordinates where it is standard
   * normal.
   *
   * @param bias length of the mean's error over {@code sqrt(16)}; 0 is right
   * @param biasError its Monte-Carlo error
   * @param spread root mean square deviation from the samples' own mean over {@code sqrt(16)}; 1 is
   *     right
   * @param misfit mean of {@code ||y - A x||^2 / (8 sigma^2)}; the exact posterior's is about 0.9
   */
  record Statistics(
      double bias,
      double biasError,
      double spread,
      double spreadError,
      double misfit,
      double misfitError) {

    /**
     * In what these samples are worse than {@code reference} by more than three Monte-Carlo errors:
     * empty when they reach it.
     */
    List<String> worseThan(Statistics reference) {
      List<String> complaints = new ArrayList<>();
      if (bias > reference.bias + 3 * Math.hypot(biasError, reference.biasError)) {
        complaints.add("bias " + bias + ", reference " + reference.bias);
      }
      differs("spread", spread, spreadError, reference.spread, reference.spreadError, complaints);
      differs("misfit", misfit, misfitError, reference.misfit, reference.misfitError, complaints);
      return complaints;
    }

    private static void differs(
        String what, double v, double error, double w, double wError, List<String> complaints) {
      // a residual of zero is one of float32
      if (!(Math.abs(v - w) <= 3 * Math.hypot(error, wError) + 1e-6)) {
        complaints.add(what + " " + v + ", reference " + w);
      }
    }
  }

  Statistics statistics(double[][] samples) {
    int n = samples.length;
    double[] centre = new double[D];
    for (double[] x : samples) {
      centre = plus(centre, 1.0 / n, x);
    }
    double[] error = times(whitening, plus(centre, -1, posteriorMean));
    double[] deviations = new double[n];
    double[] misfits = new double[n];
    for (int i = 0; i < n; i++) {
      double[] white = times(whitening, plus(samples[i], -1, centre));
      deviations[i] = dot(white, white) / D;
      double[] residual = plus(y, -1, times(a, samples[i]));
      misfits[i] = dot(residual, residual) / (M * SIGMA * SIGMA);
    }
    double spread = Math.sqrt(average(deviations));
    return new Statistics(
        Math.sqrt(dot(error, error) / D),
        spread / Math.sqrt(n),
        spread,
        // d sqrt(v) = dv / (2 sqrt(v))
        spread == 0 ? 0 : standardError(deviations) / (2 * spread),
        average(misfits),
        standardError(misfits));
  }

  static double average(double[] v) {
    double s = 0;
    for (double x : v) {
      s += x;
    }
    return s / v.length;
  }

  private static double standardError(double[] v) {
    double mean = average(v);
    double s = 0;
    for (double x : v) {
      s += (x - mean) * (x - mean);
    }
    return Math.sqrt(s / v.length / Math.max(1, v.length - 1));
  }
}
