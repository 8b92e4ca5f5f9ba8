package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;

/**
 * A linear operator without a closed form: {@link ConjugateGradient} with its default limits does
 * what must be solved, Lanczos' iteration finds the norm. An interrupted thread leaves with {@link
 * ErrorKind#CANCELLED}.
 */
abstract class IterativeOperator implements LinearOperator {
  private static final int MAX_LANCZOS_STEPS = 100;
  // Relative, on the squared norm; the contract asks for three digits.
  private static final double LANCZOS_TOLERANCE = 1e-6;

  private double norm = Double.NaN;

  /**
   * {@inheritDoc}
   *
   * <p>Without singular vectors there is nothing to cut, so small singular values are damped
   * instead: {@code (A^T A + d^2 I)^-1 A^T y} with {@code d = rcond ||A||}, Tikhonov's inverse.
   * Like the cut it leaves {@code ||A A+ A - A|| <= rcond ||A||}. Cuts below 1e-3 count as 1e-3.
   */
  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    Tensors.require("y", y, measurementShape());
    Tensors.requireRcond(rcond);
    double damping = Math.max(rcond, 1e-3) * norm();
    if (damping == 0) {
      return TensorScope.only(() -> zeros(y));
    }
    return TensorScope.only(() -> proximal(zeros(y), y, 1 / (damping * damping)));
  }

  @Override
  public final boolean damps() {
    return true;
  }

  private NDArray zeros(NDArray y) {
    return y.getManager().zeros(new Shape(y.getShape().get(0)).addAll(imageShape()));
  }

  /**
   * {@inheritDoc}
   *
   * <p>By conjugate gradients from {@code x}, at most about {@code 4 sqrt(gamma) ||A||} iterations.
   * The inverse of the periodic blur as a preconditioner was measured and took more of them.
   */
  @Override
  public NDArray proximal(NDArray x, NDArray y, double gamma) {
    Tensors.requireProximal(x, imageShape(), y, measurementShape(), gamma);
    // Both sides divided by 1 + gamma, so that no gamma overflows float32.
    float prior = (float) (1 / (1 + gamma));
    float data = (float) (gamma / (1 + gamma));
    return TensorScope.only(
        () ->
            ConjugateGradient.DEFAULT
                .solve(
                    v -> v.mul(prior).add(adjoint(apply(v)).mul(data)),
                    x.mul(prior).add(adjoint(y).mul(data)),
                    x,
                    IterativeOperator::checkInterrupt)
                .value());
  }

  /** {@inheritDoc} By Lanczos' iteration on {@code A^T A} from fixed noise; computed once. */
  @Override
  public final synchronized double norm() {
    if (Double.isNaN(norm)) {
      norm = lanczos();
    }
    return norm;
  }

  /**
   * The root of the largest eigenvalue of the tridiagonal matrix that Lanczos' recursion builds (G.
   * Golub and C. Van Loan, Matrix Computations, 10.1). Lost orthogonality only repeats eigenvalues;
   * it does not harm the largest. Power iteration would need hundreds of steps more: the singular
   * values of a blur lie close together at the top.
   */
  private double lanczos() {
    double[] diagonal = new double[MAX_LANCZOS_STEPS];
    double[] beside = new double[MAX_LANCZOS_STEPS];
    try (NDManager manager = NDManager.newBaseManager();
        TensorScope all = new TensorScope()) {
      NDArray v = new NoiseSource(0).normal(manager, new Shape(1).addAll(imageShape()));
      v.muli(1 / length(v));
      NDArray last = v.zerosLike();
      double estimate = 0;
      for (int j = 0; j < MAX_LANCZOS_STEPS; j++) {
        checkInterrupt();
        try (TensorScope step = new TensorScope()) {
          NDArray w = adjoint(apply(v));
          diagonal[j] = w.mul(v).sum().getFloat();
          w.subi(v.mul((float) diagonal[j]));
          if (j > 0) {
            w.subi(last.mul((float) beside[j - 1]));
          }
          beside[j] = length(w);
          v.copyTo(last);
          if (beside[j] > 0) {
            w.div((float) beside[j]).copyTo(v);
          }
        }
        double previous = estimate;
        estimate = largestEigenvalue(diagonal, beside, j + 1);
        if (beside[j] <= LANCZOS_TOLERANCE * estimate
            || j > 8 && estimate - previous <= LANCZOS_TOLERANCE * estimate) {
          break;
        }
      }
      return Math.sqrt(Math.max(0, estimate));
    }
  }

  private static double largestEigenvalue(double[] diagonal, double[] beside, int size) {
    DMatrixRMaj matrix = new DMatrixRMaj(size, size);
    for (int i = 0; i < size; i++) {
      matrix.set(i, i, diagonal[i]);
      if (i > 0) {
        matrix.set(i, i - 1, beside[i - 1]);
        matrix.set(i - 1, i, beside[i - 1]);
      }
    }
    EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(size, false, true);
    if (!eigen.decompose(matrix)) {
      throw new PriorArtException(
          ErrorKind.INTERNAL, "the norm of an operator was not found; are its values finite?");
    }
    double largest = 0;
    for (int k = 0; k < size; k++) {
      largest = Math.max(largest, eigen.getEigenvalue(k).getReal());
    }
    return largest;
  }

  private static double length(NDArray v) {
    try (TensorScope scope = new TensorScope()) {
      return Math.sqrt(v.square().sum().getFloat());
    }
  }

  private static void checkInterrupt() {
    if (Thread.currentThread().isInterrupted()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "interrupted in a data step");
    }
  }
}
