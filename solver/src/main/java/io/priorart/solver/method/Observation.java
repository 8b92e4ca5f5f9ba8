package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.TensorScope;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * A problem's measurement on the device, repeated for a batch of independent chains, with the
 * reductions that every solver needs. All are per sample, so a chain does not see its neighbours.
 * Entries that carry no observation never count.
 */
@SuppressWarnings("try") // a TensorScope works by being open
final class Observation {
  /** Probes of {@link #meanSquaredRow}; exact at no more entries than this. */
  private static final int PROBES = 8;

  /** Of {@link #traces}: a percent or two for photographs' sizes. */
  private static final int MORE_PROBES = 32;

  /** Of {@link #squaredNorm}; what is left out is below a percent for the operators here. */
  private static final int POWER_ITERATIONS = 60;

  private final ForwardOperator operator;
  private final NDArray measurement;
  private final NDArray observed;
  private final long count;
  private final double sigma;

  /**
   * @param manager owns the measurement's copy
   * @param chains size of the batch, at least 1
   */
  Observation(Problem problem, NDManager manager, int chains) {
    operator = problem.operator();
    NDArray one = problem.measurement().to(manager);
    measurement = chains == 1 ? one : one.repeat(0, chains);
    HostTensor mask = operator.observed();
    observed = mask == null ? null : mask.to(manager).expandDims(0);
    count = operator.observedCount();
    if (count < 1) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "the measurement has no observed entry");
    }
    sigma = problem.effectiveSigma();
  }

  private Observation(Observation batch, int index) {
    operator = batch.operator;
    measurement = batch.measurement.get(index + ":" + (index + 1));
    observed = batch.observed;
    count = batch.count;
    sigma = batch.sigma;
  }

  private Observation sample(int index) {
    return new Observation(this, index);
  }

  /** {@code [N, measurementShape...]}. */
  NDArray measurement() {
    return measurement;
  }

  /** {@link Problem#effectiveSigma()}. */
  double sigma() {
    return sigma;
  }

  /** Observed entries of one measurement. */
  long count() {
    return count;
  }

  /** {@code y - A(x)}, zero where nothing was observed. */
  NDArray residual(NDArray x) {
    return residualOf(operator.apply(x));
  }

  /** {@code y - prediction}, zero where nothing was observed. */
  NDArray residualOf(NDArray prediction) {
    return seen(measurement.sub(prediction));
  }

  /** Mean over the observed entries of {@code residual^2}, one value a sample. */
  double[] meanSquares(NDArray residual) {
    double[] sums = sumsOfSquares(residual);
    for (int i = 0; i < sums.length; i++) {
      sums[i] /= count;
    }
    return sums;
  }

  /** Root of the mean of {@link #meanSquares} over all samples; NaN as soon as one value is. */
  double rms(NDArray residual) {
    double sum = 0;
    double[] squares = meanSquares(residual);
    for (double s : squares) {
      sum += s;
    }
    return Math.sqrt(sum / squares.length);
  }

  /** {@code ||a||^2} of each sample. */
  static double[] sumsOfSquares(NDArray a) {
    long n = a.getShape().get(0);
    float[] sums = a.square().reshape(n, -1).sum(new int[] {1}).toFloatArray();
    double[] result = new double[sums.length];
    for (int i = 0; i < sums.length; i++) {
      result[i] = sums[i];
    }
    return result;
  }

  /** {@code <a, b>} of each sample. */
  static double[] dots(NDArray a, NDArray b) {
    long n = a.getShape().get(0);
    float[] sums = a.mul(b).reshape(n, -1).sum(new int[] {1}).toFloatArray();
    double[] result = new double[sums.length];
    for (int i = 0; i < sums.length; i++) {
      result[i] = sums[i];
    }
    return result;
  }

  /** {@code max(0, ||residual|| - sigma sqrt(m))}, one value a sample. */
  double[] excess(NDArray residual) {
    double[] excess = sumsOfSquares(residual);
    for (int i = 0; i < excess.length; i++) {
      excess[i] = Math.max(0, Math.sqrt(excess[i]) - sigma * Math.sqrt(count));
    }
    return excess;
  }

  /** {@code 1/||a||} of each sample, 0 where it is zero. */
  static double[] inverseNorms(NDArray a) {
    double[] scale = sumsOfSquares(a);
    for (int i = 0; i < scale.length; i++) {
      // NaN must stay NaN, or a diverged sample would go unnoticed.
      scale[i] = scale[i] == 0 ? 0 : 1 / Math.sqrt(scale[i]);
    }
    return scale;
  }

  /** A measurement-shaped array, zero where nothing was observed. */
  NDArray seen(NDArray measured) {
    return observed == null ? measured : measured.mul(observed);
  }

  /** {@code a} with each sample multiplied by its factor. */
  static NDArray scale(NDArray a, double[] factors) {
    float[] values = new float[factors.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) factors[i];
    }
    long[] shape = new long[a.getShape().dimension()];
    Arrays.fill(shape, 1);
    shape[0] = values.length;
    return a.mul(a.getManager().create(values, new Shape(shape)));
  }

  /** {@link LinearOperator#proximal} with a weight of its own for each sample. */
  NDArray proximal(LinearOperator linear, NDArray x, double[] gammas) {
    if (gammas.length == 1) {
      return linear.proximal(x, measurement, gammas[0]);
    }
    NDList parts = new NDList(gammas.length);
    for (int i = 0; i < gammas.length; i++) {
      String sample = i + ":" + (i + 1);
      parts.add(linear.proximal(x.get(sample), measurement.get(sample), gammas[i]));
    }
    return NDArrays.concat(parts, 0);
  }

  /** {@link LinearOperator#proximal} of each sample, with another measurement. */
  NDArray proximal(LinearOperator linear, NDArray x, NDArray other, double gamma) {
    NDList parts = new NDList();
    for (int i = 0; i < x.getShape().get(0); i++) {
      String sample = i + ":" + (i + 1);
      parts.add(linear.proximal(x.get(sample), other.get(sample), gamma));
    }
    return NDArrays.concat(parts, 0);
  }

  /** Each sample of {@code x} moved to the noise level by {@link FinalDataStep#weight}. */
  NDArray toDiscrepancy(LinearOperator linear, NDArray x) {
    double[] gammas = new double[Math.toIntExact(x.getShape().get(0))];
    for (int i = 0; i < gammas.length; i++) {
      gammas[i] = FinalDataStep.weight(linear, sample(i), x.get(i + ":" + (i + 1)));
    }
    return proximal(linear, x, gammas);
  }

  /**
   * {@code ||A||^2}, the largest eigenvalue of {@code A^T A}, by power iteration from a fixed seed.
   */
  double squaredNorm(LinearOperator linear) {
    try (TensorScope scope = new TensorScope()) {
      SplittableRandom random = new SplittableRandom(0x5eed);
      Shape shape = new Shape(1).addAll(linear.imageShape());
      float[] start = new float[Math.toIntExact(shape.size())];
      for (int i = 0; i < start.length; i++) {
        start[i] = (float) random.nextDouble(-1, 1);
      }
      double[] norm = new double[1];
      TensorScope.iterate(
          measurement.getManager().create(start, shape),
          POWER_ITERATIONS,
          (k, v) -> {
            double length = Math.sqrt(sumsOfSquares(v)[0]);
            if (length == 0) {
              return v;
            }
            NDArray seen = seen(linear.apply(v.div(length)));
            norm[0] = sumsOfSquares(seen)[0];
            return linear.adjoint(seen);
          });
      return norm[0];
    }
  }

  /**
   * {@code tr(A A^T)/count}, the mean squared row of A: how much variance an image error of
   * variance 1 leaves in one observed entry. By Rademacher probes {@code E ||A^T v||^2} (Hutchinson
   * 1989) of a fixed seed; exact for masks and for at most eight entries.
   */
  double meanSquaredRow(LinearOperator linear) {
    return traces(linear, PROBES, false)[0] / count;
  }

  /**
   * {@code tr(A A^T)} and {@code tr((A A^T)^2)}: the number of observed entries for a mask, else by
   * more probes of the kind of {@link #meanSquaredRow}.
   */
  double[] traces(LinearOperator linear) {
    return linear.isMask() ? new double[] {count, count} : traces(linear, MORE_PROBES, true);
  }

  private double[] traces(LinearOperator linear, int most, boolean squared) {
    Shape shape = linear.measurementShape();
    int size = Math.toIntExact(shape.size());
    boolean basis = size <= most;
    int probes = basis ? size : most;
    SplittableRandom random = new SplittableRandom(0x5eed);
    double[] sums = new double[2];
    for (int p = 0; p < probes; p++) {
      float[] v = new float[size];
      for (int i = 0; i < size; i++) {
        v[i] = basis ? (i == p ? 1 : 0) : random.nextBoolean() ? 1 : -1;
      }
      try (TensorScope scope = new TensorScope()) {
        NDArray probe = measurement.getManager().create(v, new Shape(1).addAll(shape));
        NDArray back = linear.adjoint(seen(probe));
        sums[0] += sumsOfSquares(back)[0];
        if (squared) {
          sums[1] += sumsOfSquares(seen(linear.apply(back)))[0];
        }
      }
    }
    if (!basis) {
      sums[0] /= probes;
      sums[1] /= probes;
    }
    return sums;
  }
}
