package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.TensorScope;

/**
 * The penalty {@code R} that a learned proximal operator {@code f} belongs to, at a picture: {@code
 * R(x) = <v, x> - ||x||^2 / 2 - psi(v)} with {@code f(v) = x} (Fang et al., ICLR 2024, arXiv
 * 2310.14344, section 3). {@code -R/sigma^2} is its log-prior but for a constant. {@code v}
 * minimises the convex {@code psi(v) - <v, x>}, whose gradient is {@code f(v) - x}.
 *
 * @param value {@code R(x)}, summed over the picture's values
 * @param logPrior {@code -R(x)/sigma^2}
 * @param residual root mean square of {@code f(v) - x}: how well {@code f} could be inverted, the
 *     value is as exact
 */
public record LearnedPenalty(double value, double logPrior, double residual) {
  private static final double RATE = 0.01;

  /**
   * Evaluates one picture by Adam from {@code v = x}.
   *
   * @param x {@code [1, 3, H, W]}
   * @param iterations one evaluation each; the paper takes 2,000
   * @param between called before every iteration; may throw to stop
   */
  public static LearnedPenalty at(LearnedProximal f, NDArray x, int iterations, Runnable between) {
    float[] best = x.toFloatArray();
    double least = Double.POSITIVE_INFINITY;
    try (AdamW point = new AdamW(x, RATE, 0)) {
      for (int i = 0; i < iterations; i++) {
        between.run();
        try (TensorScope step = new TensorScope()) {
          NDArray gradient = f.apply(point.point()).sub(x);
          double rms = Math.sqrt(Observation.sumsOfSquares(gradient)[0] / x.size());
          if (rms < least) {
            least = rms;
            best = point.point().toFloatArray();
          }
          point.step(gradient, new double[] {1});
        }
      }
    }
    try (TensorScope scope = new TensorScope()) {
      NDArray v = x.getManager().create(best, x.getShape());
      double value =
          Observation.dots(v, x)[0]
              - 0.5 * Observation.sumsOfSquares(x)[0]
              - f.potential(v).toFloatArray()[0];
      return new LearnedPenalty(value, -value / (f.sigma() * f.sigma()), least);
    }
  }
}
