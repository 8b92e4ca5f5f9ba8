package io.priorart.models;

import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.SingularValueDecomposition_F64;

/**
 * Soft-weighted regularisation of text embeddings: with the suppressed words' tokens and the end
 * tokens, which repeat the prompt's meaning, as the rows of {@code X = U S V^T}, {@code s <- s
 * exp(-s)} weakens what is strong in all of them, which is what they mean (Li et al., ICLR 2024,
 * arXiv 2402.05375, equation 2 with alpha = beta = 1).
 */
final class SoftWeighting {
  private SoftWeighting() {}

  /** The rows after it; the argument stays. */
  static float[][] apply(float[][] rows) {
    int m = rows.length;
    int n = rows[0].length;
    DMatrixRMaj x = new DMatrixRMaj(m, n);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        x.unsafe_set(i, j, rows[i][j]);
      }
    }
    SingularValueDecomposition_F64<DMatrixRMaj> svd =
        DecompositionFactory_DDRM.svd(m, n, true, true, true);
    if (!svd.decompose(x)) {
      throw new IllegalStateException("no singular values of a text embedding");
    }
    double[] values = svd.getSingularValues();
    DMatrixRMaj u = svd.getU(null, false);
    DMatrixRMaj v = svd.getV(null, false);
    float[][] weighted = new float[m][n];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int k = 0; k < svd.numberOfSingularValues(); k++) {
          sum += u.unsafe_get(i, k) * values[k] * Math.exp(-values[k]) * v.unsafe_get(j, k);
        }
        weighted[i][j] = (float) sum;
      }
    }
    return weighted;
  }
}
