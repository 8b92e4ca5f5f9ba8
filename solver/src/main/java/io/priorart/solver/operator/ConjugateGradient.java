package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.util.Arrays;
import java.util.function.UnaryOperator;

/**
 * Conjugate gradients for {@code M u = b}, {@code M} symmetric and positive definite (M. Hestenes
 * and E. Stiefel, Methods of conjugate gradients for solving linear systems, J. Res. NBS 49, 1952).
 * The pictures of a batch are separate systems, solved side by side; each stops on its own.
 *
 * @param tolerance stops a picture at {@code ||b - M u|| <= tolerance ||b||}, more than 0
 * @param maxIterations stops all, converged or not; at least 1
 */
public record ConjugateGradient(double tolerance, int maxIterations) {
  /** What float32 can reach on the systems of proximal maps: 1e-5, at most 300 iterations. */
  public static final ConjugateGradient DEFAULT = new ConjugateGradient(1e-5, 300);

  /**
   * @param value u, shaped like b, owned by b's manager
   * @param iterations applications of M but for that to the first guess
   * @param relativeResidual the largest {@code ||b - M u|| / ||b||} of the batch, as the recursion
   *     sees it
   */
  public record Result(NDArray value, int iterations, double relativeResidual) {}

  public ConjugateGradient {
    requireBounds(tolerance, maxIterations);
  }

  static void requireBounds(double tolerance, int maxIterations) {
    if (!(tolerance > 0 && tolerance < 1)) {
      throw PriorArtException.badField("tolerance", "must be between 0 and 1, was " + tolerance);
    }
    if (maxIterations < 1) {
      throw PriorArtException.badField("maxIterations", "must be at least 1, was " + maxIterations);
    }
  }

  /**
   * Solves {@code M u = b}.
   *
   * @param operator {@code v -> M v}, shape-preserving, without side effects on {@code v}
   * @param b {@code [N, ...]} float32
   * @param start first guess, shaped like b; not changed
   * @param checkpoint run before every application of M; may throw, to cancel. {@code
   *     context::checkpoint} in a solver
   * @throws PriorArtException {@link ErrorKind#DIVERGED} on non-finite values
   */
  public Result solve(
      UnaryOperator<NDArray> operator, NDArray b, NDArray start, Runnable checkpoint) {
    return from(start, operator, b, checkpoint);
  }

  /** From zero, which saves the first application of M. */
  public Result solve(UnaryOperator<NDArray> operator, NDArray b, Runnable checkpoint) {
    return from(null, operator, b, checkpoint);
  }

  private Result from(
      NDArray start, UnaryOperator<NDArray> operator, NDArray b, Runnable checkpoint) {
    int[] iterations = new int[1];
    double[] reached = new double[1];
    NDArray value =
        TensorScope.only(
            () -> {
              NDArray u = start == null ? b.zerosLike() : start.duplicate();
              checkpoint.run();
              NDArray r = start == null ? b.duplicate() : b.sub(operator.apply(u));
              NDArray p = r.duplicate();
              double[] scale = dot(b, b);
              double[] squared = dot(r, r);
              while ((reached[0] = relative(squared, scale)) > tolerance
                  && iterations[0] < maxIterations) {
                checkpoint.run();
                try (TensorScope step = new TensorScope()) {
                  NDArray q = operator.apply(p);
                  double[] curvature = dot(p, q);
                  double[] alpha = new double[scale.length];
                  for (int n = 0; n < alpha.length; n++) {
                    // A picture that has converged stands still while the others go on.
                    boolean open = squared[n] > tolerance * tolerance * scale[n];
                    alpha[n] = open && curvature[n] > 0 ? squared[n] / curvature[n] : 0;
                  }
                  u.addi(p.mul(perPicture(alpha, p)));
                  r.subi(q.mul(perPicture(alpha, q)));
                  double[] next = dot(r, r);
                  double[] beta = new double[scale.length];
                  for (int n = 0; n < beta.length; n++) {
                    beta[n] = alpha[n] > 0 ? next[n] / squared[n] : 0;
                  }
                  p.muli(perPicture(beta, p)).addi(r);
                  squared = next;
                }
                iterations[0]++;
              }
              return u;
            });
    return new Result(value, iterations[0], reached[0]);
  }

  /** Of the picture that is worst. */
  static double relative(double[] squared, double[] scale) {
    double worst = 0;
    for (int n = 0; n < scale.length; n++) {
      if (!Double.isFinite(squared[n]) || !Double.isFinite(scale[n])) {
        throw new PriorArtException(
            ErrorKind.DIVERGED, "non-finite values in the linear system of a data step");
      }
      if (squared[n] > 0) {
        worst = Math.max(worst, scale[n] > 0 ? squared[n] / scale[n] : Double.POSITIVE_INFINITY);
      }
    }
    return Math.sqrt(worst);
  }

  /** One inner product for each picture. */
  static double[] dot(NDArray a, NDArray b) {
    int pictures = Math.toIntExact(a.getShape().get(0));
    double[] dots = new double[pictures];
    try (TensorScope scope = new TensorScope()) {
      float[] sums = a.mul(b).reshape(pictures, -1).sum(new int[] {1}).toFloatArray();
      for (int n = 0; n < pictures; n++) {
        dots[n] = sums[n];
      }
    }
    return dots;
  }

  /** A factor for each picture of {@code like}. */
  static NDArray perPicture(double[] factors, NDArray like) {
    float[] values = new float[factors.length];
    for (int n = 0; n < values.length; n++) {
      values[n] = (float) factors[n];
    }
    long[] shape = new long[like.getShape().dimension()];
    Arrays.fill(shape, 1);
    shape[0] = values.length;
    return like.getManager().create(values, new Shape(shape));
  }
}
