package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;

/**
 * One axis of a separable operator: a matrix {@code M = U diag(s) V^T}, {@code rows <= columns},
 * kept on the host, with its decomposition made in double precision when it is first needed.
 * Thread-safe.
 */
final class Factor {
  // V = M^T U / s loses digits as s falls; what is below is nothing in float32.
  private static final double NEGLIGIBLE = 1e-7;

  private final double[][] matrix;
  private final float[] values;
  private Decomposition decomposition;

  /**
   * A matrix's singular values and vectors.
   *
   * @param singular s, {@code rows} values, unsorted; negligible ones are 0
   * @param left U, {@code [rows, rows]}, vectors in columns
   * @param right V, {@code [columns, rows]}, vectors in columns; 0 where s is
   */
  record Decomposition(double[] singular, float[] left, float[] right) {}

  /**
   * @param matrix rows of equal length, as many as columns or fewer
   */
  Factor(double[][] matrix) {
    this.matrix = matrix;
    values = new float[rows() * columns()];
    for (int i = 0; i < rows(); i++) {
      for (int j = 0; j < columns(); j++) {
        values[i * columns() + j] = (float) matrix[i][j];
      }
    }
  }

  int rows() {
    return matrix.length;
  }

  int columns() {
    return matrix[0].length;
  }

  NDArray matrix(NDManager manager) {
    return manager.create(values, new Shape(rows(), columns()));
  }

  NDArray left(NDManager manager) {
    return manager.create(decomposition().left, new Shape(rows(), rows()));
  }

  NDArray right(NDManager manager) {
    return manager.create(decomposition().right, new Shape(columns(), rows()));
  }

  double[] singular() {
    return decomposition().singular;
  }

  double norm() {
    double norm = 0;
    for (double s : singular()) {
      norm = Math.max(norm, s);
    }
    return norm;
  }

  private synchronized Decomposition decomposition() {
    if (decomposition == null) {
      decomposition = decompose();
    }
    return decomposition;
  }

  /** {@code M M^T = U diag(s^2) U^T}, then {@code V = M^T U diag(1/s)}. */
  private Decomposition decompose() {
    int m = rows();
    int n = columns();
    int[][] support = support();
    DMatrixRMaj gram = new DMatrixRMaj(m, m);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = 0;
        for (int k = Math.max(support[i][0], support[j][0]);
            k < Math.min(support[i][1], support[j][1]);
            k++) {
          sum += matrix[i][k] * matrix[j][k];
        }
        gram.set(i, j, sum);
        gram.set(j, i, sum);
      }
    }
    EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(m, true, true);
    if (!eigen.decompose(gram)) {
      throw new PriorArtException(
          ErrorKind.INTERNAL, "eigen-decomposition of an operator did not converge");
    }
    double[] singular = new double[m];
    double largest = 0;
    for (int k = 0; k < m; k++) {
      singular[k] = Math.sqrt(Math.max(0, eigen.getEigenvalue(k).getReal()));
      largest = Math.max(largest, singular[k]);
    }
    float[] left = new float[m * m];
    float[] right = new float[n * m];
    for (int k = 0; k < m; k++) {
      double[] u = eigen.getEigenVector(k).data;
      for (int i = 0; i < m; i++) {
        left[i * m + k] = (float) u[i];
      }
      if (singular[k] <= NEGLIGIBLE * largest) {
        singular[k] = 0;
        continue;
      }
      double[] v = new double[n];
      for (int i = 0; i < m; i++) {
        double weight = u[i] / singular[k];
        for (int j = support[i][0]; j < support[i][1]; j++) {
          v[j] += matrix[i][j] * weight;
        }
      }
      for (int j = 0; j < n; j++) {
        right[j * m + k] = (float) v[j];
      }
    }
    return new Decomposition(singular, left, right);
  }

  /** First and one past the last non-zero column of each row: these matrices are banded. */
  private int[][] support() {
    int[][] support = new int[rows()][2];
    for (int i = 0; i < rows(); i++) {
      int from = 0;
      int to = columns();
      while (from < to && matrix[i][from] == 0) {
        from++;
      }
      while (to > from && matrix[i][to - 1] == 0) {
        to--;
      }
      support[i][0] = from;
      support[i][1] = to;
    }
    return support;
  }
}
