package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelVerification;
import io.priorart.models.Prior;
import io.priorart.models.ProximalPrior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.network.ConvexPotential;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A learned proximal network, trained for a moment: what holds by construction holds. */
class ProximalTrainingTest {
  private static final ConvexPotential.Config TINY =
      new ConvexPotential.Config(3, 6, 2, 20, 0.1, 0.2);
  private static final Shape PICTURE = new Shape(1, 3, 8, 12);

  @TempDir private Path dir;
  private Path checkpoint;
  private SafetensorsFile before;

  private static ProximalTraining.Options options() {
    return new ProximalTraining.Options(16, 4, 0.16, 1e-2, Duration.ofMinutes(5), 3);
  }

  @BeforeEach
  void train() throws Exception {
    checkpoint = dir.resolve("lpn");
    Script script = ProximalTraining.script(TINY);
    try (Trainer trainer = new Trainer(script, dir.resolve("none"), new NoiseSource(3))) {
      trainer.save(dir.resolve("fresh"));
    }
    before = SafetensorsFile.open(dir.resolve("fresh"));
    ProximalTraining.run(
        TINY,
        options(),
        TinyTraining.pictures(4, "stripes"),
        TinyTraining.lap(dir.resolve("state"), checkpoint, null, 40));
  }

  private HostTensor weight(String name) {
    return SafetensorsFile.open(
            checkpoint.resolve(ProximalPrior.PART).resolve("diffusion_pytorch_model.safetensors"))
        .read(name);
  }

  @Test
  void everyWeightLearnsAndWhatMustNotBeNegativeIsNot() {
    SafetensorsFile after = SafetensorsFile.open(dir.resolve("state"));
    int bounded = 0;
    for (String name : before.shapes().keySet()) {
      if (name.startsWith("ws/")) {
        assertNotEquals(before.read(name), after.read(name), name);
        if (name.endsWith(ConvexPotential.NON_NEGATIVE)) {
          bounded++;
          for (float w : after.read(name).values()) {
            assertTrue(w >= 0, name + " " + w);
          }
        }
      }
    }
    assertEquals(5, bounded);
  }

  @Test
  void theLossFallsInBothHalves() {
    Script script = ProximalTraining.script(TINY);
    NoiseSource random = new NoiseSource(1);
    PatchSampler sampler = new PatchSampler(TinyTraining.pictures(4, "stripes"), 16, random);
    for (double fraction : new double[] {0.1, 0.6}) {
      try (Trainer trainer = new Trainer(script, dir.resolve("other"), random)) {
        double first = 0;
        double last = 0;
        for (int i = 0; i < 120; i++) {
          NDArray[] batch =
              ProximalTraining.batch(options(), fraction, sampler, random, trainer.manager());
          float loss = trainer.step(1e-2, batch)[0];
          first += i < 10 ? loss / 10 : 0;
          last += i >= 110 ? loss / 10 : 0;
        }
        assertTrue(last < 0.7 * first, fraction + ": " + first + " to " + last);
      }
    }
  }

