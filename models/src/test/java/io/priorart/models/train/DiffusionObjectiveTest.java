package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Targets, weights and regularisers of the latent denoiser's training, against their formulas. */
class DiffusionObjectiveTest {
  private static final NoiseSchedule SCHEDULE =
      new VariancePreservingSchedule(BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, false, 0);
  private static final DiffusionTraining.Latent LATENT =
      new DiffusionTraining.Latent(
          4, 8, 8, new NoiseSource(1).normal(new Shape(256)).values(), new long[32]);

  @TempDir private Path dir;

  /** Hang et al. 2023, section 3.4: over SNR for the noise, over SNR + 1 for v. */
  @Test
  void minSnrIsThePapers() {
    for (double alphaBar : new double[] {0.999, 0.9, 0.5, 0.1, 0.002}) {
      double snr = alphaBar / (1 - alphaBar);
      double bounded = Math.min(snr, 5);
      // z_t - b (eps - z_0) = z_0 on the straight path
      double b = 1 / (1 + Math.sqrt(snr));
      assertEquals(bounded * b * b, DiffusionTarget.FLOW.weight(alphaBar, 5), 1e-9);
      assertEquals(bounded / snr, DiffusionTarget.EPSILON.weight(alphaBar, 5), 1e-9);
      assertEquals(bounded / (snr + 1), DiffusionTarget.V.weight(alphaBar, 5), 1e-9);
      assertEquals(1, DiffusionTarget.V.weight(alphaBar, 0));
    }
    assertEquals(DiffusionTarget.V, DiffusionTarget.of("v_prediction"));
    assertThrows(PriorArtException.class, () -> DiffusionTarget.of("sample"));
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> new DiffusionObjective(DiffusionTarget.V, 0, 1.5, 0, 0, 1));
    assertEquals("input-perturbation: must be 0 to 1, was 1.5", e.getMessage());
  }

  private static NDArray[] batch(DiffusionObjective objective, NDManager manager) {
    return batch(objective, 8, 6, manager);
  }

  private static NDArray[] batch(
      DiffusionObjective objective, int patch, int count, NDManager manager) {
    DiffusionTraining.Options options =
        new DiffusionTraining.Options(
            new int[] {16, 32},
            1,
            4,
            16,
            1,
            600,
            patch,
            count,
            1e-3,
            0,
            objective,
            Duration.ZERO,
            1);
    return DiffusionStep.batch(
        options,
        new LatentSampler(List.of(LATENT), patch, 2),
        new long[32],
        DiffusionTraining.schedule(objective.target()),
        new NoiseSource(2),
        manager);
  }

  @Test
  void aBatchHasTheRatesOfItsTimesteps() {
    try (NDManager manager = ScriptModule.newManager()) {
      for (DiffusionTarget target : DiffusionTarget.values()) {
        NDArray[] in = batch(new DiffusionObjective(target, 5, 0, 0, 0, 1), manager);
        assertArrayEquals(in[1].toFloatArray(), in[2].toFloatArray());
        float[] timesteps = in[8].toFloatArray();
        boolean flow = target == DiffusionTarget.FLOW;
        for (int i = 0; i < timesteps.length; i++) {
          double t = timesteps[i];
          double alphaBar = SCHEDULE.alphaBar((int) Math.min(t, 999));
          double a = flow ? 1 - t / 1000 : Math.sqrt(alphaBar);
          double b = flow ? t / 1000 : Math.sqrt(1 - alphaBar);
          boolean v = target == DiffusionTarget.V;
          assertEquals(a, in[3].toFloatArray()[i], 1e-6);
          assertEquals(b, in[4].toFloatArray()[i], 1e-6);
          assertEquals(flow ? -1 : v ? -b : 0, in[5].toFloatArray()[i], 1e-6);
          assertEquals(v ? a : 1, in[6].toFloatArray()[i], 1e-6);
          double level = a * a / (a * a + b * b);
          assertEquals(target.weight(level, 5), in[7].toFloatArray()[i], 1e-6);
          double z0 = 0.7;
          double eps = -1.2;
          double said = in[6].toFloatArray()[i] * eps + in[5].toFloatArray()[i] * z0;
          double clean = target.skip(level) * (a * z0 + b * eps) + target.out(level) * said;
          assertEquals(z0, clean, 1e-5 / a, target.name());
        }
      }
      NDArray[] in = batch(new DiffusionObjective(DiffusionTarget.V, 0, 0.1, 0, 0, 1), manager);
      NDArray xi = in[2].sub(in[1]).div(0.1);
      assertEquals(1, xi.square().mean().getFloat(), 0.15, "six latents of 256 values");
      assertTrue(Math.abs(xi.mul(in[1]).mean().getFloat()) < 0.1, "a noise of its own");
    }
  }

  private static UNet2DConditionModel.Config unet(Path dir) throws Exception {
    Files.writeString(
        dir.resolve("unet.json"),
        """
        {"_class_name": "UNet2DConditionModel", "block_out_channels": [16, 32], "layers_per_block": 1,
         "attention_head_dim": 4, "cross_attention_dim": 16, "in_channels": 4, "out_channels": 4,
         "norm_num_groups": 16, "use_linear_projection": true,
         "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
         "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]}
        """);
    return UNet2DConditionModel.Config.of(ConfigNode.read(dir.resolve("unet.json")));
  }

  private static ClipTextModel.Config text(Path dir) throws Exception {
    Files.writeString(
        dir.resolve("text.json"),
        """
        {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 4, "max_position_embeddings": 32, "bos_token_id": 38, "eos_token_id": 39}
        """);
    return ClipTextModel.Config.of(ConfigNode.read(dir.resolve("text.json")));
  }

  private Script script(DiffusionObjective objective) throws Exception {
    return DiffusionStep.script(unet(dir), text(dir), objective, CompileOptions.REFERENCE);
  }

  private static final float[] BIAS = {0.3f, -0.2f, 0, 0.5f};

  /** Random weights; with a last layer of zeros the network says its bias, so losses are known. */
  private static Map<String, HostTensor> weights(Script script, boolean saysBias) {
    Map<String, HostTensor> weights = new HashMap<>();
    NoiseSource random = new NoiseSource(3);
    script
        .weights()
        .forEach(
            w -> {
              HostTensor values = random.normal(w.shape());
              boolean last = w.name().startsWith("unet.conv_out.");
              float scale = last && saysBias ? 0 : w.name().endsWith("norm.weight") ? 0.5f : 0.15f;
              for (int i = 0; i < values.values().length; i++) {
                values.values()[i] *= scale;
              }
              weights.put(w.name(), values);
            });
    weights.put("unet.conv_out.bias", new HostTensor(new Shape(4), BIAS));
    return weights;
  }

  @Test
  void theLossIsTheWeighedSquareOfTheTarget() throws Exception {
    for (DiffusionTarget target : DiffusionTarget.values()) {
      DiffusionObjective objective = new DiffusionObjective(target, 5, 0.1, 0, 0, 1);
      Script script = script(objective);
      Path state = dir.resolve("state.safetensors");
      try (Trainer trainer =
          new Trainer(script, state, new NoiseSource(3), weights(script, true)::get)) {
        NDArray[] in = batch(objective, trainer.manager());
        float[] z0 = in[0].toFloatArray();
        float[] eps = in[1].toFloatArray();
        double expected = 0;
        for (int i = 0; i < z0.length; i++) {
          int sample = i / 256;
          double t = in[5].toFloatArray()[sample] * z0[i] + in[6].toFloatArray()[sample] * eps[i];
          double error = BIAS[i / 64 % 4] - t;
          expected += in[7].toFloatArray()[sample] * error * error / z0.length;
        }
        assertEquals(expected, trainer.step(0, in)[0], 1e-5 * expected, target.name());
      }
    }
  }

  /** The kernel's means over all pairs, and the sampler's steps by their formulas. */
  @Test
  void theCumulativeErrorIsTheDiscrepancyAfterStepsOfTheSampler() throws Exception {
    for (DiffusionTarget target : DiffusionTarget.values()) {
      DiffusionObjective objective = new DiffusionObjective(target, 0, 0, 0, 0.25, 2);
      assertEquals(List.of("cumulative_error"), DiffusionStep.terms(objective));
      Script script = script(objective);
      NoiseSchedule schedule = DiffusionTraining.schedule(target);
      try (Trainer trainer =
          new Trainer(
              script, dir.resolve("none"), new NoiseSource(3), weights(script, true)::get)) {
        NDArray[] in = batch(objective, trainer.manager());
        float[] z = in[10].toFloatArray();
        for (float told : in[12].toFloatArray()) {
          int t = Math.round(told) - (target == DiffusionTarget.FLOW ? 1 : 0);
          double now = schedule.alphaBar(t);
          double next = schedule.alphaBar(t - DiffusionObjective.BACKWARD_STRIDE);
          for (int i = 0; i < z.length; i++) {
            double clean = target.skip(now) * z[i] + target.out(now) * BIAS[i / 64 % 4];
            double eps = (z[i] - target.signalRate(now) * clean) / target.noiseRate(now);
            z[i] = (float) (target.signalRate(next) * clean + target.noiseRate(next) * eps);
          }
        }
        double expected = discrepancy(z, in[11].toFloatArray(), 6);
        assertTrue(expected > 1e-3, "not nothing: " + expected);
        float[] report = trainer.step(0, in);
        assertEquals(expected, report[6], 1e-4 * expected + 1e-5, target.name());
        float[] plain = plainLoss(target, in);
        assertEquals(plain[0] + 0.25 * expected, report[0], 1e-4 * report[0]);
      }
    }
  }

  private float[] plainLoss(DiffusionTarget target, NDArray[] in) throws Exception {
    Script script = script(DiffusionObjective.of(target));
    try (Trainer trainer =
        new Trainer(script, dir.resolve("none"), new NoiseSource(3), weights(script, true)::get)) {
      return trainer.step(0, Arrays.copyOf(in, 10));
    }
  }

  private static double discrepancy(float[] a, float[] b, int n) {
    double width = 0;
    for (int i = 0; i < n * n; i++) {
      width += distance(a, i / n, b, i % n, n) / (n * n);
    }
    double sum = 0;
    for (int i = 0; i < n * n; i++) {
      sum += Math.exp(-distance(a, i / n, a, i % n, n) / (2 * width));
      sum += Math.exp(-distance(b, i / n, b, i % n, n) / (2 * width));
      sum -= 2 * Math.exp(-distance(a, i / n, b, i % n, n) / (2 * width));
    }
    return sum / (n * n);
  }

  private static double distance(float[] a, int i, float[] b, int j, int n) {
    int size = a.length / n;
    double sum = 0;
    for (int k = 0; k < size; k++) {
      double d = a[i * size + k] - b[j * size + k];
      sum += d * d / size;
    }
    return sum;
  }

  /** {@code J^T d} by differences, and the loss's gradient through it, a second derivative. */
  @Test
  void theStepVariationDifferentiatesTwice() throws Exception {
    DiffusionObjective objective = new DiffusionObjective(DiffusionTarget.V, 0, 0, 2, 0, 1);
    Script script = script(objective);
    Map<String, HostTensor> weights = weights(script, false);
    NoiseSource random = new NoiseSource(9);
    Map<String, HostTensor> direction = new HashMap<>();
    script.weights().forEach(w -> direction.put(w.name(), random.normal(w.shape())));
    double h = 3e-4;
    double[] loss = new double[2];
    for (int side = 0; side < 2; side++) {
      double by = (2 * side - 1) * h;
      try (Trainer moved =
          new Trainer(
              script,
              dir.resolve("none"),
              random,
              name -> plus(weights.get(name), direction.get(name), by))) {
        loss[side] = moved.step(0, batch(objective, 4, 1, moved.manager()))[0];
      }
    }
    try (Trainer trainer = new Trainer(script, dir.resolve("none"), random, weights::get)) {
      NDArray[] in = batch(objective, 4, 1, trainer.manager());
      float[] report = trainer.step(0, in);
      double length = jacobianLength(in, weights);
      assertEquals(0.01 * length, report[7], 1e-3 * length, "the mean follows");
      assertEquals(0.99 * 0.99 * length * length, report[6], 0.02 * length * length);
      Path after = dir.resolve("after.safetensors");
      trainer.save(after);
      SafetensorsFile state = SafetensorsFile.open(after);
      double slope = 0;
      for (String name : direction.keySet()) {
        float[] m = state.read("m/" + name).values();
        for (int i = 0; i < m.length; i++) {
          // the first moment is a tenth of the gradient, which was cut to a norm of 1
          slope += 10 * Math.max(1, report[1]) * m[i] * direction.get(name).values()[i];
        }
      }
      double expected = (loss[1] - loss[0]) / (2 * h);
      assertEquals(expected, slope, 0.03 * Math.abs(expected));
      assertEquals(report[7], state.read("statistics").values()[0], 1e-6, "kept for resuming");
      try (Trainer resumed = new Trainer(script, after, random)) {
        assertEquals(1.99 * report[7], resumed.step(0, in)[7], 1e-3 * report[7]);
      }
    }
  }

  private static HostTensor plus(HostTensor a, HostTensor b, double by) {
    float[] sum = a.values().clone();
    for (int i = 0; i < sum.length; i++) {
      sum[i] += (float) (by * b.values()[i]);
    }
    return new HostTensor(a.shape(), sum);
  }

  private double jacobianLength(NDArray[] in, Map<String, HostTensor> weights) throws Exception {
    ScriptBuilder builder = new ScriptBuilder("Probe", CompileOptions.REFERENCE);
    UNet2DConditionModel net = new UNet2DConditionModel(unet(dir), builder.weights().at("unet"));
    ClipTextModel encoder = new ClipTextModel(text(dir), builder.weights().at("text"));
    Graph g = builder.method("forward");
    g.returns(
        net.forward(
            g, g.input("z"), g.input("timestep"), encoder.forward(g, g.input("input_ids"))));
    Script probe = builder.build();
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule module = ScriptModule.load(manager, probe)) {
      NDList tensors = new NDList();
      probe.weights().forEach(w -> tensors.add(weights.get(w.name()).to(manager)));
      module.attach("ws", tensors);
      float[] eps = in[2].toFloatArray();
      double squares = 0;
      float h = 1e-2f;
      for (int i = 0; i < eps.length; i++) {
        double[] inner = new double[2];
        for (int side = 0; side < 2; side++) {
          float[] moved = eps.clone();
          moved[i] += (2 * side - 1) * h;
          NDArray zt = in[0].mul(in[3]).add(manager.create(moved, in[0].getShape()).mul(in[4]));
          NDArray said = module.call("forward", zt, in[8], in[9])[0];
          float[] clean = zt.mul(in[10]).add(said.mul(in[11])).toFloatArray();
          float[] d = in[12].toFloatArray();
          for (int k = 0; k < d.length; k++) {
            inner[side] += clean[k] * d[k];
          }
        }
        squares += Math.pow((inner[1] - inner[0]) / (2 * h), 2);
      }
      return Math.sqrt(squares);
    }
  }
}
