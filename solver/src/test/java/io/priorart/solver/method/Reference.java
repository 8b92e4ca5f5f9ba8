package io.priorart.solver.method;

import static io.priorart.solver.method.Matrices.cholesky;
import static io.priorart.solver.method.Matrices.diagonal;
import static io.priorart.solver.method.Matrices.dot;
import static io.priorart.solver.method.Matrices.inverse;
import static io.priorart.solver.method.Matrices.normal;
import static io.priorart.solver.method.Matrices.plus;
import static io.priorart.solver.method.Matrices.scaled;
import static io.priorart.solver.method.Matrices.times;
import static io.priorart.solver.method.Matrices.transpose;

import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;

/**
 * The solvers' algorithms written down a second time, from their papers' formulas, one chain at a
 * time in double and on {@link GaussianOracle} alone. Shares no code with the solvers: schedule,
 * data step and optimiser are its own.
 */
final class Reference {
  final GaussianOracle oracle;
  final double[] alphaBar = new double[1000];
  final double[][] forward;
  final double[][] back;
  private final double[][] gram;
  private final Map<Double, double[][]> gains = new HashMap<>();
  private final Map<Double, double[][]> pictureGains = new HashMap<>();
  private final Map<Double, double[][]> radGains = new HashMap<>();

  Reference(GaussianOracle oracle) {
    this.oracle = oracle;
    double product = 1;
    for (int t = 0; t < 1000; t++) {
      double root = Math.sqrt(0.00085) + (Math.sqrt(0.012) - Math.sqrt(0.00085)) * t / 999;
      product *= 1 - root * root;
      alphaBar[t] = product;
    }
    forward = times(oracle.a, oracle.codec);
    back = transpose(oracle.a);
    gram = times(oracle.a, back);
  }

  GaussianOracle.Statistics statistics(
      int chains, long seed, Function<SplittableRandom, double[]> chain) {
    SplittableRandom random = new SplittableRandom(seed);
    double[][] samples = new double[chains][];
    for (int i = 0; i < chains; i++) {
      samples[i] = chain.apply(random);
    }
    return oracle.statistics(samples);
  }

  double[][] gain(double sigma) {
    return gains.computeIfAbsent(sigma, s -> GaussianLatentModel.gain(oracle.covariance, s));
  }

  double[] denoise(double[] z, double sigma) {
    return plus(oracle.mean, 1, times(gain(sigma), plus(z, -1, oracle.mean)));
  }

  double[] misfit(double[] x) {
    return plus(oracle.y, -1, times(oracle.a, x));
  }

  double[] proximal(double[] x, double gamma) {
    double[][] system = plus(diagonal(GaussianOracle.M, i -> 1), gamma, gram);
    return plus(x, gamma, times(back, times(inverse(system), misfit(x))));
  }

  /** DiffPIR with the residual's own weight; see {@link ProxDiffusion}. */
  double[] proxDiffusion(ProxDiffusion.Spec spec, SplittableRandom random) {
    int n = spec.steps();
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double trace = 0;
    for (int i = 0; i < GaussianOracle.M; i++) {
      trace += gram[i][i];
    }
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double[] z = scaled(normal(random, GaussianOracle.D), high);
    double[] clean = z;
    for (int i = 0; i < n; i++) {
      double sigma = level(i, n, high, spec.endSigma());
      double[] x = times(oracle.codec, denoise(z, sigma));
      double[] r = misfit(x);
      double measured = Math.max(0, dot(r, r) - GaussianOracle.M * noise) / trace;
      double variance = Math.min(measured, sigma * sigma / (1 + sigma * sigma));
      clean = times(oracle.inverseCodec, proximal(x, variance / noise));
      if (i < n - 1) {
        double next = level(i + 1, n, high, spec.endSigma());
        double[] eps = scaled(plus(z, -1, clean), 1 / sigma);
        z = plus(clean, next * Math.sqrt(1 - spec.zeta()), eps);
        z = plus(z, next * Math.sqrt(spec.zeta()), normal(random, GaussianOracle.D));
      }
    }
    return times(oracle.codec, clean);
  }

  /** DiffPIR, algorithm 1, on the prior of pictures that latents and codec imply. */
  double[] diffPir(DiffPir.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    int n = spec.steps();
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double[] x = scaled(normal(random, GaussianOracle.D), high);
    for (int i = 0; i < n; i++) {
      double sigma = level(i, n, high, low);
      double[][] gain =
          pictureGains.computeIfAbsent(sigma, s -> GaussianLatentModel.gain(prior, s));
      double[] clean = plus(centre, 1, times(gain, plus(x, -1, centre)));
      double[] moved = proximal(clean, sigma * sigma / (spec.lambda() * noise));
      if (i == n - 1) {
        return moved;
      }
      double next = level(i + 1, n, high, low);
      x = plus(moved, Math.sqrt(1 - spec.zeta()) * next / sigma, plus(x, -1, moved));
      x = plus(x, Math.sqrt(spec.zeta()) * next, normal(random, GaussianOracle.D));
    }
    throw new AssertionError("no steps");
  }

  /** The largest eigenvalue of {@code A^T A}. */
  double squaredNorm() {
    double[] v = normal(new SplittableRandom(1), GaussianOracle.D);
    for (int i = 0; i < 1000; i++) {
      v = times(back, times(oracle.a, scaled(v, 1 / Math.sqrt(dot(v, v)))));
    }
    return Math.sqrt(dot(v, v));
  }