  @Test
  void aNegativeWeightIsRefused() {
    Path file =
        checkpoint.resolve(ProximalPrior.PART).resolve("diffusion_pytorch_model.safetensors");
    SafetensorsFile trained = SafetensorsFile.open(file);
    Map<String, HostTensor> changed = new LinkedHashMap<>();
    trained.shapes().keySet().forEach(name -> changed.put(name, trained.read(name)));
    changed.get("layers.2.convex.weight").values()[7] = -0.5f;
    SafetensorsWriter.write(file, changed, Map.of("format", "pt"), true);
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> ModelFamilies.load(checkpoint, CompileOptions.AUTO));
    assertTrue(
        e.getMessage().endsWith("layers.2.convex.weight must not be negative, holds -0.5"),
        e.getMessage());
  }

  @Test
  void gammaIsHalvedInFourPieces() {
    double[] expected = {0, 0, 8, 4, 2, 1, 1};
    double[] fractions = {0, 0.49, 0.5, 0.63, 0.76, 0.9, 1};
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], ProximalTraining.gamma(1, fractions[i]), 1e-12, "" + fractions[i]);
    }
  }

  @Test
  void theOutputIsTheGradientOfAConvexFunction() {
    try (Prior prior = ModelFamilies.load(checkpoint, CompileOptions.AUTO)) {
      assertTrue(prior.traits().proximal() && prior.traits().pixelSpace());
      LatentDiffusionModel model = prior.bind(8, 12);
      LearnedProximal f = model.proximal();
      NoiseSource random = new NoiseSource(5);
      try (NDManager manager = model.manager().newSubManager()) {
        for (int k = 0; k < 10; k++) {
          NDArray a = random.normal(manager, PICTURE).mul(0.5);
          NDArray b = random.normal(manager, PICTURE).mul(0.5);
          double monotone = dot(f.apply(a).sub(f.apply(b)), a.sub(b));
          assertTrue(monotone > 0, "" + monotone);
          double middle = f.potential(a.add(b).div(2)).toFloatArray()[0];
          double pa = f.potential(a).toFloatArray()[0];
          double pb = f.potential(b).toFloatArray()[0];
          assertTrue(middle <= (pa + pb) / 2 + 1e-4, middle + " over " + (pa + pb) / 2);
        }
        NDArray x = random.normal(manager, PICTURE).mul(0.5);
        float[] found = f.apply(x).toFloatArray();
        double[] point = doubles(x.toFloatArray());
        assertEquals(potential(point), f.potential(x).toFloatArray()[0], 1e-3);
        for (int i = 0; i < found.length; i += 7) {
          double[] up = point.clone();
          double[] down = point.clone();
          up[i] += 1e-4;
          down[i] -= 1e-4;
          assertEquals((potential(up) - potential(down)) / 2e-4, found[i], 1e-3, "value " + i);
        }
        assertEquals(
            0,
            dot(model.proximal().apply(x).sub(prior.bind(8, 12).proximal().apply(x)), x),
            1e-9,
            "the same every time");
        PriorArtException e =
            assertThrows(PriorArtException.class, () -> model.denoise(x, 0.2, Conditioning.NONE));
        assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
        HostTensor traced = prior.trace("proximal", Map.of("x", HostTensor.of(x)));
        assertEquals(potential(point), traced.values()[0], 1e-3);
      }
      assertEquals(1, ModelVerification.run(prior, 16).size());
      assertTrue(ModelVerification.run(prior, 16).get(0).passed());
      padded(prior);
    }
  }

  private static void padded(Prior prior) {
    LatentDiffusionModel odd = prior.bind(7, 10);
    try (NDManager manager = odd.manager().newSubManager()) {
      NDArray x = new NoiseSource(1).normal(manager, new Shape(1, 3, 7, 10));
      assertEquals(x.getShape(), odd.proximal().apply(x).getShape());
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> odd.proximal().potential(x));
      assertTrue(e.getMessage().contains("size: must be multiples of 4"), e.getMessage());
    }
  }

  private static double dot(NDArray a, NDArray b) {
    return a.mul(b).sum().getFloat();
  }

  private static double[] doubles(float[] values) {
    double[] all = new double[values.length];
    for (int i = 0; i < all.length; i++) {
      all[i] = values[i];
    }
    return all;
  }

  // ---- psi as loops in double precision

  private double potential(double[] x) {
    int h = (int) PICTURE.get(2);
    int w = (int) PICTURE.get(3);
    double[] z = softplus(convolved(x, h, w, 1, weight("conv_in.weight"), weight("conv_in.bias")));
    double[] small = x;
    for (int k = 0; k < 2 * TINY.levels(); k++) {
      int stride = k % 2 == 0 ? 2 : 1;
      if (stride == 2) {
        small = halved(small, h, w);
      }
      String layer = "layers." + k + ".";
      z = convolved(z, h, w, stride, weight(layer + "convex.weight"), null);
      h /= stride;
      w /= stride;
      double[] skip =
          convolved(small, h, w, 1, weight(layer + "skip.weight"), weight(layer + "skip.bias"));
      for (int i = 0; i < z.length; i++) {
        z[i] += skip[i];
      }
      z = softplus(z);
    }
    double sum = 0;
    float[] last = weight("conv_out.convex.weight").values();
    for (int i = 0; i < z.length; i++) {
      sum += last[i / (h * w)] * z[i];
    }
    for (double v : x) {
      sum += TINY.alpha() / 2 * v * v;
    }
    return sum;
  }

  private static double[] softplus(double[] x) {
    double[] y = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      double t = TINY.beta() * x[i];
      y[i] = t > 20 ? x[i] : Math.log1p(Math.exp(t)) / TINY.beta();
    }
    return y;
  }

  private static double[] halved(double[] x, int h, int w) {
    double[] y = new double[x.length / 4];
    for (int i = 0; i < y.length; i++) {
      int c = i / (h / 2 * (w / 2));
      int row = i / (w / 2) % (h / 2);
      int column = i % (w / 2);
      int at = (c * h + 2 * row) * w + 2 * column;
      y[i] = (x[at] + x[at + 1] + x[at + w] + x[at + w + 1]) / 4;
    }
    return y;
  }

  /** 3x3, zeros around. */
  private static double[] convolved(
      double[] x, int h, int w, int stride, HostTensor weight, HostTensor bias) {
    int out = (int) weight.shape().get(0);
    int in = (int) weight.shape().get(1);
    int oh = h / stride;
    int ow = w / stride;
    double[] y = new double[out * oh * ow];
    for (int i = 0; i < y.length; i++) {
      int o = i / (oh * ow);
      y[i] = bias == null ? 0 : bias.values()[o];
      for (int c = 0; c < in; c++) {
        for (int k = 0; k < 9; k++) {
          int row = i / ow % oh * stride + k / 3 - 1;
          int column = i % ow * stride + k % 3 - 1;
          if (row >= 0 && row < h && column >= 0 && column < w) {
            y[i] += weight.values()[(o * in + c) * 9 + k] * x[(c * h + row) * w + column];
          }
        }
      }
    }
    return y;
  }
}
