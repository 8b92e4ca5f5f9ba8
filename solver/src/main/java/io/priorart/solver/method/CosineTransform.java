package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import io.priorart.solver.TensorScope;

/**
 * The orthonormal two-dimensional DCT-II of {@code [N, C, H, W]}, each plane alone: coefficient
 * {@code (i, j)} has the frequency {@code pi (i/H, j/W)} in radians a pixel. By fast Fourier
 * transforms (Makhoul, IEEE TASSP 28, 1980): with {@code v = x_0, x_2, x_4, ..., x_5, x_3, x_1} and
 * {@code V} its Fourier transform, {@code X_k = Re(exp(-i pi k / 2n) V_k)} times the norm.
 */
final class CosineTransform {
  private final Axis rows;
  private final Axis columns;

  /**
   * @param manager owns the tables
   */
  CosineTransform(NDManager manager, int height, int width) {
    rows = new Axis(manager, height);
    columns = new Axis(manager, width);
  }

  NDArray forward(NDArray x) {
    return rows.forward(columns.forward(x).swapAxes(2, 3)).swapAxes(2, 3);
  }

  NDArray inverse(NDArray spectrum) {
    return rows.inverse(columns.inverse(spectrum).swapAxes(2, 3)).swapAxes(2, 3);
  }

  /** Along the last axis. */
  private static final class Axis {
    private static final NDIndex REAL = new NDIndex("..., 0");
    private static final NDIndex IMAGINARY = new NDIndex("..., 1");

    private final int n;
    private final NDArray order;
    private final NDArray orderBack;
    private final NDArray mirror;
    // cos and sin of pi k / 2n, times the norm (forward) or over it (back)
    private final NDArray cosine;
    private final NDArray sine;
    private final NDArray cosineBack;
    private final NDArray sineBack;
    // of the mirrored spectrum, whose first entry C_n is 0
    private final NDArray cosineMirror;

    Axis(NDManager manager, int n) {
      this.n = n;
      long[] there = new long[n];
      long[] back = new long[n];
      long[] reversed = new long[n];
      float[][] tables = new float[5][n];
      for (int i = 0; i < n; i++) {
        int from = 2 * i < n ? 2 * i : 2 * (n - i) - 1;
        there[i] = from;
        back[from] = i;
        reversed[i] = (n - i) % n;
        double norm = Math.sqrt((i == 0 ? 1.0 : 2.0) / n);
        double angle = Math.PI * i / (2.0 * n);
        tables[0][i] = (float) (Math.cos(angle) * norm);
        tables[1][i] = (float) (Math.sin(angle) * norm);
        tables[2][i] = (float) (Math.cos(angle) / norm);
        tables[3][i] = (float) (Math.sin(angle) / norm);
        tables[4][i] = i == 0 ? 0 : tables[2][i];
      }
      order = manager.create(there);
      orderBack = manager.create(back);
      mirror = manager.create(reversed);
      cosine = manager.create(tables[0]);
      sine = manager.create(tables[1]);
      cosineBack = manager.create(tables[2]);
      sineBack = manager.create(tables[3]);
      cosineMirror = manager.create(tables[4]);
    }

    private static NDArray pick(NDArray x, NDArray indices) {
      return x.get(new NDIndex("..., {}", indices));
    }

    NDArray forward(NDArray x) {
      return TensorScope.only(
          () -> {
            NDArray v = pick(x, order).fft(n, 3).real();
            return v.get(REAL).mul(cosine).add(v.get(IMAGINARY).mul(sine));
          });
    }

    /** {@code V_k = exp(i pi k / 2n) (C_k - i C_(n-k))}, {@code C} the spectrum over its norm. */
    NDArray inverse(NDArray spectrum) {
      return TensorScope.only(
          () -> {
            NDArray mirrored = pick(spectrum, mirror);
            NDArray real = spectrum.mul(cosineBack).add(mirrored.mul(sineBack));
            NDArray imaginary = spectrum.mul(sineBack).sub(mirrored.mul(cosineMirror));
            NDArray v = real.stack(imaginary, -1).complex().ifft(n, 3).real().get(REAL);
            return pick(v, orderBack);
          });
    }
  }
}
