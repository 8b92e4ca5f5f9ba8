package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;

/**
 * The discrete Fourier transform of a kernel on a periodic grid, computed on the host in double
 * precision: {@code T(u, v) = sum k(a, b) exp(-2 pi i (u (a - ca) / H + v (b - cb) / W))}.
 */
final class Transfer {
  private static final long[] AXES = {2, 3};

  private final int height;
  private final int width;
  // Real and imaginary parts, [H * W] each.
  private final double[] real;
  private final double[] imaginary;

  Transfer(Kernel kernel, int height, int width) {
    this.height = height;
    this.width = width;
    real = new double[Math.multiplyExact(height, width)];
    imaginary = new double[real.length];
    double[] cosine = new double[Math.max(height, width)];
    double[] sine = new double[cosine.length];
    roots(width, cosine, sine);
    double[][] rowsReal = new double[kernel.height()][width];
    double[][] rowsImaginary = new double[kernel.height()][width];
    for (int a = 0; a < kernel.height(); a++) {
      for (int b = 0; b < kernel.width(); b++) {
        double value = kernel.values()[a][b];
        if (value != 0) {
          int shift = Math.floorMod(b - kernel.centreColumn(), width);
          for (int v = 0; v < width; v++) {
            int turn = (int) ((long) v * shift % width);
            rowsReal[a][v] += value * cosine[turn];
            rowsImaginary[a][v] -= value * sine[turn];
          }
        }
      }
    }
    roots(height, cosine, sine);
    for (int u = 0; u < height; u++) {
      for (int a = 0; a < kernel.height(); a++) {
        int shift = Math.floorMod(a - kernel.centreRow(), height);
        int turn = (int) ((long) u * shift % height);
        double c = cosine[turn];
        double s = -sine[turn];
        for (int v = 0; v < width; v++) {
          real[u * width + v] += c * rowsReal[a][v] - s * rowsImaginary[a][v];
          imaginary[u * width + v] += c * rowsImaginary[a][v] + s * rowsReal[a][v];
        }
      }
    }
  }

  private static void roots(int n, double[] cosine, double[] sine) {
    for (int k = 0; k < n; k++) {
      cosine[k] = Math.cos(2 * Math.PI * k / n);
      sine[k] = Math.sin(2 * Math.PI * k / n);
    }
  }

  /** {@code max |T|}, the norm of the periodic convolution. */
  double norm() {
    double largest = 0;
    for (int i = 0; i < real.length; i++) {
      largest = Math.max(largest, Math.hypot(real[i], imaginary[i]));
    }
    return largest;
  }

  /** A function of {@code |T|^2}, real. */
  interface Gain {
    double of(double power);
  }

  /** {@code T}, complex {@code [H, W]}. */
  NDArray forward(NDManager manager) {
    return complex(manager, 1, power -> 1);
  }

  /** {@code conj(T) g(|T|^2)}, complex {@code [H, W]}. */
  NDArray backward(NDManager manager, Gain gain) {
    return complex(manager, -1, gain);
  }

  private NDArray complex(NDManager manager, int sign, Gain gain) {
    float[] pairs = new float[2 * real.length];
    for (int i = 0; i < real.length; i++) {
      double g = gain.of(real[i] * real[i] + imaginary[i] * imaginary[i]);
      pairs[2 * i] = (float) (g * real[i]);
      pairs[2 * i + 1] = (float) (sign * g * imaginary[i]);
    }
    return manager.create(pairs, new Shape(height, width, 2)).complex();
  }

  /** Real {@code [N, C, H, W]}, filtered by a complex {@code [H, W]}; view of its real part. */
  NDArray filter(NDArray x, NDArray response) {
    long[] sizes = {height, width};
    return x.fft2(sizes, AXES).mul(response).ifft2(sizes, AXES).real().get(new NDIndex("..., 0"));
  }
}
