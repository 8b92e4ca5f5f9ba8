package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;

/**
 * The orthonormal two-dimensional DCT-II of {@code [N, C, H, W]}, each plane alone: coefficient
 * {@code (i, j)} has the frequency {@code pi (i/H, j/W)} in radians a pixel. By matrix products.
 */
final class CosineTransform {
  private final NDArray rows;
  private final NDArray rowsBack;
  private final NDArray columns;
  private final NDArray columnsBack;

  /**
   * @param manager owns the matrices
   */
  CosineTransform(NDManager manager, int height, int width) {
    rows = cosines(manager, height);
    rowsBack = rows.transpose();
    columnsBack = cosines(manager, width);
    columns = columnsBack.transpose();
  }

  NDArray forward(NDArray x) {
    // matMul broadcasts the matrix over batch and channels
    return rows.matMul(x).matMul(columns);
  }

  NDArray inverse(NDArray spectrum) {
    return rowsBack.matMul(spectrum).matMul(columnsBack);
  }

  /** {@code [frequency, position]}. */
  private static NDArray cosines(NDManager manager, int n) {
    int period = 4 * n;
    double[] cosine = new double[period];
    for (int i = 0; i < period; i++) {
      cosine[i] = Math.cos(2 * Math.PI * i / period);
    }
    float[] values = new float[n * n];
    for (int k = 0; k < n; k++) {
      double norm = Math.sqrt((k == 0 ? 1.0 : 2.0) / n);
      int angle = k;
      for (int i = 0; i < n; i++) {
        values[k * n + i] = (float) (norm * cosine[angle]);
        angle = (angle + 2 * k) % period; // (2 i + 1) k
      }
    }
    return manager.create(values, new Shape(n, n));
  }
}