  /** DAPS, algorithm 1. */
  double[] daps(Daps.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    double lowest = Math.max(spec.odeEndSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    double tau = spec.tau() == 0 ? GaussianOracle.SIGMA : spec.tau();
    double norm = squaredNorm();
    double[] x = scaled(normal(random, GaussianOracle.D), high);
    for (int i = 0; ; i++) {
      double sigma = level(i, spec.steps(), high, low);
      double[] clean = x;
      for (int k = 0; k < spec.odeSteps(); k++) {
        double end = Math.min(lowest, sigma);
        double from = spec.odeSteps() == 1 ? sigma : level(k, spec.odeSteps(), sigma, end);
        double to = k == spec.odeSteps() - 1 ? 0 : level(k + 1, spec.odeSteps(), sigma, end);
        double[][] gain =
            pictureGains.computeIfAbsent(from, s -> GaussianLatentModel.gain(prior, s));
        double[] estimate = plus(centre, 1, times(gain, plus(clean, -1, centre)));
        clean = plus(estimate, to / from, plus(clean, -1, estimate));
      }
      double eta = spec.stepSize() / (1 / (sigma * sigma) + norm / (tau * tau));
      double[] u = clean;
      double[] earlier = u;
      if (spec.langevinSteps() == 0) {
        // N(m, P^-1): P = I/sigma^2 + A^T A/tau^2, P m = x0/sigma^2 + A^T y/tau^2
        double[][] precision =
            plus(
                diagonal(GaussianOracle.D, k -> 1 / (sigma * sigma)),
                1 / (tau * tau),
                times(back, oracle.a));
        double[] information =
            plus(scaled(clean, 1 / (sigma * sigma)), 1 / (tau * tau), times(back, oracle.y));
        double[][] covariance = inverse(precision);
        u =
            plus(
                times(covariance, information),
                1,
                times(cholesky(covariance), normal(random, GaussianOracle.D)));
      }
      for (int k = 0; k < spec.langevinSteps(); k++) {
        double[] score =
            plus(
                scaled(plus(clean, -1, u), 1 / (sigma * sigma)),
                1 / (tau * tau),
                times(back, misfit(u)));
        double[] next = langevin(spec, eta, u, earlier, score, random);
        earlier = u;
        u = next;
      }
      if (i == spec.steps() - 1) {
        return u;
      }
      x = plus(u, level(i + 1, spec.steps(), high, low), normal(random, GaussianOracle.D));
    }
  }

  /** A step from {@code u}, which repeats a part of the one from {@code earlier}. */
  static double[] langevin(
      Daps.Spec spec,
      double eta,
      double[] u,
      double[] earlier,
      double[] score,
      SplittableRandom random) {
    double[] repeated = plus(u, spec.momentum(), plus(u, -1, earlier));
    double spread = Math.sqrt(2 * eta * (1 - spec.momentum()));
    return plus(plus(repeated, eta, score), spread, normal(random, GaussianOracle.D));
  }

  /** PnP-Flow, algorithm 3, in its own form: times from 0 to 1, data at 1. */
  double[] pnpFlow(PnpFlow.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    double norm = squaredNorm();
    double[] x = times(back, oracle.y);
    for (int i = 0; i < spec.steps(); i++) {
      double t = Math.max(1.0 * i / spec.steps(), 1 / (1 + Math.sqrt(1 / alphaBar[999] - 1)));
      t = Math.min(t, 1 / (1 + Math.sqrt(1 / alphaBar[0] - 1)));
      double weight = Math.pow(1 - 1.0 * i / spec.steps(), spec.alpha());
      double[] z = plus(x, spec.stepSize() * weight / norm, times(back, misfit(x)));
      double[][] gain =
          pictureGains.computeIfAbsent((1 - t) / t, s -> GaussianLatentModel.gain(prior, s));
      double[] sum = new double[GaussianOracle.D];
      for (int k = 0; k < spec.draws(); k++) {
        double[] on = plus(scaled(z, t), 1 - t, normal(random, GaussianOracle.D));
        sum = plus(sum, 1, plus(centre, 1, times(gain, plus(scaled(on, 1 / t), -1, centre))));
      }
      x = scaled(sum, 1.0 / spec.draws());
    }
    return x;
  }

  /**
   * RED-diff, algorithm 1, in its own form: {@code alpha mu + sigma xi} and the noise predicted.
   */
  double[] redDiff(RedDiff.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    double[] mu = new double[GaussianOracle.D];
    double[] m = new double[GaussianOracle.D];
    double[] v = new double[GaussianOracle.D];
    for (int i = 0; i < spec.steps(); i++) {
      int timestep = (int) Math.round(1000 - i * 1000.0 / spec.steps()) - 1;
      double alpha = Math.sqrt(alphaBar[timestep]);
      double sigma = Math.sqrt(1 - alphaBar[timestep]);
      double[] xi = normal(random, GaussianOracle.D);
      double[] xt = plus(scaled(mu, alpha), sigma, xi);
      double[][] gain =
          pictureGains.computeIfAbsent(sigma / alpha, s -> GaussianLatentModel.gain(prior, s));
      double[] clean = plus(centre, 1, times(gain, plus(scaled(xt, 1 / alpha), -1, centre)));
      double[] predicted = scaled(plus(xt, -alpha, clean), 1 / sigma);
      double[] data = times(back, misfit(mu));
      for (int j = 0; j < mu.length; j++) {
        double g = spec.lambda() * sigma / alpha * (predicted[j] - xi[j]) - data[j];
        m[j] = 0.9 * m[j] + 0.1 * g;
        v[j] = 0.999 * v[j] + 0.001 * g * g;
        double first = m[j] / (1 - Math.pow(0.9, i + 1));
        double second = v[j] / (1 - Math.pow(0.999, i + 1));
        mu[j] -= spec.learningRate() * first / (Math.sqrt(second) + 1e-8);
      }
    }
    return mu;
  }

  private static double[] conjugateGradients(double[][] system, double[] b, int iterations) {
    double[] u = new double[b.length];
    double[] r = b;
    double[] p = r;
    double goal = 1e-6 * dot(r, r);
    for (int k = 0; k < iterations && dot(r, r) > goal; k++) {
      double[] q = times(system, p);
      double alpha = dot(r, r) / dot(p, q);
      u = plus(u, alpha, p);
      double[] left = plus(r, -alpha, q);
      p = plus(left, dot(left, left) / dot(r, r), p);
      r = left;
    }
    return u;
  }

  /** Of {@code b, M b, M^2 b, ...} by normal equations, as far as conjugate gradients would go. */
  private static double[] leastResidual(double[][] system, double[] b, int iterations) {
    double[][] powers = new double[iterations][];
    double[][] images = new double[iterations][];
    for (int k = 0; k < iterations; k++) {
      double[] next = k == 0 ? b : images[k - 1];
      powers[k] = scaled(next, 1 / Math.sqrt(dot(next, next)));
      images[k] = times(system, powers[k]);
    }
    double[][] gram = times(images, transpose(images));
    double[] weights = times(Matrices.inverse(gram), times(images, b));
    return times(transpose(powers), weights);
  }

  /** MMPS with the linear system solved by as many iterations. */
  double[] mmps(Mmps.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    int n = spec.steps();
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double[] x = scaled(normal(random, GaussianOracle.D), high);
    for (int i = 0; i < n; i++) {
      double sigma = level(i, n, high, low);
      double[][] gain =
          pictureGains.computeIfAbsent(sigma, s -> GaussianLatentModel.gain(prior, s));
      double[] mean = plus(centre, 1, times(gain, plus(x, -1, centre)));
      double[][] system =
          Matrices.plus(
              Matrices.diagonal(GaussianOracle.M, k -> noise),
              sigma * sigma,
              times(oracle.a, times(transpose(gain), back)));
      double[] u =
          spec.krylov() == Mmps.Krylov.CG
              ? conjugateGradients(system, misfit(mean), spec.iterations())
              : leastResidual(system, misfit(mean), spec.iterations());
      double[] clean = plus(mean, sigma * sigma, times(transpose(gain), times(back, u)));
      if (i == n - 1) {
        return clean;
      }
      double next = level(i + 1, n, high, low);
      double fresh = spec.eta() * next * Math.sqrt(1 - next * next / (sigma * sigma));
      double flow = Math.sqrt(next * next - fresh * fresh) / sigma;
      x = plus(plus(clean, flow, plus(x, -1, clean)), fresh, normal(random, GaussianOracle.D));
    }
    throw new AssertionError("no steps");
  }

  /** RAD on an oracle with masked pixels: every pixel is noisy to its own level. */
  double[] rad(Rad.Spec spec, SplittableRandom random) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    int n = spec.steps();
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    double[] bound = new double[GaussianOracle.D];
    double[] z = scaled(normal(random, GaussianOracle.D), high);
    for (int p = 0; p < bound.length; p++) {
      bound[p] = Double.POSITIVE_INFINITY;
      for (int i = 0; i < GaussianOracle.M; i++) {
        if (oracle.a[i][p] == 1) {
          bound[p] = GaussianOracle.SIGMA;
          z[p] = oracle.y[i];
        }
      }
    }
    for (int i = 0; i < n; i++) {
      double sigma = level(i, n, high, low);
      double[][] noise = diagonal(GaussianOracle.D, p -> Math.pow(Math.min(sigma, bound[p]), 2));
      double[][] shrunk =
          radGains.computeIfAbsent(sigma, s -> times(prior, inverse(plus(prior, 1, noise))));
      double[] clean = plus(centre, 1, times(shrunk, plus(z, -1, centre)));
      if (i == n - 1) {
        return clean;
      }
      double next = level(i + 1, n, high, low);
      double[] xi = normal(random, GaussianOracle.D);
      for (int p = 0; p < bound.length; p++) {
        double from = Math.min(sigma, bound[p]);
        double to = Math.min(next, bound[p]);
        // DDPM's posterior of the next level given this one and the clean picture, eta = 1
        double kept = to * to / (from * from);
        double fresh = spec.eta() * to * Math.sqrt(1 - kept);
        double eps = (z[p] - clean[p]) / from;
        z[p] = clean[p] + Math.sqrt(to * to - fresh * fresh) * eps + fresh * xi[p];
      }
    }
    throw new AssertionError("no steps");
  }

