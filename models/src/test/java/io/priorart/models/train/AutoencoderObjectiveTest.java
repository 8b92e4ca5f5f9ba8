package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
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
        SIDE,
        2,
        1e-3,
        AutoencoderObjective.plain(0.01, 0.5, scales, squared),
        false,
        0,
        Duration.ZERO,
        1);
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

  private static AutoencoderTraining.Options options(int side, AutoencoderObjective objective) {
    return new AutoencoderTraining.Options(side, 2, 1e-3, objective, false, 0, Duration.ZERO, 1);
  }

  private static Map<String, HostTensor> weights(Script script) {
    NoiseSource random = new NoiseSource(3);
    Map<String, HostTensor> weights = new HashMap<>();
    script
        .weights()
        .forEach(
            w -> {
              HostTensor values = random.normal(w.shape());
              for (int i = 0; i < values.values().length; i++) {
                values.values()[i] *= 0.2f;
              }
              weights.put(w.name(), values);
            });
    return weights;
  }

  /** Pictures near one colour, so that structure is neither lost nor whole. */
  private static HostTensor faint(int side) {
    HostTensor x = new NoiseSource(1).normal(new Shape(2, 3, side, side));
    for (int i = 0; i < x.values().length; i++) {
      x.values()[i] = COLOUR[i / (side * side) % 3] + 0.05f * x.values()[i];
    }
    return x;
  }

  @Test
  void structureIsTwoScalesOfSsim() {
    int side = 32;
    AutoencoderObjective objective = new AutoencoderObjective(0, 0, 1, false, 0.7, 0, 0, 0, 1);
    Script script =
        AutoencoderTraining.script(TINY, options(side, objective), CompileOptions.REFERENCE);
    Map<String, HostTensor> weights = weights(script);
    weights.put("decoder.conv_out.weight", new HostTensor(new Shape(3, 4, 3, 3), new float[108]));
    weights.put("decoder.conv_out.bias", new HostTensor(new Shape(3), COLOUR));
    HostTensor x = faint(side);
    HostTensor noise = new NoiseSource(2).normal(new Shape(2, 4, 16, 16));
    double expected = 0;
    for (int sample = 0; sample < 2; sample++) {
      double product = 1;
      double[] exponents = {0.0448 / 0.3304, 0.2856 / 0.3304};
      for (int k = 0; k < 2; k++) {
        double mean = 0;
        for (int c = 0; c < 3; c++) {
          mean += structure(plane(x, sample * 3 + c, side, k), COLOUR[c], k == 1) / 3;
        }
        product *= Math.pow(mean, exponents[k]);
      }
      expected += product / 2;
    }
    assertTrue(expected > 0.3 && expected < 0.95, "telling: " + expected);
    try (Trainer trainer =
        new Trainer(script, dir.resolve("none"), new NoiseSource(3), weights::get)) {
      float[] report = trainer.step(0, x.to(trainer.manager()), noise.to(trainer.manager()));
      assertEquals(expected, report[9], 1e-4);
      assertEquals(report[6] + 0.7 * (1 - report[9]), report[0], 1e-5);
    }
  }

  private static double[][] plane(HostTensor x, int index, int side, int halvings) {
    double[][] plane = new double[side >> halvings][side >> halvings];
    for (int p = 0; p < side * side; p++) {
      double value = x.values()[index * side * side + p];
      plane[p / side >> halvings][p % side >> halvings] += value / (1 << 2 * halvings);
    }
    return plane;
  }

  /** Against a plane of one value: no covariance, no variance of its own. */
  private static double structure(double[][] plane, double colour, boolean luminance) {
    double[] window = MultiScaleStructure.window();
    int n = plane.length - window.length + 1;
    double sum = 0;
    for (int top = 0; top < n; top++) {
      for (int left = 0; left < n; left++) {
        double mean = 0;
        double square = 0;
        for (int p = 0; p < window.length * window.length; p++) {
          int row = p / window.length;
          int column = p % window.length;
          double value = plane[top + row][left + column];
          mean += window[row] * window[column] * value;
          square += window[row] * window[column] * value * value;
        }
        double ratio = 0.0036 / (square - mean * mean + 0.0036);
        double light = (2 * mean * colour + 4e-4) / (mean * mean + colour * colour + 4e-4);
        sum += luminance ? ratio * light : ratio;
      }
    }
    return sum / (n * n);
  }

  private static final AutoencoderObjective ADVERSARIAL =
      new AutoencoderObjective(0, 0.5, 1, false, 0, 0.5, 0, 0, 1);

  /** The weight is the ratio of two gradients at the last convolution, here by differences. */
  @Test
  void theDiscriminatorCountsByTheRatioOfGradients() {
    int side = 32;
    AutoencoderTraining.Options options = options(side, ADVERSARIAL);
    Script script = AutoencoderTraining.script(TINY, options, CompileOptions.REFERENCE);
    Map<String, HostTensor> weights = weights(script);
    String last = "decoder.conv_out.weight";
    float h = 1e-2f;
    double[] squares = new double[2];
    for (int i = 0; i < 108; i++) {
      double[][] found = new double[2][2];
      for (int way = 0; way < 2; way++) {
        float[] moved = weights.get(last).values().clone();
        moved[i] += (2 * way - 1) * h;
        HostTensor tensor = new HostTensor(weights.get(last).shape(), moved);
        float[] report =
            adversarialStep(script, name -> name.equals(last) ? tensor : weights.get(name), 1);
        found[way][0] = report[6] + 0.5 * report[7];
        found[way][1] = report[9];
      }
      for (int k = 0; k < 2; k++) {
        squares[k] += Math.pow((found[1][k] - found[0][k]) / (2 * h), 2);
      }
    }
    double ratio = Math.sqrt(squares[0]) / (Math.sqrt(squares[1]) + 1e-4);
    float[] report = adversarialStep(script, weights::get, 1);
    double reconstruction = report[6] + 0.5 * report[7];
    assertEquals(0.5 * ratio * report[9], report[0] - reconstruction, 0.05 * Math.abs(report[0]));
    assertTrue(Math.abs(report[0] - reconstruction) > 0.1 * reconstruction, "it counts");
    report = adversarialStep(script, weights::get, 0);
    assertEquals(report[6] + 0.5 * report[7], report[0], 1e-6, "not yet");
  }

  private float[] adversarialStep(
      Script script, Function<String, HostTensor> weights, float active) {
    return adversarialStep(script, weights, active, dir.resolve("adversarial"));
  }

  private static float[] adversarialStep(
      Script script, Function<String, HostTensor> weights, float active, Path state) {
    try (Trainer trainer =
        new Trainer(script, state.resolveSibling("none"), new NoiseSource(3), weights)) {
      NDManager manager = trainer.manager();
      HostTensor noise = new NoiseSource(2).normal(new Shape(2, 4, 16, 16));
      float[] report =
          trainer.step(
              0, faint(32).to(manager), noise.to(manager), manager.create(new float[] {active}));
      trainer.save(state);
      return report;
    }
  }

  @Test
  void eachLossTrainsItsOwnWeights() {
    AutoencoderTraining.Options options = options(32, ADVERSARIAL);
    Script script = AutoencoderTraining.script(TINY, options, CompileOptions.REFERENCE);
    Map<String, HostTensor> weights = weights(script);
    String constant = "discriminator.conv.4.weight";
    HostTensor zeros =
        new HostTensor(
            weights.get(constant).shape(), new float[weights.get(constant).values().length]);
    weights.put(constant, zeros);
    weights.put("discriminator.conv.4.bias", new HostTensor(new Shape(1), new float[] {0.3f}));
    Path state = dir.resolve("adversarial");
    float[] report = adversarialStep(script, weights::get, 1, state);
    assertEquals(-0.3, report[9], 1e-6, "what it says of all");
    assertEquals(0.5 * (0.7 + 1.3), report[10], 1e-6, "hinge of both");
    // a judge of one word for all gives the generator no direction, and has one itself
    SafetensorsFile found = SafetensorsFile.open(state);
    assertTrue(norm(found.read("m/" + constant)) > 0);
    AutoencoderTraining.Options plain = options(32, AutoencoderObjective.plain(0, 0.5, 1, false));
    Script alone = AutoencoderTraining.script(TINY, plain, CompileOptions.REFERENCE);
    Path other = dir.resolve("plain");
    try (Trainer trainer =
        new Trainer(alone, dir.resolve("none"), new NoiseSource(3), weights::get)) {
      HostTensor noise = new NoiseSource(2).normal(new Shape(2, 4, 16, 16));
      trainer.step(0, faint(32).to(trainer.manager()), noise.to(trainer.manager()));
      trainer.save(other);
    }
    SafetensorsFile expected = SafetensorsFile.open(other);
    for (var w : alone.weights()) {
      String name = "m/" + w.name();
      assertArrayEquals(expected.read(name).values(), found.read(name).values(), 1e-6f, name);
    }
    adversarialStep(script, weights::get, 0, state);
    assertEquals(0, norm(SafetensorsFile.open(state).read("m/" + constant)), "not yet");
  }

  private static double norm(HostTensor tensor) {
    double sum = 0;
    for (float v : tensor.values()) {
      sum += (double) v * v;
    }
    return Math.sqrt(sum);
  }

  /** The gain along {@code J^T r}, the Jacobian by differences. */
  @Test
  void theGainIsMeasuredWhereTheDecoderEnlarges() {
    AutoencoderObjective objective = new AutoencoderObjective(0, 0, 1, true, 0, 0, 0, 0.2, 0.25);
    AutoencoderTraining.Options options =
        new AutoencoderTraining.Options(8, 1, 1e-3, objective, false, 0, Duration.ZERO, 1);
    Script script = AutoencoderTraining.script(TINY, options, CompileOptions.REFERENCE);
    Map<String, HostTensor> weights = weights(script);
    // a posterior without spread, so that the latent is known
    float[] bias = weights.get("encoder.conv_out.bias").values();
    Arrays.fill(bias, 4, 8, -40);
    HostTensor x = new NoiseSource(1).normal(new Shape(1, 3, 8, 8));
    HostTensor r = new NoiseSource(4).normal(new Shape(1, 3, 8, 8));
    Script encoder = AutoencoderKL.compileEncoder(TINY, CompileOptions.REFERENCE);
    Script decoder = AutoencoderKL.compileDecoder(TINY, CompileOptions.REFERENCE);
    try (Trainer trainer =
            new Trainer(script, dir.resolve("none"), new NoiseSource(3), weights::get);
        ScriptModule encode = attach(encoder, weights, trainer.manager());
        ScriptModule decode = attach(decoder, weights, trainer.manager())) {
      NDManager m = trainer.manager();
      float[] z = encode.call("forward", x.to(m))[0].toFloatArray();
      Shape shape = new Shape(1, 4, 4, 4);
      float[] pulled = new float[64];
      for (int i = 0; i < 64; i++) {
        for (int way = -1; way <= 1; way += 2) {
          float[] moved = z.clone();
          moved[i] += way * 5e-3f;
          float[] y = decode.call("forward", m.create(moved, shape))[0].toFloatArray();
          for (int k = 0; k < y.length; k++) {
            pulled[i] += way * y[k] * r.values()[k];
          }
        }
      }
      double length = norm(new HostTensor(shape, pulled));
      float[] moved = z.clone();
      for (int i = 0; i < 64; i++) {
        moved[i] += (float) (AutoencoderTraining.PROBE * pulled[i] / length * 8);
      }
      float[] here = decode.call("forward", m.create(z, shape))[0].toFloatArray();
      float[] there = decode.call("forward", m.create(moved, shape))[0].toFloatArray();
      double up = 0;
      for (int k = 0; k < here.length; k++) {
        up += Math.pow(there[k] - here[k], 2);
      }
      double gain = Math.sqrt(up) / (AutoencoderTraining.PROBE * 8);
      double log = 0;
      for (int c = 0; c < 4; c++) {
        double mean = 0;
        double square = 0;
        for (int p = 0; p < 16; p++) {
          mean += z[c * 16 + p] / 16.0;
          square += z[c * 16 + p] * z[c * 16 + p] / 16.0;
        }
        log += Math.log(Math.sqrt(square - mean * mean) + AutoencoderTraining.VOLUME_FLOOR) / 4;
      }
      float[] report = trainer.step(0, x.to(m), new NoiseSource(2).normal(shape).to(m), r.to(m));
      assertEquals(Math.exp(log), report[9], 1e-4);
      assertEquals(gain, report[10], 1e-2 * gain);
      double excess = Math.max(0, gain / 0.25 - 1);
      assertTrue(excess > 0.1, "over the bound: " + excess);
      double expected = report[6] + 0.2 * report[9] + excess * excess;
      assertEquals(expected, report[0], 0.03 * expected);
    }
  }

  private static ScriptModule attach(
      Script script, Map<String, HostTensor> weights, NDManager manager) {
    ScriptModule module = ScriptModule.load(manager, script);
    NDList tensors = new NDList();
    script.weights().forEach(w -> tensors.add(weights.get(w.name()).to(manager)));
    module.attach("ws", tensors);
    return module;
  }

  @Test
  void scalesMustLeavePixels() {
    PriorArtException e = assertThrows(PriorArtException.class, () -> options(5, false));
    assertTrue(e.getMessage().startsWith("gradient-scales: "), e.getMessage());
    assertThrows(PriorArtException.class, () -> options(0, false));
    AutoencoderObjective structure = new AutoencoderObjective(0, 0, 1, true, 1, 0, 0, 0, 1);
    e = assertThrows(PriorArtException.class, () -> options(8, structure));
    assertTrue(e.getMessage().startsWith("ms-ssim-weight: "), e.getMessage());
    e = assertThrows(PriorArtException.class, () -> options(16, ADVERSARIAL));
    assertTrue(e.getMessage().startsWith("adversarial-weight: "), e.getMessage());
    e =
        assertThrows(
            PriorArtException.class, () -> new AutoencoderObjective(0, 0, 1, true, 0, 0, 0, 1, 0));
    assertTrue(e.getMessage().startsWith("lipschitz: "), e.getMessage());
  }
}
