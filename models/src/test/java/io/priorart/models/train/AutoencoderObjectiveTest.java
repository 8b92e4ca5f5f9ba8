package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The auto-encoder's loss where it is known: last layers of zeros say their biases. */
class AutoencoderObjectiveTest {
  private static final int SIDE = 16;
  private static final AutoencoderKL.Config TINY =
      new AutoencoderKL.Config(3, 3, new int[] {4, 8}, 1, 4, 2, false, false, false, 1, 0);
  private static final float[] COLOUR = {0.3f, -0.2f, 0.1f};
  private static final float[] MOMENTS = {0.5f, -1, 0, 0.2f, -2, 0.4f, 0, -0.5f};

  @TempDir private Path dir;

  private static AutoencoderTraining.Options options(int scales, boolean squared) {
    return new AutoencoderTraining.Options(
        SIDE, 2, 1e-3, 0.01, 0.5, scales, squared, Duration.ZERO, 1);
  }

  @Test
  void isItsFormula() {
    HostTensor x = new NoiseSource(1).normal(new Shape(2, 3, SIDE, SIDE));
    HostTensor noise = new NoiseSource(2).normal(new Shape(2, 4, SIDE / 2, SIDE / 2));
    for (int scales : new int[] {1, 3}) {
      for (boolean squared : new boolean[] {false, true}) {
        Script script =
            AutoencoderTraining.script(TINY, options(scales, squared), CompileOptions.REFERENCE);
        NoiseSource random = new NoiseSource(3);
        Map<String, HostTensor> weights = new HashMap<>();
        script
            .weights()
            .forEach(
                w -> {
                  HostTensor values = random.normal(w.shape());
                  float scale = w.name().contains("conv_out.") ? 0 : 0.1f;
                  for (int i = 0; i < values.values().length; i++) {
                    values.values()[i] *= scale;
                  }
                  weights.put(w.name(), values);
                });
        weights.put("decoder.conv_out.bias", new HostTensor(new Shape(3), COLOUR));
        weights.put("encoder.conv_out.bias", new HostTensor(new Shape(8), MOMENTS));
        Path state = dir.resolve(scales + "-" + squared);
        try (Trainer trainer = new Trainer(script, state, random, weights::get)) {
          float[] report = trainer.step(0, x.to(trainer.manager()), noise.to(trainer.manager()));
          double[] expected = expected(x, scales, squared);
          assertEquals(expected[0], report[6], 1e-5, "distance");
          assertEquals(expected[1], report[7], 1e-5, "gradient");
          assertEquals(expected[2], report[8], 1e-5, "KL");
          assertEquals(
              expected[0] + 0.5 * expected[1] + 0.01 * expected[2], report[0], 1e-5, "loss");
        }
      }
    }
  }

  private static double[] expected(HostTensor x, int scales, boolean squared) {
    double distance = 0;
    double gradient = 0;
    for (int plane = 0; plane < 6; plane++) {
      double[][] error = new double[SIDE][SIDE];
      for (int p = 0; p < SIDE * SIDE; p++) {
        double e = COLOUR[plane % 3] - x.values()[plane * SIDE * SIDE + p];
        error[p / SIDE][p % SIDE] = e;
        distance += (squared ? e * e : Math.abs(e)) / (6 * SIDE * SIDE);
      }
      for (int k = 0; k < scales; k++) {
        int n = error.length;
        for (int r = 0; r < n; r++) {
          for (int c = 0; c < n; c++) {
            double across = c == 0 ? 0 : Math.abs(error[r][c] - error[r][c - 1]);
            double down = r == 0 ? 0 : Math.abs(error[r][c] - error[r - 1][c]);
            gradient += (across + down) / (6.0 * n * (n - 1) * scales);
          }
        }
        double[][] half = new double[n / 2][n / 2];
        for (int r = 0; r < n; r++) {
          for (int c = 0; c < n; c++) {
            half[r / 2][c / 2] += error[r][c] / 4;
          }
        }
        error = half;
      }
    }
    double kl = 0;
    for (int c = 0; c < 4; c++) {
      double mean = MOMENTS[c];
      double logVariance = MOMENTS[4 + c];
      kl += 0.5 * (mean * mean + Math.exp(logVariance) - logVariance - 1) / 4;
    }
    return new double[] {distance, gradient, kl};
  }

  @Test
  void scalesMustLeavePixels() {
    PriorArtException e = assertThrows(PriorArtException.class, () -> options(5, false));
    assertTrue(e.getMessage().startsWith("gradient-scales: "), e.getMessage());
    assertThrows(PriorArtException.class, () -> options(0, false));
  }
}
