package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.Linearization;
import io.priorart.solver.Noise;
import io.priorart.solver.Problem;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * A prior of two pixels with two equally likely modes at {@code +-(1, 0.5)} of spread 0.2, of which
 * the first pixel is measured. Identity codec, exact denoiser with its exact Jacobian.
 */
final class TwoModes extends GaussianLatentModel {
  static final double SPREAD = 0.2;
  static final Shape PICTURE = new Shape(1, 1, 2);
  private static final double[] MODE = {1, 0.5};

  private final boolean pixels;

  TwoModes(NDManager manager, boolean pixels) {
    super(manager, new double[2], Matrices.diagonal(2, i -> 1), Matrices.diagonal(2, i -> 1));
    this.pixels = pixels;
  }

  @Override
  public Shape imageShape() {
    return PICTURE;
  }

  @Override
  public Shape latentShape() {
    return PICTURE;
  }

  @Override
  public boolean pixelSpace() {
    return pixels;
  }

  @Override
  public LearnedProximal proximal() {
    return null;
  }

  @Override
  public NDArray encode(NDArray x) {
    return x.duplicate();
  }

  @Override
  public NDArray decode(NDArray z) {
    return z.duplicate();
  }

  @Override
  public Linearization encodeAt(NDArray x) {
    return Linearization.linear(x.duplicate(), NDArray::duplicate);
  }

  @Override
  public Linearization decodeAt(NDArray z) {
    return encodeAt(z);
  }

  @Override
  public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
    return denoise(z, z.zerosLike().add(sigma), conditioning);
  }

  /** {@code g z + (1 - g) tanh(<m, z/v>) m} with {@code v = s^2 + sigma^2}, {@code g = s^2/v}. */
  @Override
  public NDArray denoise(NDArray z, NDArray sigma, Conditioning conditioning) {
    float[] values = z.toFloatArray();
    float[] levels = sigma.toFloatArray();
    for (int i = 0; i < values.length; i += 2) {
      double odds = 0;
      for (int k = 0; k < 2; k++) {
        odds += MODE[k] * values[i + k] / variance(levels[(i + k) % levels.length]);
      }
      for (int k = 0; k < 2; k++) {
        double gain = SPREAD * SPREAD / variance(levels[(i + k) % levels.length]);
        values[i + k] = (float) (gain * values[i + k] + (1 - gain) * Math.tanh(odds) * MODE[k]);
      }
    }
    return z.getManager().create(values, z.getShape());
  }

  private static double variance(double sigma) {
    return SPREAD * SPREAD + sigma * sigma;
  }

  /** The Jacobian is {@code g I + (1 - g) (1 - tanh^2) m m^T / v}, symmetric. */
  @Override
  public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
    float[] at = z.toFloatArray();
    double v = variance(sigma);
    double gain = SPREAD * SPREAD / v;
    return Linearization.linear(
        denoise(z, sigma, conditioning),
        cotangent -> {
          float[] c = cotangent.toFloatArray();
          for (int i = 0; i < c.length; i += 2) {
            double t = Math.tanh((MODE[0] * at[i] + MODE[1] * at[i + 1]) / v);
            double along = (MODE[0] * c[i] + MODE[1] * c[i + 1]) * (1 - gain) * (1 - t * t) / v;
            for (int k = 0; k < 2; k++) {
              c[i + k] = (float) (gain * c[i + k] + along * MODE[k]);
            }
          }
          return cotangent.getManager().create(c, cotangent.getShape());
        });
  }

  /** Of text the prior knows nothing. */
  @Override
  public Linearization denoiseAtText(NDArray z, double sigma, Conditioning conditioning) {
    return Linearization.linear(
        denoise(z, sigma, conditioning), cotangent -> conditioning.positive().zerosLike());
  }

  /**
   * The first pixel measured as {@code y}.
   *
   * @param sigma of the noise on the internal scale
   */
  static Problem problem(double y, double sigma) {
    return new Problem(
        new MaskedPixels(PICTURE, new float[] {1, 0}),
        new HostTensor(new Shape(1).addAll(PICTURE), new float[] {(float) y, 0}),
        new Noise.Gaussian(sigma / 2),
        0);
  }

  /** The posterior weight of the mode (1, 0.5). */
  static double weight(double y, double sigma) {
    return 1 / (1 + Math.exp(-2 * y / variance(sigma)));
  }

  /** The share of samples in the mode (1, 0.5). */
  static double share(float[] x) {
    int count = 0;
    for (int i = 0; i < x.length; i += 2) {
      count += MODE[0] * x[i] + MODE[1] * x[i + 1] > 0 ? 1 : 0;
    }
    return 2.0 * count / x.length;
  }

  /** {@code count} samples of the posterior, in each mode as many as its weight says. */
  static float[] posterior(double y, double sigma, int count, SplittableRandom random) {
    double precision = 1 / (SPREAD * SPREAD) + 1 / (sigma * sigma);
    float[] x = new float[2 * count];
    for (int i = 0; i < count; i++) {
      int sign = i < Math.round(weight(y, sigma) * count) ? 1 : -1;
      double first = (sign / (SPREAD * SPREAD) + y / (sigma * sigma)) / precision;
      x[2 * i] = (float) (first + random.nextGaussian() / Math.sqrt(precision));
      x[2 * i + 1] = (float) (sign * MODE[1] + SPREAD * random.nextGaussian());
    }
    return x;
  }

  /** {@code count} samples of the prior. */
  static float[] prior(int count, SplittableRandom random) {
    return posterior(0, 1e6, count, random);
  }

  /** Sliced Wasserstein-1 distance over 32 directions of two samples of equal size. */
  static double slicedWasserstein(float[] a, float[] b) {
    double sum = 0;
    for (int d = 0; d < 32; d++) {
      double angle = Math.PI * d / 32;
      double[] p = projected(a, angle);
      double[] q = projected(b, angle);
      for (int i = 0; i < p.length; i++) {
        sum += Math.abs(p[i] - q[i]) / p.length / 32;
      }
    }
    return sum;
  }

  private static double[] projected(float[] x, double angle) {
    double[] p = new double[x.length / 2];
    for (int i = 0; i < p.length; i++) {
      p[i] = Math.cos(angle) * x[2 * i] + Math.sin(angle) * x[2 * i + 1];
    }
    Arrays.sort(p);
    return p;
  }
}
