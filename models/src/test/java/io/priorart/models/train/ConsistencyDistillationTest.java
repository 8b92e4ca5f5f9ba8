package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConsistencyDistillationTest {
  private static final AutoencoderKL.Config TINY = TinyTraining.CODEC;

  @TempDir private Path dir;

  private static List<TrainingPicture> pictures() {
    return TinyTraining.pictures(4, "stripes number");
  }

  private Lap lap(String state, Path checkpoint, int steps) {
    return TinyTraining.lap(dir.resolve(state), checkpoint, null, steps);
  }

  private Path teacher(DiffusionTarget target) throws Exception {
    Path checkpoint = dir.resolve("teacher");
    AutoencoderTraining.run(
        TINY, TinyTraining.codecOptions(), pictures(), lap("vae", checkpoint, 3));
    DiffusionTraining.run(
        TinyTraining.diffusionOptions(target), pictures(), lap("diffusion", checkpoint, 3));
    return checkpoint;
  }

  private static ConsistencyDistillation.Options options(Path teacher) {
    return new ConsistencyDistillation.Options(
        teacher, 10, 0, 2, 16, 2, 1e-3, Duration.ofMinutes(5), 1);
  }

  @Test
  void makesAFewStepPriorThatOpens() throws Exception {
    Path teacher = teacher(DiffusionTarget.V);
    Path student = dir.resolve("student");
    try (Stream<Path> files = Files.walk(teacher)) {
      for (Path from : files.toList()) {
        Files.copy(from, student.resolve(teacher.relativize(from).toString()));
      }
    }
    ConsistencyDistillation.run(options(teacher), pictures(), lap("unet", student, 3));
    assertTrue(ModelFamilies.traits(ModelSource.of(student)).fewStep());
    assertFalse(ModelFamilies.traits(ModelSource.of(teacher)).fewStep());
    try (Prior prior = ModelFamilies.load(student, CompileOptions.REFERENCE)) {
      assertEquals("student", prior.name());
    }
    JsonNode scheduler =
        new ObjectMapper().readTree(student.resolve("scheduler/scheduler_config.json").toFile());
    assertEquals("LCMScheduler", scheduler.path("_class_name").asText());
    assertEquals("v_prediction", scheduler.path("prediction_type").asText());
    assertEquals(10, scheduler.path("original_inference_steps").asInt());
    String unet = "unet/diffusion_pytorch_model.safetensors";
    SafetensorsFile before = SafetensorsFile.open(teacher.resolve(unet));
    SafetensorsFile after = SafetensorsFile.open(student.resolve(unet));
    assertEquals(before.shapes(), after.shapes());
    assertNotEquals(before.read("conv_in.weight"), after.read("conv_in.weight"));
    String text = "text_encoder/model.safetensors";
    assertEquals(-1, Files.mismatch(teacher.resolve(text), student.resolve(text)));
  }

  @Test
  void aVelocityOfFlowIsRefused() throws Exception {
    Path teacher = teacher(DiffusionTarget.FLOW);
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                ConsistencyDistillation.run(
                    options(teacher), pictures(), lap("unet", dir.resolve("none"), 3)));
    assertTrue(e.getMessage().contains("rectified flow is not distilled"), e.getMessage());
  }

  /** With a last layer of zeros the network says its bias at both levels. */
  @Test
  void theLossIsTheDistanceOfBothEstimates() throws Exception {
    Path teacher = teacher(DiffusionTarget.V);
    UNet2DConditionModel.Config config =
        UNet2DConditionModel.Config.of(ConfigNode.read(teacher.resolve("unet/config.json")));
    Script script = ConsistencyDistillation.script(config, false, CompileOptions.REFERENCE);
    NoiseSource random = new NoiseSource(3);
    Map<String, HostTensor> weights = new HashMap<>();
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
    weights.put("unet.conv_out.bias", new HostTensor(new Shape(4), bias));
    Shape latents = new Shape(2, 4, 8, 8);
    HostTensor[] z = {random.normal(latents), random.normal(latents)};
    float[][] skip = {{0.9f, 0.2f}, {1, 0.4f}};
    float[][] out = {{-0.4f, -0.9f}, {0, -0.8f}};
    double expected = 0;
    for (int i = 0; i < 512; i++) {
      int sample = i / 256;
      double d = 0;
      for (int k = 0; k < 2; k++) {
        double estimate = skip[k][sample] * z[k].values()[i] + out[k][sample] * bias[i / 64 % 4];
        d += k == 0 ? estimate : -estimate;
      }
      double c = ConsistencyDistillation.HUBER;
      expected += (Math.sqrt(d * d + c * c) - c) / 512;
    }
    Path state = dir.resolve("state");
    try (Trainer trainer = new Trainer(script, dir.resolve("fresh"), random, weights::get)) {
      NDManager m = trainer.manager();
      float[] report =
          trainer.step(
              0,
              random.normal(new Shape(2, 32, 16)).to(m),
              z[0].to(m),
              m.create(new float[] {500, 100}),
              m.create(skip[0], new Shape(2, 1, 1, 1)),
              m.create(out[0], new Shape(2, 1, 1, 1)),
              z[1].to(m),
              m.create(new float[] {400, 0}),
              m.create(skip[1], new Shape(2, 1, 1, 1)),
              m.create(out[1], new Shape(2, 1, 1, 1)));
      assertEquals(expected, report[0], 1e-5);
      trainer.save(state);
    }
    // the bias's gradient comes through the upper estimate alone
    float[] m = SafetensorsFile.open(state).read("m/unet.conv_out.bias").values();
    double[] gradient = new double[4];
    for (int i = 0; i < 512; i++) {
      int sample = i / 256;
      double d =
          skip[0][sample] * z[0].values()[i]
              + out[0][sample] * bias[i / 64 % 4]
              - skip[1][sample] * z[1].values()[i]
              - out[1][sample] * bias[i / 64 % 4];
      gradient[i / 64 % 4] +=
          d / Math.hypot(d, ConsistencyDistillation.HUBER) * out[0][sample] / 512;
    }
    for (int c = 0; c < 4; c++) {
      assertEquals(0.1 * gradient[c], m[c], 1e-4 * Math.abs(gradient[1]));
    }
  }
}