  /**
   * DPIR, algorithm 1, from the Wiener estimate in closed form.
   *
   * @param turns see {@link #turnedGain}
   */
  double[] dpir(Dpir.Spec spec, int[] turns) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double[] z = wiener(noise);
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    for (int i = 0; i < spec.steps(); i++) {
      double sigma = high * Math.pow(low / high, i / (spec.steps() - 1.0));
      double[] x = proximal(z, sigma * sigma / (spec.lambda() * noise));
      double[][] gain = GaussianLatentModel.gain(prior, sigma);
      z = turnedGain(gain, x, turns[i % 8]);
    }
    return z;
  }

  /** LPN, algorithm 2: ADMM with the proximal operator of the prior of pictures. */
  double[] lpn(Lpn.Spec spec) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] centre = times(oracle.codec, oracle.mean);
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double trained = GaussianLatentModel.PROXIMAL_SIGMA;
    double[][] gain = GaussianLatentModel.gain(prior, trained);
    double[] z = wiener(noise);
    double[] u = new double[GaussianOracle.D];
    for (int i = 0; i < spec.iterations(); i++) {
      double gamma = spec.dataWeight() * trained * trained / noise;
      double[] x = proximal(plus(z, -1, u), gamma);
      u = plus(plus(u, 1, x), -1, z);
      z = plus(centre, 1, times(gain, plus(plus(x, 1, u), -1, centre)));
    }
    return z;
  }

  /**
   * The exact denoiser of a turned picture, turned back.
   *
   * @param turn bit 0 exchanges left and right, bit 1 top and bottom, bit 2 first rows and columns
   */
  private double[] turnedGain(double[][] gain, double[] x, int turn) {
    double[] centre = times(oracle.codec, oracle.mean);
    int[] at = turn(turn);
    double[] turned = new double[16];
    for (int p = 0; p < 16; p++) {
      turned[p] = x[at[p]];
    }
    double[] clean = plus(centre, 1, times(gain, plus(turned, -1, centre)));
    double[] back = new double[16];
    for (int p = 0; p < 16; p++) {
      back[at[p]] = clean[p];
    }
    return back;
  }

  private static int[] turn(int turn) {
    int[] at = new int[16];
    for (int p = 0; p < 16; p++) {
      int row = (turn & 2) == 0 ? p / 4 : 3 - p / 4;
      int column = (turn & 1) == 0 ? p % 4 : 3 - p % 4;
      at[p] = (turn & 4) == 0 ? 4 * row + column : 4 * column + row;
    }
    return at;
  }

  /**
   * RAD's single step averaged over all turns, of a picture whose missing pixels hold {@code z}.
   */
  double[] radMean(double[] z, double high) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double[] sum = new double[16];
    for (int turn = 0; turn < 8; turn++) {
      int[] at = turn(turn);
      double[][] noise = diagonal(16, p -> Math.pow(known(at[p]) ? GaussianOracle.SIGMA : high, 2));
      double[][] gain = times(prior, inverse(plus(prior, 1, noise)));
      sum = plus(sum, 0.125, turnedGain(gain, z, turn));
    }
    return sum;
  }

  private boolean known(int pixel) {
    for (double[] row : oracle.a) {
      if (row[pixel] == 1) {
        return true;
      }
    }
    return false;
  }

  /** DPIR with the measurement's own level where a pixel is known. */
  double[] dpirWithGaps(Dpir.Spec spec, int[] turns) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double[] z = wiener(noise);
    double high = Math.min(spec.startSigma(), Math.sqrt(1 / alphaBar[999] - 1));
    double low = Math.max(spec.endSigma(), Math.sqrt(1 / alphaBar[0] - 1));
    for (int i = 0; i < spec.steps(); i++) {
      double sigma = high * Math.pow(low / high, i / (spec.steps() - 1.0));
      double[] x = z.clone();
      for (int m = 0; m < GaussianOracle.M; m++) {
        for (int p = 0; p < 16; p++) {
          x[p] = oracle.a[m][p] == 1 ? oracle.y[m] : x[p];
        }
      }
      int[] at = turn(turns[i % 8]);
      double[][] levels =
          diagonal(16, p -> Math.pow(known(at[p]) ? GaussianOracle.SIGMA : sigma, 2));
      double[][] gain = times(prior, inverse(plus(prior, 1, levels)));
      z = turnedGain(gain, x, turns[i % 8]);
    }
    return z;
  }

  private double[] wiener(double noise) {
    double[][] cross = times(photographs(), back);
    double[][] system = plus(times(oracle.a, cross), noise, diagonal(GaussianOracle.M, i -> 1));
    return times(cross, times(inverse(system), oracle.y));
  }

  /** Covariance of 4x4 pictures of contrast 1 whose cosine spectrum falls by the power 2.5. */
  private static double[][] photographs() {
    double[] power = new double[16];
    double sum = 0;
    for (int k = 0; k < 16; k++) {
      double v = 0.5 * (k / 4) / 4;
      double h = 0.5 * (k % 4) / 4;
      power[k] = Math.pow(1 / 256.0 + v * v + h * h, -1.25);
      sum += power[k] / 16;
    }
    double[][] covariance = new double[16][16];
    for (int a = 0; a < 16; a++) {
      for (int b = 0; b < 16; b++) {
        for (int k = 0; k < 16; k++) {
          covariance[a][b] += power[k] / sum * wave(k, a) * wave(k, b);
        }
      }
    }
    return covariance;
  }

  private static double wave(int k, int at) {
    double v =
        Math.cos(Math.PI * (at / 4 + 0.5) * (k / 4) / 4) * Math.sqrt(k / 4 == 0 ? 0.25 : 0.5);
    double h =
        Math.cos(Math.PI * (at % 4 + 0.5) * (k % 4) / 4) * Math.sqrt(k % 4 == 0 ? 0.25 : 0.5);
    return v * h;
  }

  static double level(int i, int n, double high, double low) {
    double a = Math.pow(high, 1.0 / 7);
    double b = Math.pow(low, 1.0 / 7);
    return Math.pow(a + (b - a) * i / (n - 1), 7);
  }

  /** {@code d/dz || y - A B clean(z) ||} and the clean estimate, z in variance-preserving form. */
  private double[][] guide(double[] z, double a) {
    double sigma = Math.sqrt(1 / a - 1);
    double[] clean = denoise(scaled(z, 1 / Math.sqrt(a)), sigma);
    double[] r = plus(oracle.y, -1, times(forward, clean));
    double[] g = times(transpose(gain(sigma)), times(transpose(forward), r));
    return new double[][] {clean, scaled(g, -1 / Math.sqrt(a * dot(r, r)))};
  }

  /** {@code max(0, ||r|| - sigma sqrt(m))}. */
  static double excess(double[] r) {
    return Math.max(0, Math.sqrt(dot(r, r)) - GaussianOracle.SIGMA * Math.sqrt(GaussianOracle.M));
  }

  /** Polyak's step along {@code g}, or {@code eta} where that is shorter. */
  static double bounded(double eta, double[] g, double excess, boolean polyak) {
    return polyak ? Math.min(eta, excess / dot(g, g)) : eta;
  }

  /** DPS, algorithm 1: ancestral sampling with fixed small variance. */
  double[] dps(Dps.Spec spec, SplittableRandom random) {
    double[] z = normal(random, GaussianOracle.D);
    for (int i = 0; i < spec.steps(); i++) {
      double a = alphaBar[trailing(i, spec.steps())];
      double b = i == spec.steps() - 1 ? 1 : alphaBar[trailing(i + 1, spec.steps())];
      double beta = 1 - a / b;
      double[][] guide = guide(z, a);
      double[] next = scaled(guide[0], Math.sqrt(b) * beta / (1 - a));
      next = plus(next, Math.sqrt(1 - beta) * (1 - b) / (1 - a), z);
      double[] r = plus(oracle.y, -1, times(forward, guide[0]));
      double eta = bounded(spec.zeta() * 1000 / spec.steps(), guide[1], excess(r), spec.polyak());
      next = plus(next, -eta, guide[1]);
      double[] xi = normal(random, GaussianOracle.D);
      z = plus(next, Math.sqrt(beta * (1 - b) / (1 - a)), xi);
    }
    return times(oracle.codec, z);
  }

  static int trailing(int i, int steps) {
    return (int) Math.rint(1000 - i * 1000.0 / steps) - 1;
  }

  /** ReSample, algorithms 1 and 2. */
  double[] reSample(ReSample.Spec spec, SplittableRandom random) {
    int steps = spec.steps();
    double[] grid = new double[steps + 1];
    for (int i = 0; i < steps; i++) {
      grid[i] = alphaBar[(steps - 1 - i) * (1000 / steps) + 1];
    }
    grid[steps] = alphaBar[0];
    double[] z = normal(random, GaussianOracle.D);
    for (int i = 0; i < steps; i++) {
      int down = steps - 1 - i;
      double a = grid[i];
      double p = grid[i + 1];
      double[][] guide = guide(z, a);
      z = plus(ddim(z, guide[0], a, p), -0.5 * a, guide[1]);
      if (down > 0 && down <= steps - steps / 3 && down % spec.every() == 0) {
        double[] ahead = z;
        double[] clean = null;
        for (int k = i + 1; k < Math.min(i + 6, steps); k++) {
          clean = denoise(scaled(ahead, 1 / Math.sqrt(grid[k])), Math.sqrt(1 / grid[k] - 1));
          ahead = ddim(ahead, clean, grid[k], grid[k + 1]);
        }
        double[] consistent =
            down >= steps / 3 ? pixelStage(spec, clean) : latentStage(spec, clean);
        double s = spec.gamma() * (1 - p) / (1 - a) * (1 - a / p);
        double variance = 1 / (1 / s + 1 / (1 - p));
        double[] product =
            plus(scaled(consistent, variance * Math.sqrt(p) / (1 - p)), variance / s, z);
        z = plus(product, Math.sqrt(variance), normal(random, GaussianOracle.D));
      }
    }
    return times(oracle.codec, latentStage(spec, z));
  }

  static double[] ddim(double[] z, double[] clean, double a, double p) {
    double[] eps = scaled(plus(z, -Math.sqrt(a), clean), 1 / Math.sqrt(1 - a));
    return plus(scaled(clean, Math.sqrt(p)), Math.sqrt(1 - p), eps);
  }

  private double[] pixelStage(ReSample.Spec spec, double[] clean) {
    double[] x = times(oracle.codec, clean);
    if (!spec.closedFormPixels()) {
      x = adamW(oracle.a, x, spec.pixelRate(), spec.weightDecay(), spec.pixelIterations(), spec);
      return times(oracle.inverseCodec, x);
    }
    double low = 1e-9;
    double high = 1e9;
    if (meanSquare(misfit(x)) <= GaussianOracle.SIGMA * GaussianOracle.SIGMA) {
      return clean;
    }
    for (int i = 0; i < 60; i++) {
      double gamma = Math.sqrt(low * high);
      boolean misses =
          meanSquare(misfit(proximal(x, gamma))) > GaussianOracle.SIGMA * GaussianOracle.SIGMA;
      low = misses ? gamma : low;
      high = misses ? high : gamma;
    }
    return times(oracle.inverseCodec, proximal(x, high));
  }

  private double[] latentStage(ReSample.Spec spec, double[] clean) {
    return adamW(
        forward, clean, spec.latentRate(), spec.weightDecay(), spec.latentIterations(), spec);
  }

  private double[] adamW(
      double[][] map, double[] start, double rate, double decay, int most, ReSample.Spec spec) {
    double[] x = start.clone();
    double[] m = new double[x.length];
    double[] v = new double[x.length];
    double[] losses = new double[most];
    for (int k = 0; k < most; k++) {
      double[] r = plus(oracle.y, -1, times(map, x));
      losses[k] = meanSquare(r);
      if (losses[k] <= GaussianOracle.SIGMA * GaussianOracle.SIGMA
          || k >= 10 && (losses[k - 10] - losses[k]) / losses[k - 10] < spec.plateau()) {
        break;
      }
      double[] g = scaled(times(transpose(map), r), -2.0 / r.length);
      for (int j = 0; j < x.length; j++) {
        m[j] = 0.9 * m[j] + 0.1 * g[j];
        v[j] = 0.999 * v[j] + 0.001 * g[j] * g[j];
        double root = Math.sqrt(v[j] / (1 - Math.pow(0.999, k + 1))) + 1e-8;
        x[j] -= rate * (decay * x[j] + m[j] / (1 - Math.pow(0.9, k + 1)) / root);
      }
    }
    return x;
  }

  private static double meanSquare(double[] r) {
    return dot(r, r) / r.length;
  }

  /** Timesteps {@code 999 - 1000 k / n} rounded, as "trailing" has them. */
  private static int[] trailing(int n) {
    int[] t = new int[n];
    for (int k = 0; k < n; k++) {
      t[k] = (int) Math.round(1000.0 - 1000.0 * k / n) - 1;
    }
    return t;
  }

  private double sigmaAt(int timestep) {
    return Math.sqrt(1 / alphaBar[timestep] - 1);
  }

  /** LATINO, algorithm 1, with the residual's own weight. */
  double[] latino(Latino.Spec spec, SplittableRandom random) {
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double trace = 0;
    for (int i = 0; i < GaussianOracle.M; i++) {
      trace += gram[i][i];
    }
    double[] x = times(back, times(inverse(gram), oracle.y));
    for (int t : trailing(spec.steps())) {
      double sigma = sigmaAt(t);
      double[] z = plus(times(oracle.inverseCodec, x), sigma, normal(random, GaussianOracle.D));
      double[] u = times(oracle.codec, denoise(z, sigma));
      double[] r = misfit(u);
      double measured = Math.max(0, dot(r, r) - GaussianOracle.M * noise) / trace;
      x = proximal(u, Math.min(measured, sigma * sigma / (1 + sigma * sigma)) / noise);
    }
    return x;
  }

  /** TReg, algorithm 1, without text; adaptive negation is {@link AdaptiveNegationTest}'s. */
  double[] treg(Treg.Spec spec, SplittableRandom random) {
    int n = spec.steps();
    int[] t = trailing(n);
    double lambda =
        spec.lambda() > 0
            ? spec.lambda()
            : spec.weight() * GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double[] z = normal(random, GaussianOracle.D);
    for (int i = 0; i < n; i++) {
      double a = alphaBar[t[i]];
      double next = i == n - 1 ? 1 : alphaBar[t[i + 1]];
      double[] clean = denoise(scaled(z, 1 / Math.sqrt(a)), sigmaAt(t[i]));
      double[] eps = scaled(plus(z, -Math.sqrt(a), clean), 1 / Math.sqrt(1 - a));
      boolean data = ((i + 1) % spec.every() == 0 || i == n - 1) && i < spec.until() * n;
      if (!data) {
        z = plus(scaled(clean, Math.sqrt(next)), Math.sqrt(1 - next), eps);
        continue;
      }
      double[] x = proximal(times(oracle.codec, clean), 1 / lambda);
      double[] mixed = plus(scaled(times(oracle.inverseCodec, x), next), 1 - next, clean);
      z = plus(scaled(mixed, Math.sqrt(next)), 1 - next, eps);
      z = plus(z, Math.sqrt(next * (1 - next)), normal(random, GaussianOracle.D));
    }
    return times(oracle.codec, z);
  }

  private double[][] pictureGain(double sigma) {
    double[][] prior = times(oracle.codec, times(oracle.covariance, transpose(oracle.codec)));
    return pictureGains.computeIfAbsent(sigma, s -> GaussianLatentModel.gain(prior, s));
  }

  private double[] denoisePicture(double[] x, double sigma) {
    double[] centre = times(oracle.codec, oracle.mean);
    return plus(centre, 1, times(pictureGain(sigma), plus(x, -1, centre)));
  }

  /** CDIM with its traces from the matrix and its step searched on a fine grid. */
  double[] cdim(Cdim.Spec spec, SplittableRandom random) {
    int stride = 1000 / spec.steps();
    double noise = GaussianOracle.SIGMA * GaussianOracle.SIGMA;
    double m = GaussianOracle.M;
    double trace = 0;
    double squared = 0;
    for (int i = 0; i < GaussianOracle.M; i++) {
      trace += gram[i][i];
      squared += dot(gram[i], gram[i]);
    }
    double yy = dot(oracle.y, oracle.y);
    double[] aty = times(back, oracle.y);
    double[] x = normal(random, GaussianOracle.D);
    for (int i = spec.steps() - 1; ; i--) {
      // the schedule's steps begin at timestep 1
      double a = alphaBar[i * stride + 1];
      double[] clean = denoisePicture(scaled(x, 1 / Math.sqrt(a)), sigmaAt(i * stride + 1));
      if (i == 0) {
        return clean;
      }
      double s = alphaBar[(i - 1) * stride + 1];
      double[] eps = scaled(plus(x, -Math.sqrt(a), clean), 1 / Math.sqrt(1 - a));
      x = plus(scaled(clean, Math.sqrt(s)), Math.sqrt(1 - s), eps);
      double e = Math.sqrt(s) - 1;
      double b = 1 - s;
      double mean = e * e * yy + b * trace + m * noise * (1 - e * e);
      double variance =
          2 * (b * b * squared + 2 * b * noise * trace + m * noise * noise)
              + 4 * e * e * (b * (dot(aty, aty) - noise * trace) + noise * (yy - m * noise));
      double bound = mean + spec.band() * Math.sqrt(variance);
      for (int k = 0; k < spec.iterations(); k++) {
        double[] r = misfit(x);
        if (dot(r, r) <= bound) {
          break;
        }
        double sigma = sigmaAt((i - 1) * stride + 1);
        double[] estimate = denoisePicture(scaled(x, 1 / Math.sqrt(s)), sigma);
        double[] g =
            times(
                transpose(pictureGain(sigma)),
                scaled(times(back, misfit(estimate)), -2 / Math.sqrt(s)));
        double step = smallestStep(x, g, bound);
        x = plus(x, -step, g);
        if (step == 0) {
          break;
        }
      }
    }
  }

  /** By bisection between no step and the one of the least residual. */
  private double smallestStep(double[] x, double[] g, double bound) {
    double[] r = misfit(x);
    double[] ag = times(oracle.a, g);
    double best = -dot(r, ag) / dot(ag, ag);
    if (best <= 0) {
      return 0;
    }
    double[] least = misfit(plus(x, -best, g));
    if (dot(least, least) > bound) {
      return best;
    }
    double low = 0;
    double high = best;
    for (int k = 0; k < 60; k++) {
      double middle = (low + high) / 2;
      double[] at = misfit(plus(x, -middle, g));
      if (dot(at, at) > bound) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return high;
  }

  /** SITCOM, algorithm 1, with Adam written out. */
  double[] sitcom(Sitcom.Spec spec, SplittableRandom random) {
    int n = spec.steps();
    int[] t = trailing(n);
    double[] x = normal(random, GaussianOracle.D);
    for (int i = 0; ; i++) {
      double a = alphaBar[t[i]];
      double sigma = sigmaAt(t[i]);
      double[] v = x.clone();
      double[] first = new double[GaussianOracle.D];
      double[] second = new double[GaussianOracle.D];
      for (int k = 1; k <= spec.iterations(); k++) {
        double[] r = misfit(denoisePicture(scaled(v, 1 / Math.sqrt(a)), sigma));
        if (dot(r, r) <= GaussianOracle.M * GaussianOracle.SIGMA * GaussianOracle.SIGMA) {
          break;
        }
        double[] g =
            times(transpose(pictureGain(sigma)), scaled(times(back, r), -2 / Math.sqrt(a)));
        g = plus(g, 2 * spec.lambda(), plus(v, -1, x));
        for (int d = 0; d < v.length; d++) {
          first[d] = 0.9 * first[d] + 0.1 * g[d];
          second[d] = 0.999 * second[d] + 0.001 * g[d] * g[d];
          double root = Math.sqrt(second[d] / (1 - Math.pow(0.999, k))) + 1e-8;
          v[d] -= spec.learningRate() * first[d] / (1 - Math.pow(0.9, k)) / root;
        }
      }
      double[] clean = denoisePicture(scaled(v, 1 / Math.sqrt(a)), sigma);
      if (i == n - 1) {
        return clean;
      }
      double s = alphaBar[t[i + 1]];
      x = plus(scaled(clean, Math.sqrt(s)), Math.sqrt(1 - s), normal(random, GaussianOracle.D));
    }
  }

  private double[] pseudoInverse(double[] measured) {
    return times(back, times(inverse(gram), measured));
  }

  private double[] ancestral(
      double[] z, double[] clean, double a, double s, boolean last, SplittableRandom random) {
    double alpha = a / s;
    double[] mean =
        plus(
            scaled(clean, Math.sqrt(s) * (1 - alpha) / (1 - a)),
            Math.sqrt(alpha) * (1 - s) / (1 - a),
            z);
    double sd = Math.sqrt((1 - alpha) * (1 - s) / (1 - a));
    return last ? mean : plus(mean, sd, normal(random, GaussianOracle.D));
  }

  /** MCG, algorithm 1, on the prior of pictures. */
  double[] mcg(Mcg.Spec spec, SplittableRandom random) {
    return mcg(spec, 0, random);
  }

  /**
   * The same with {@code A^T (A A^T + damping I)^-1} in place of {@code A^+}.
   *
   * @param damping squared singular value
   */
  double[] mcg(Mcg.Spec spec, double damping, SplittableRandom random) {
    double[][] damped = plus(gram, damping, diagonal(GaussianOracle.M, i -> 1));
    double[][] inverse = times(back, inverse(damped));
    int n = spec.steps();
    int[] t = trailing(n);
    double[] x = normal(random, GaussianOracle.D);
    for (int i = 0; i < n; i++) {
      double a = alphaBar[t[i]];
      double s = i == n - 1 ? 1 : alphaBar[t[i + 1]];
      double[] clean = denoisePicture(scaled(x, 1 / Math.sqrt(a)), sigmaAt(t[i]));
      double[] r = misfit(clean);
      double[] g =
          times(
              transpose(pictureGain(sigmaAt(t[i]))),
              scaled(times(back, r), -1 / Math.sqrt(a * dot(r, r))));
      double eta = bounded(spec.zeta() * 1000 / n, g, excess(r), spec.polyak());
      double[] moved = plus(ancestral(x, clean, a, s, i == n - 1, random), -eta, g);
      double[] data = scaled(oracle.y, Math.sqrt(s));
      if (i < n - 1) {
        data = plus(data, Math.sqrt(1 - s), times(oracle.a, normal(random, GaussianOracle.D)));
      }
      double[] off = plus(moved, -1, times(inverse, times(oracle.a, moved)));
      x = plus(off, 1, times(inverse, data));
    }
    return x;
  }

  /** MCG with the projection on the decoded estimate. */
  double[] latentMcg(Mcg.Spec spec, SplittableRandom random) {
    int n = spec.steps();
    int[] t = trailing(n);
    double[] z = normal(random, GaussianOracle.D);
    for (int i = 0; i < n; i++) {
      double a = alphaBar[t[i]];
      double s = i == n - 1 ? 1 : alphaBar[t[i + 1]];
      double[] clean = denoise(scaled(z, 1 / Math.sqrt(a)), sigmaAt(t[i]));
      double[] x = times(oracle.codec, clean);
      double[] r = misfit(x);
      double[] g =
          times(
              transpose(gain(sigmaAt(t[i]))),
              scaled(times(transpose(forward), r), -1 / Math.sqrt(a * dot(r, r))));
      double[] replaced = times(oracle.inverseCodec, plus(x, 1, pseudoInverse(r)));
      double eta = bounded(spec.zeta() * 1000 / n, g, excess(r), spec.polyak());
      z = plus(ancestral(z, replaced, a, s, i == n - 1, random), -eta, g);
    }
    return times(oracle.codec, z);
  }

  /** PSLD, algorithm 2, its gradient from the matrices of the whole chain. */
  double[] psld(Psld.Spec spec, SplittableRandom random) {
    int n = spec.steps();
    int[] t = trailing(n);
    double norm = squaredNorm();
    double[][] into = plus(diagonal(GaussianOracle.D, i -> 1), -1 / norm, times(back, oracle.a));
    // d (E(x+) - z0) / d z0
    double[][] glue =
        plus(
            times(oracle.inverseCodec, times(into, oracle.codec)),
            -1,
            diagonal(GaussianOracle.D, i -> 1));
    double[] z = normal(random, GaussianOracle.D);
    for (int i = 0; i < n; i++) {
      double a = alphaBar[t[i]];
      double s = i == n - 1 ? 1 : alphaBar[t[i + 1]];
      double[] clean = denoise(scaled(z, 1 / Math.sqrt(a)), sigmaAt(t[i]));
      double[] x = times(oracle.codec, clean);
      double[] r = misfit(x);
      double[] gap = plus(times(oracle.inverseCodec, plus(x, 1 / norm, times(back, r))), -1, clean);
      double[] pull =
          plus(
              scaled(times(transpose(forward), r), -spec.omega() / Math.sqrt(dot(r, r))),
              spec.gamma() / Math.sqrt(dot(gap, gap)),
              times(transpose(glue), gap));
      double[] g = scaled(times(transpose(gain(sigmaAt(t[i]))), pull), 1 / Math.sqrt(a));
      double[] eps = scaled(plus(z, -Math.sqrt(a), clean), 1 / Math.sqrt(1 - a));
      z = plus(scaled(clean, Math.sqrt(s)), Math.sqrt(1 - s), eps);
      double over = spec.omega() * excess(r) + spec.gamma() * Math.sqrt(dot(gap, gap));
      z = plus(z, -bounded(1000.0 / n, g, over, spec.polyak()), g);
    }
    return times(oracle.codec, z);
  }
}
