package io.priorart.solver.method;

import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;

/**
 * Small dense linear algebra in double, as plain as it can be: what the oracles are computed with.
 */
final class Matrices {
  private Matrices() {}

  static double[][] times(double[][] a, double[][] b) {
    double[][] c = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int k = 0; k < b.length; k++) {
        for (int j = 0; j < b[0].length; j++) {
          c[i][j] += a[i][k] * b[k][j];
        }
      }
    }
    return c;
  }

  static double[] times(double[][] a, double[] v) {
    double[] r = new double[a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < v.length; j++) {
        r[i] += a[i][j] * v[j];
      }
    }
    return r;
  }

  static double[][] transpose(double[][] a) {
    double[][] c = new double[a[0].length][a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[j][i] = a[i][j];
      }
    }
    return c;
  }

  static double[][] diagonal(int n, IntToDoubleFunction value) {
    double[][] c = new double[n][n];
    for (int i = 0; i < n; i++) {
      c[i][i] = value.applyAsDouble(i);
    }
    return c;
  }

  /** {@code a + s b}. */
  static double[][] plus(double[][] a, double s, double[][] b) {
    double[][] c = new double[a.length][a[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[i][j] = a[i][j] + s * b[i][j];
      }
    }
    return c;
  }

  /** {@code a + s b}. */
  static double[] plus(double[] a, double s, double[] b) {
    double[] c = a.clone();
    for (int i = 0; i < a.length; i++) {
      c[i] += s * b[i];
    }
    return c;
  }

  static double[] scaled(double[] a, double s) {
    double[] c = a.clone();
    for (int i = 0; i < a.length; i++) {
      c[i] *= s;
    }
    return c;
  }

  static double dot(double[] a, double[] b) {
    double s = 0;
    for (int i = 0; i < a.length; i++) {
      s += a[i] * b[i];
    }
    return s;
  }

  /** Gauss and Jordan with partial pivoting. */
  static double[][] inverse(double[][] a) {
    int n = a.length;
    double[][] m = new double[n][2 * n];
    for (int i = 0; i < n; i++) {
      System.arraycopy(a[i], 0, m[i], 0, n);
      m[i][n + i] = 1;
    }
    for (int c = 0; c < n; c++) {
      int pivot = c;
      for (int r = c; r < n; r++) {
        pivot = Math.abs(m[r][c]) > Math.abs(m[pivot][c]) ? r : pivot;
      }
      double[] swap = m[c];
      m[c] = m[pivot];
      m[pivot] = swap;
      double d = m[c][c];
      for (int j = 0; j < 2 * n; j++) {
        m[c][j] /= d;
      }
      for (int r = 0; r < n; r++) {
        double f = m[r][c];
        for (int j = 0; r != c && j < 2 * n; j++) {
          m[r][j] -= f * m[c][j];
        }
      }
    }
    double[][] inverse = new double[n][n];
    for (int i = 0; i < n; i++) {
      System.arraycopy(m[i], n, inverse[i], 0, n);
    }
    return inverse;
  }

  /** Lower triangular {@code L} with {@code L L^T = a}. */
  static double[][] cholesky(double[][] a) {
    int n = a.length;
    double[][] l = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j <= i; j++) {
        double s = a[i][j];
        for (int k = 0; k < j; k++) {
          s -= l[i][k] * l[j][k];
        }
        l[i][j] = i == j ? Math.sqrt(s) : s / l[j][j];
      }
    }
    return l;
  }

  static double[] normal(SplittableRandom random, int n) {
    double[] v = new double[n];
    for (int i = 0; i < n; i++) {
      v[i] = random.nextGaussian();
    }
    return v;
  }

  /** A random orthogonal matrix (Gram and Schmidt, twice). */
  static double[][] orthogonal(SplittableRandom random, int n) {
    double[][] q = new double[n][];
    for (int i = 0; i < n; i++) {
      double[] v = normal(random, n);
      for (int pass = 0; pass < 2; pass++) {
        for (int j = 0; j < i; j++) {
          v = plus(v, -dot(v, q[j]), q[j]);
        }
      }
      q[i] = scaled(v, 1 / Math.sqrt(dot(v, v)));
    }
    return q;
  }

  static float[] flat(double[][] a) {
    float[] f = new float[a.length * a[0].length];
    for (int i = 0; i < f.length; i++) {
      f[i] = (float) a[i / a[0].length][i % a[0].length];
    }
    return f;
  }

  static float[] floats(double[] a) {
    return flat(new double[][] {a});
  }
}
