package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Targets, weights and perturbation of the latent denoiser's training, against their formulas. */
class DiffusionObjectiveTest {
  private static final NoiseSchedule SCHEDULE =
      new VariancePreservingSchedule(BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, false, 0);
  private static final DiffusionTraining.Latent LATENT =
      new DiffusionTraining.Latent(
          4,
          8,
          8,
          new NoiseSource(1).normal(new ai.djl.ndarray.types.Shape(256)).values(),
          new long[32]);

  @TempDir private Path dir;

  /** Hang et al. 2023, section 3.4: over SNR for the noise, over SNR + 1 for v. */
  @Test
  void minSnrIsThePapers() {
    for (double alphaBar : new double[] {0.999, 0.9, 0.5, 0.1, 0.002}) {
      double snr = alphaBar / (1 - alphaBar);
      double bounded = Math.min(snr, 5);
      assertEquals(bounded / snr, DiffusionTarget.EPSILON.weight(alphaBar, 5), 1e-9);
      assertEquals(bounded / (snr + 1), DiffusionTarget.V.weight(alphaBar, 5), 1e-9);
      assertEquals(1, DiffusionTarget.V.weight(alphaBar, 0));
    }
    assertEquals(DiffusionTarget.V, DiffusionTarget.of("v_prediction"));
    assertThrows(PriorArtException.class, () -> DiffusionTarget.of("sample"));
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> new DiffusionTraining.Objective(DiffusionTarget.V, 0, 1.5));
    assertEquals("input-perturbation: must be 0 to 1, was 1.5", e.getMessage());
  }

  private static NDArray[] batch(DiffusionTraining.Objective objective, NDManager manager) {
    DiffusionTraining.Options options =
        new DiffusionTraining.Options(
            new int[] {16, 32}, 1, 4, 16, 1, 600, 8, 6, 1e-3, 0, objective, Duration.ZERO, 1);
    return DiffusionTraining.batch(
        options, List.of(LATENT), new long[32], SCHEDULE, new NoiseSource(2), manager);
  }

  @Test
  void aBatchHasTheRatesOfItsTimesteps() {
    try (NDManager manager = ScriptModule.newManager()) {
      for (DiffusionTarget target : DiffusionTarget.values()) {
        NDArray[] in = batch(new DiffusionTraining.Objective(target, 5, 0), manager);
        assertArrayEquals(in[1].toFloatArray(), in[2].toFloatArray());
        float[] timesteps = in[8].toFloatArray();
        for (int i = 0; i < timesteps.length; i++) {
          double alphaBar = SCHEDULE.alphaBar((int) timesteps[i]);
          assertEquals(Math.sqrt(alphaBar), in[3].toFloatArray()[i], 1e-6);
          assertEquals(Math.sqrt(1 - alphaBar), in[4].toFloatArray()[i], 1e-6);
          boolean v = target == DiffusionTarget.V;
          assertEquals(v ? -Math.sqrt(1 - alphaBar) : 0, in[5].toFloatArray()[i], 1e-6);
          assertEquals(v ? Math.sqrt(alphaBar) : 1, in[6].toFloatArray()[i], 1e-6);
          assertEquals(target.weight(alphaBar, 5), in[7].toFloatArray()[i], 1e-6);
        }
      }
      NDArray[] in = batch(new DiffusionTraining.Objective(DiffusionTarget.V, 0, 0.1), manager);
      NDArray xi = in[2].sub(in[1]).div(0.1);
      assertEquals(1, xi.square().mean().getFloat(), 0.15, "six latents of 256 values");
      assertTrue(Math.abs(xi.mul(in[1]).mean().getFloat()) < 0.1, "a noise of its own");
    }
  }

  /** With a last layer of zeros the network says its bias, so the loss is known. */
  @Test
  void theLossIsTheWeighedSquareOfTheTarget() throws Exception {
    Files.writeString(
        dir.resolve("unet.json"),
        """
        {"_class_name": "UNet2DConditionModel", "block_out_channels": [16, 32], "layers_per_block": 1,
         "attention_head_dim": 4, "cross_attention_dim": 16, "in_channels": 4, "out_channels": 4,
         "norm_num_groups": 16, "use_linear_projection": true,
         "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
         "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]}
        """);
    Files.writeString(
        dir.resolve("text.json"),
        """
        {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 4, "max_position_embeddings": 32, "bos_token_id": 38, "eos_token_id": 39}
        """);
    Script script =
        DiffusionTraining.script(
            UNet2DConditionModel.Config.of(ConfigNode.read(dir.resolve("unet.json"))),
            ClipTextModel.Config.of(ConfigNode.read(dir.resolve("text.json"))));
    Map<String, HostTensor> weights = new HashMap<>();
    NoiseSource random = new NoiseSource(3);
    script
        .weights()
        .forEach(
            w -> {
              HostTensor values = random.normal(w.shape());
              float scale = w.name().startsWith("unet.conv_out.") ? 0 : 0.1f;
              for (int i = 0; i < values.values().length; i++) {
                values.values()[i] *= scale;
              }
              weights.put(w.name(), values);
            });
    float[] bias = {0.3f, -0.2f, 0, 0.5f};
    weights.put("unet.conv_out.bias", new HostTensor(new ai.djl.ndarray.types.Shape(4), bias));
    Path state = dir.resolve("state.safetensors");
    try (Trainer trainer = new Trainer(script, state, random, weights::get)) {
      for (DiffusionTarget target : DiffusionTarget.values()) {
        NDArray[] in = batch(new DiffusionTraining.Objective(target, 5, 0.1), trainer.manager());
        float[] z0 = in[0].toFloatArray();
        float[] eps = in[1].toFloatArray();
        double expected = 0;
        for (int i = 0; i < z0.length; i++) {
          int sample = i / 256;
          double t = in[5].toFloatArray()[sample] * z0[i] + in[6].toFloatArray()[sample] * eps[i];
          double error = bias[i / 64 % 4] - t;
          expected += in[7].toFloatArray()[sample] * error * error / z0.length;
        }
        assertEquals(expected, trainer.step(0, in)[0], 1e-2 * expected, target.name());
      }
    }
  }
}
