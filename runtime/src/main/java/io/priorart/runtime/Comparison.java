package io.priorart.runtime;

import io.priorart.runtime.image.Picture;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;

/**
 * How alike two pictures are.
 *
 * @param psnr peak signal-to-noise ratio in dB over the [0,1] scale; infinite for equal pictures
 * @param ssim structural similarity (Wang et al. 2004): Gaussian window of 11 pixels and sigma 1.5,
 *     constants 0.01 and 0.03, mean over channels and over windows that lie wholly inside
 * @param msSsim multi-scale SSIM (Wang et al. 2003), five scales; NaN for pictures under 176 pixels
 *     a side
 * @param gmsd gradient magnitude similarity deviation (Xue et al. 2014) of the luma, 0 for equal
 *     pictures, larger is worse: the standard deviation over pixels of {@code (2ab + c) / (a^2 +
 *     b^2 + c)}, a and b the Prewitt gradients' lengths after halving, c = 170/255^2; beyond the
 *     edge all is zero
 * @param psnrInside PSNR over the mask's white (missing) pixels; NaN without a mask
 * @param psnrOutside PSNR over its black pixels; NaN without a mask
 */
public record Comparison(
    double psnr, double ssim, double msSsim, double gmsd, double psnrInside, double psnrOutside) {
  private static final double C1 = 0.01 * 0.01;
  private static final double C2 = 0.03 * 0.03;
  private static final double GRADIENT_C = 170 / (255.0 * 255.0);
  private static final int RADIUS = 5;
  private static final double[] WINDOW = window();
  private static final double[] SCALE_WEIGHTS = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

  /** Smallest side that leaves a window at the coarsest of five scales. */
  private static final int MS_SSIM_SIDE = (2 * RADIUS + 1) << 4;

  /**
   * Compares two pictures of one size.
   *
   * @param mask {@code [1, H, W]}, 1 = inside; or {@code null}
   * @throws PriorArtException INVALID_ARGUMENT when sizes differ
   */
  public static Comparison of(Picture a, Picture b, HostTensor mask) {
    if (!a.pixels().shape().equals(b.pixels().shape())) {
      throw PriorArtException.badField(
          "pictures",
          "sizes must agree: %d x %d in %d channels against %d x %d in %d"
              .formatted(a.width(), a.height(), a.channels(), b.width(), b.height(), b.channels()));
    }
    int w = a.width();
    int h = a.height();
    if (mask != null && mask.values().length != w * h) {
      throw PriorArtException.badField(
          "mask", "is " + mask.shape() + ", the pictures are " + w + " x " + h);
    }
    double ssim = 0;
    double msSsim = 0;
    for (int c = 0; c < a.channels(); c++) {
      double[] x = plane(a, c);
      double[] y = plane(b, c);
      ssim += Math.min(w, h) > 2 * RADIUS ? ssim(x, y, w, h)[0] : Double.NaN;
      msSsim += Math.min(w, h) >= MS_SSIM_SIDE ? msSsim(x, y, w, h) : Double.NaN;
    }
    return new Comparison(
        psnr(a, b, null, 0),
        ssim / a.channels(),
        msSsim / a.channels(),
        gmsd(luma(a), luma(b), w, h),
        mask == null ? Double.NaN : psnr(a, b, mask, 1),
        mask == null ? Double.NaN : psnr(a, b, mask, 0));
  }

  private static double[] plane(Picture p, int channel) {
    int n = p.width() * p.height();
    double[] out = new double[n];
    for (int i = 0; i < n; i++) {
      out[i] = (p.pixels().values()[channel * n + i] + 1.0) / 2;
    }
    return out;
  }

  private static double[] luma(Picture p) {
    if (p.channels() != 3) {
      return plane(p, 0);
    }
    double[] r = plane(p, 0);
    double[] g = plane(p, 1);
    double[] b = plane(p, 2);
    for (int i = 0; i < r.length; i++) {
      r[i] = 0.299 * r[i] + 0.587 * g[i] + 0.114 * b[i];
    }
    return r;
  }

  private static double gmsd(double[] a, double[] b, int width, int height) {
    int w = (width + 1) / 2;
    int h = (height + 1) / 2;
    double[] x = gradient(a, width, height);
    double[] y = gradient(b, width, height);
    double[] similarity = new double[w * h];
    double mean = 0;
    for (int i = 0; i < similarity.length; i++) {
      similarity[i] = (2 * x[i] * y[i] + GRADIENT_C) / (x[i] * x[i] + y[i] * y[i] + GRADIENT_C);
      mean += similarity[i] / similarity.length;
    }
    double sum = 0;
    for (double s : similarity) {
      sum += (s - mean) * (s - mean);
    }
    return Math.sqrt(sum / similarity.length);
  }

  /**
   * Lengths of the Prewitt gradients of the picture halved, which a zero row and column complete.
   */
  private static double[] gradient(double[] in, int width, int height) {
    int w = (width + 1) / 2;
    int h = (height + 1) / 2;
    double[] framed = new double[(w + 2) * (h + 2)];
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        framed[(y / 2 + 1) * (w + 2) + x / 2 + 1] += in[y * width + x] / 4;
      }
    }
    double[] out = new double[w * h];
    for (int y = 0; y < h; y++) {
      for (int x = 0; x < w; x++) {
        double across = 0;
        double down = 0;
        for (int k = 0; k < 3; k++) {
          int row = (y + k) * (w + 2) + x;
          int column = y * (w + 2) + x + k;
          across += framed[row + 2] - framed[row];
          down += framed[column + 2 * (w + 2)] - framed[column];
        }
        out[y * w + x] = Math.hypot(across, down) / 3;
      }
    }
    return out;
  }

  private static double psnr(Picture a, Picture b, HostTensor mask, float wanted) {
    int plane = a.width() * a.height();
    double sum = 0;
    long count = 0;
    float[] x = a.pixels().values();
    float[] y = b.pixels().values();
    for (int i = 0; i < x.length; i++) {
      if (mask == null || mask.values()[i % plane] == wanted) {
        double d = (x[i] - (double) y[i]) / 2;
        sum += d * d;
        count++;
      }
    }
    return count == 0 ? Double.NaN : -10 * Math.log10(sum / count);
  }

  private static double[] window() {
    double[] g = new double[2 * RADIUS + 1];
    double sum = 0;
    for (int i = 0; i < g.length; i++) {
      g[i] = Math.exp(-(i - RADIUS) * (i - RADIUS) / (2 * 1.5 * 1.5));
      sum += g[i];
    }
    for (int i = 0; i < g.length; i++) {
      g[i] /= sum;
    }
    return g;
  }

  /** Mean SSIM and mean contrast-structure term over windows inside the picture. */
  private static double[] ssim(double[] x, double[] y, int w, int h) {
    int n = x.length;
    double[] xx = new double[n];
    double[] yy = new double[n];
    double[] xy = new double[n];
    for (int i = 0; i < n; i++) {
      xx[i] = x[i] * x[i];
      yy[i] = y[i] * y[i];
      xy[i] = x[i] * y[i];
    }
    double[] mx = filter(x, w, h);
    double[] my = filter(y, w, h);
    double[] sxx = filter(xx, w, h);
    double[] syy = filter(yy, w, h);
    double[] sxy = filter(xy, w, h);
    double whole = 0;
    double contrast = 0;
    for (int i = 0; i < mx.length; i++) {
      double cs =
          (2 * (sxy[i] - mx[i] * my[i]) + C2)
              / (sxx[i] - mx[i] * mx[i] + syy[i] - my[i] * my[i] + C2);
      contrast += cs;
      whole += cs * (2 * mx[i] * my[i] + C1) / (mx[i] * mx[i] + my[i] * my[i] + C1);
    }
    return new double[] {whole / mx.length, contrast / mx.length};
  }

  /** Valid part of the separable Gaussian window. */
  private static double[] filter(double[] in, int w, int h) {
    int ow = w - 2 * RADIUS;
    int oh = h - 2 * RADIUS;
    double[] rows = new double[ow * h];
    for (int y = 0; y < h; y++) {
      for (int x = 0; x < ow; x++) {
        double sum = 0;
        for (int k = 0; k < WINDOW.length; k++) {
          sum += WINDOW[k] * in[y * w + x + k];
        }
        rows[y * ow + x] = sum;
      }
    }
    double[] out = new double[ow * oh];
    for (int y = 0; y < oh; y++) {
      for (int x = 0; x < ow; x++) {
        double sum = 0;
        for (int k = 0; k < WINDOW.length; k++) {
          sum += WINDOW[k] * rows[(y + k) * ow + x];
        }
        out[y * ow + x] = sum;
      }
    }
    return out;
  }

  private static double msSsim(double[] a, double[] b, int width, int height) {
    double[] x = a;
    double[] y = b;
    int w = width;
    int h = height;
    double product = 1;
    for (int scale = 0; scale < SCALE_WEIGHTS.length; scale++) {
      double[] terms = ssim(x, y, w, h);
      boolean last = scale == SCALE_WEIGHTS.length - 1;
      product *= Math.pow(Math.max(0, last ? terms[0] : terms[1]), SCALE_WEIGHTS[scale]);
      x = halved(x, w, h);
      y = halved(y, w, h);
      w /= 2;
      h /= 2;
    }
    return product;
  }

  private static double[] halved(double[] in, int w, int h) {
    int ow = w / 2;
    int oh = h / 2;
    double[] out = new double[ow * oh];
    for (int y = 0; y < oh; y++) {
      for (int x = 0; x < ow; x++) {
        int at = 2 * y * w + 2 * x;
        out[y * ow + x] = (in[at] + in[at + 1] + in[at + w] + in[at + w + 1]) / 4;
      }
    }
    return out;
  }
}
