package io.priorart.solver.method;

import static io.priorart.solver.method.Matrices.dot;
import static io.priorart.solver.method.Matrices.normal;
import static io.priorart.solver.method.Matrices.plus;
import static io.priorart.solver.method.Matrices.scaled;
import static io.priorart.solver.method.Matrices.times;
import static io.priorart.solver.method.Matrices.transpose;

import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;

/**
 * More solvers of latents written down a second time, one chain at a time; see {@link Reference}.
 * Some of them tune a prompt, which moves the prior's mean ({@link GaussianLatentModel#ofText}).
 */
final class LatentReference {
  private static final double NOISE = GaussianOracle.SIGMA * GaussianOracle.SIGMA;

  private final Reference common;
  private final GaussianOracle oracle;
  private final double[][] ofText = GaussianLatentModel.ofText(GaussianOracle.D);

  LatentReference(Reference common) {
    this.common = common;
    oracle = common.oracle;
  }

  /** {@code E[z0 | z0 + sigma eps]} of a prompt. */
  private double[] clean(double[] z, double sigma, double[] text) {
    double[] shift = times(ofText, text);
    return plus(common.denoise(plus(z, -1, shift), sigma), 1, shift);
  }

  /** The pullback of {@link #clean} to the prompt. */
  private double[] toText(double[] cotangent, double sigma) {
    double[] rest = plus(cotangent, -1, times(transpose(common.gain(sigma)), cotangent));
    return times(transpose(ofText), rest);
  }

  /** The clean picture's variance as the residual tells it, at most that of a unit picture. */
  private double variance(double[] x, double a) {
    double[] r = common.misfit(x);
    double trace = 0;
    for (double[] row : oracle.a) {
      trace += dot(row, row);
    }
    return Math.min(1 - a, Math.max(0, dot(r, r) - GaussianOracle.M * NOISE) / trace);
  }

  /** P2L. */
  double[] p2l(P2l.Spec spec, SplittableRandom random) {
    double[] z = normal(random, GaussianOracle.D);
    double[] text = new double[ofText[0].length];
    double[] m = new double[text.length];
    double[] v = new double[text.length];
    int updates = 0;
    for (int i = 0; i < spec.steps(); i++) {
      double a = common.alphaBar[Reference.trailing(i, spec.steps())];
      double s =
          i == spec.steps() - 1 ? 1 : common.alphaBar[Reference.trailing(i + 1, spec.steps())];
      double sigma = Math.sqrt(1 / a - 1);
      double[] ve = scaled(z, 1 / Math.sqrt(a));
      for (int k = 0; k < spec.tuning(); k++) {
        updates++;
        double[] r = plus(oracle.y, -1, times(common.forward, clean(ve, sigma, text)));
        double[] g = scaled(toText(times(transpose(common.forward), r), sigma), -2);
        boolean rests = dot(r, r) <= GaussianOracle.M * NOISE;
        for (int j = 0; j < text.length; j++) {
          m[j] = 0.9 * m[j] + 0.1 * g[j];
          v[j] = 0.999 * v[j] + 0.001 * g[j] * g[j];
          double first = m[j] / (1 - Math.pow(0.9, updates));
          double root = Math.sqrt(v[j] / (1 - Math.pow(0.999, updates)));
          text[j] -= rests ? 0 : spec.textRate() * first / (root + 1e-8);
        }
      }
      double[] estimate = clean(ve, sigma, text);
      double[] r = plus(oracle.y, -1, times(common.forward, estimate));
      double[] pulled = times(transpose(common.gain(sigma)), times(transpose(common.forward), r));
      double[] gradient = scaled(pulled, -1 / Math.sqrt(a * dot(r, r)));
      double[] eps = scaled(plus(z, -Math.sqrt(a), estimate), 1 / Math.sqrt(1 - a));
      double[] corrected = estimate;
      if ((i + 1) % spec.every() == 0) {
        double[] x = times(oracle.codec, estimate);
        double gamma = spec.lambda() > 0 ? 1 / spec.lambda() : variance(x, a) / NOISE;
        corrected = times(oracle.inverseCodec, common.proximal(x, gamma));
      }
      z = plus(scaled(corrected, Math.sqrt(s)), Math.sqrt(1 - s), eps);
      boolean projectedLast = i == spec.steps() - 1 && (i + 1) % spec.every() == 0;
      double eta = spec.polyak() && projectedLast ? 0 : spec.rho() * 1000 / spec.steps();
      eta = Reference.bounded(eta, gradient, Reference.excess(r), spec.polyak());
      z = plus(z, -eta, gradient);
    }
    return times(oracle.codec, z);
  }

