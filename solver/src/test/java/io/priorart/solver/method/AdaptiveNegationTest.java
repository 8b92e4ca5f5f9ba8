package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** {@link Treg}'s, against Adam itself on its objective. */
class AdaptiveNegationTest {
  private static final int TOKENS = GaussianLatentModel.TOKENS;
  private static final int WIDTH = GaussianLatentModel.WIDTH;
  private static final double RATE = 0.03;
  private static final GaussianOracle ORACLE = new GaussianOracle(1);

  /** Keeps the negative prompt of each evaluation. */
  private static final class Recording extends GaussianLatentModel {
    final List<float[]> negatives = new ArrayList<>();

    Recording(NDManager manager) {
      super(manager, ORACLE.mean, ORACLE.covariance, ORACLE.codec);
    }

    @Override
    public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
      negatives.add(
          conditioning.negative() == null ? null : conditioning.negative().toFloatArray());
      return super.denoise(z, sigma, conditioning);
    }
  }

  private static Recording solved(
      NDManager manager, double[] prompt, double[] negative, double guidanceScale) {
    Shape shape = new Shape(1, TOKENS, WIDTH);
    Conditioning text =
        new Conditioning(
            manager.create(Matrices.floats(prompt), shape),
            negative == null ? null : manager.create(Matrices.floats(negative), shape),
            guidanceScale);
    Recording model = new Recording(manager);
    new Treg(new Treg.Spec(6, 2, 1, 0, 30, RATE))
        .solve(
            ORACLE.problem(),
            model,
            new SolveContext(manager, text, 1, SolveListener.NONE, () -> false, null));
    assertEquals(6, model.negatives.size());
    return model;
  }

  /** Ten steps of Adam on the mean over tokens of {@code <f, u_t>}. */
  private static double[] adam(double[] u, double[] f) {
    double[] out = u.clone();
    for (int i = 0; i < out.length; i++) {
      double gradient = f[i % WIDTH] / TOKENS;
      double m = 0;
      double v = 0;
      for (int k = 1; k <= 10; k++) {
        m = 0.9 * m + 0.1 * gradient;
        v = 0.999 * v + 0.001 * gradient * gradient;
        double step = m / (1 - Math.pow(0.9, k));
        out[i] -= RATE * step / (Math.sqrt(v / (1 - Math.pow(0.999, k))) + 1e-8);
      }
    }
    return out;
  }

  private static double[] meanToken(double[] embedding) {
    double[] mean = new double[WIDTH];
    for (int i = 0; i < embedding.length; i++) {
      mean[i % WIDTH] += embedding[i] / TOKENS;
    }
    return mean;
  }

  @Test
  void eachDataStepMovesTheNegativePromptAwayAsAdamDoes() {
    SplittableRandom random = new SplittableRandom(3);
    double[] prompt = Matrices.normal(random, TOKENS * WIDTH);
    double[] negative = Matrices.normal(random, TOKENS * WIDTH);
    double[] f = Matrices.plus(meanToken(prompt), -1, meanToken(negative));
    try (NDManager manager = NDManager.newBaseManager()) {
      Recording model = solved(manager, prompt, negative, 4);
      double[] expected = negative;
      for (int i = 0; i < 6; i++) {
        assertArrayEquals(Matrices.floats(expected), model.negatives.get(i), 1e-5f, "step " + i);
        if (i % 2 == 1) {
          expected = adam(expected, f);
        }
      }
    }
  }

  @Test
  void withoutGuidanceThereIsNothingToNegate() {
    double[] prompt = Matrices.normal(new SplittableRandom(3), TOKENS * WIDTH);
    try (NDManager manager = NDManager.newBaseManager()) {
      solved(manager, prompt, null, 1).negatives.forEach(n -> assertNull(n));
    }
  }
}