  /** LATINO-PRO; tokens are pairs of the prompt's numbers. */
  double[] latinoPro(LatinoPro.Spec spec, SplittableRandom random) {
    double[][] gram = times(oracle.a, common.back);
    double[] x = times(common.back, times(Matrices.inverse(gram), oracle.y));
    double[] text = new double[ofText[0].length];
    double[] z = null;
    for (int round = 0; round <= spec.rounds(); round++) {
      boolean tunes = round < spec.rounds();
      int steps = tunes ? spec.roundSteps() : spec.steps();
      for (int k = 0; k < steps; k++) {
        double a = common.alphaBar[Reference.trailing(k, steps)];
        double sigma = Math.sqrt(1 / a - 1);
        z = z == null ? noisy(x, sigma, random) : z;
        double[] estimate = clean(z, sigma, text);
        double[] u = times(oracle.codec, estimate);
        x = common.proximal(u, variance(u, a) / NOISE);
        boolean last = k == steps - 1;
        double[] next = null;
        if (!last) {
          double b = common.alphaBar[Reference.trailing(k + 1, steps)];
          double nextSigma = Math.sqrt(1 / b - 1);
          next = noisy(x, nextSigma, random);
          if (tunes) {
            // d/dc of -||sqrt(b) next - sqrt(b) z0||^2 / (2 (1-b))
            double[] g = toText(scaled(plus(next, -1, estimate), b / (1 - b)), sigma);
            double rate = spec.rate() * Math.max(0.001, Math.pow(0.9, Math.max(0, round - 10)));
            for (int token = spec.frozen(); token < GaussianLatentModel.TOKENS; token++) {
              double length = Math.hypot(g[2 * token], g[2 * token + 1]);
              double p = text[2 * token] + rate * g[2 * token] / length;
              double q = text[2 * token + 1] + rate * g[2 * token + 1] / length;
              double shrink = Math.min(1, spec.radius() / Math.hypot(p, q));
              text[2 * token] = p * shrink;
              text[2 * token + 1] = q * shrink;
            }
          }
        }
        z = next;
      }
    }
    return x;
  }

  private double[] noisy(double[] x, double sigma, SplittableRandom random) {
    return plus(times(oracle.inverseCodec, x), sigma, normal(random, GaussianOracle.D));
  }

  /**
   * FLAIR.
   *
   * @param trust {@code q(t) / mean(q)}
   */
  double[] flair(Flair.Spec spec, DoubleUnaryOperator trust, SplittableRandom random) {
    double[][] forward = common.forward;
    double[][] gram = times(oracle.a, common.back);
    double[] filled = times(common.back, times(Matrices.inverse(gram), oracle.y));
    double[] mu = times(oracle.inverseCodec, filled);
    double[] kept = normal(random, GaussianOracle.D);
    double norm = common.squaredNorm();
    double high = Math.sqrt(1 / common.alphaBar[999] - 1);
    double start = high / (1 + high);
    for (int i = 1; i <= spec.steps(); i++) {
      double t = start + i * (spec.endTime() - start) / (spec.steps() + 1);
      double w = spec.weight() * trust.applyAsDouble(t);
      double alpha = 1 - t;
      double[] e =
          plus(scaled(kept, alpha), Math.sqrt(1 - alpha * alpha), normal(random, GaussianOracle.D));
      double[] noisy = plus(scaled(mu, alpha), t, e);
      double[] estimate = common.denoise(scaled(noisy, 1 / alpha), t / alpha);
      double[] v = scaled(plus(noisy, -1, estimate), 1 / t);
      kept = plus(noisy, alpha, v);
      mu = plus(mu, -w, plus(v, -1, plus(e, -1, mu)));
      double rate = w * spec.rate() / norm;
      double before = Double.POSITIVE_INFINITY;
      for (int k = 0; k < spec.dataSteps(); k++) {
        double[] r = plus(oracle.y, -1, times(forward, mu));
        double misfit = dot(r, r);
        if (misfit <= GaussianOracle.M * NOISE) {
          break;
        }
        rate = misfit > before ? rate / 2 : rate;
        before = misfit;
        mu = plus(mu, 2 * rate, times(transpose(forward), r));
      }
    }
    return times(oracle.codec, mu);
  }

  /** DAPS on latents, one evaluation a level. */
  double[] daps(Daps.Spec spec, SplittableRandom random) {
    double[][] back = transpose(common.forward);
    double[] top = normal(new SplittableRandom(1), GaussianOracle.D);
    for (int i = 0; i < 1000; i++) {
      top = times(back, times(common.forward, scaled(top, 1 / Math.sqrt(dot(top, top)))));
    }
    double norm = Math.sqrt(dot(top, top));
    double tau = spec.tau() == 0 ? GaussianOracle.SIGMA : spec.tau();
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / common.alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / common.alphaBar[0] - 1));
    double[] z = scaled(normal(random, GaussianOracle.D), high);
    for (int i = 0; ; i++) {
      double sigma = Reference.level(i, spec.steps(), high, low);
      double[] estimate = common.denoise(z, sigma);
      double eta = spec.stepSize() / (1 / (sigma * sigma) + norm / (tau * tau));
      double[] u = estimate;
      double[] earlier = u;
      for (int k = 0; k < spec.langevinSteps(); k++) {
        double[] r = plus(oracle.y, -1, times(common.forward, u));
        double[] score =
            plus(
                scaled(plus(estimate, -1, u), 1 / (sigma * sigma)),
                1 / (tau * tau),
                times(back, r));
        double[] next = Reference.langevin(spec, eta, u, earlier, score, random);
        earlier = u;
        double[] way = plus(next, -1, estimate);
        double radius = Math.sqrt(GaussianOracle.D) + 3 / Math.sqrt(2);
        double most = radius / Math.sqrt(1 + 1 / (sigma * sigma));
        u = plus(estimate, Math.min(1, most / Math.sqrt(dot(way, way))), way);
      }
      if (i == spec.steps() - 1) {
        return times(oracle.codec, u);
      }
      z =
          plus(
              u, Reference.level(i + 1, spec.steps(), high, low), normal(random, GaussianOracle.D));
    }
  }
}
