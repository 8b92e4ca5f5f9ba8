package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
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
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.TensorScope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
    return options(teacher, 10, 0);
  }

  private static ConsistencyDistillation.Options options(
      Path teacher, int levels, int teacherSteps) {
    return new ConsistencyDistillation.Options(
        teacher, levels, teacherSteps, 2, 16, 3, 1e-3, Duration.ofMinutes(5), 1);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 3})
  void makesAFewStepPriorThatOpens(int teacherSteps) throws Exception {
    Path teacher = teacher(DiffusionTarget.V);
    Path student = dir.resolve("student");
    try (Stream<Path> files = Files.walk(teacher)) {
      for (Path from : files.toList()) {
        Files.copy(from, student.resolve(teacher.relativize(from).toString()));
      }
    }
    ConsistencyDistillation.run(
        options(teacher, 10, teacherSteps), pictures(), lap("unet", student, 3));
    assertTrue(ModelFamilies.traits(ModelSource.of(student)).fewStep());
    assertFalse(ModelFamilies.traits(ModelSource.of(teacher)).fewStep());
    assertEquals(50, ModelFamilies.sampleSteps(ModelSource.of(teacher)));
    assertEquals(teacherSteps > 0 ? 1 : 8, ModelFamilies.sampleSteps(ModelSource.of(student)));
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

  /**
   * A teacher of v that always says 0 is the exact denoiser of N(0, I), {@code x / (1 + sigma^2)},
   * whose paths are {@code x sqrt((1 + sigma'^2) / (1 + sigma^2))}.
   */
  @Test
  void aWholePathEndsWhereTheTeachersEquationDoes() throws Exception {
    Path teacher = teacher(DiffusionTarget.V);
    Path file = teacher.resolve("unet/diffusion_pytorch_model.safetensors");
    SafetensorsFile trained = SafetensorsFile.open(file);
    Map<String, HostTensor> weights = new HashMap<>();
    for (Map.Entry<String, Shape> weight : trained.shapes().entrySet()) {
      HostTensor values = trained.read(weight.getKey());
      if (weight.getKey().startsWith("conv_out.")) {
        values = new HostTensor(values.shape(), new float[values.values().length]);
      }
      weights.put(weight.getKey(), values);
    }
    SafetensorsWriter.write(file, weights, Map.of("format", "pt"), false);
    try (Prior prior = ModelFamilies.load(teacher, CompileOptions.REFERENCE);
        TensorScope scope = new TensorScope()) {
      LatentDiffusionModel bound = prior.bind(16, 16);
      NoiseSchedule schedule = bound.schedule();
      int[] timesteps =
          ConsistencyDistillation.timesteps(schedule, 349, options(teacher, 500, 200));
      assertEquals(201, timesteps.length);
      assertEquals(699, timesteps[0]);
      NDArray x =
          new NoiseSource(5).normal(bound.manager(), new Shape(2).addAll(bound.latentShape()));
      Conditioning told =
          bound.condition(bound.manager(), new Prompt("stripes", "", 1)).positiveAlone();
      List<NDArray> path = ConsistencyDistillation.path(bound, x, timesteps, told);
      double begin = 1 + Math.pow(schedule.sigma(timesteps[0]), 2);
      for (int at : new int[] {100, 200}) {
        double sigma = at == 200 ? 0 : schedule.sigma(timesteps[at]);
        double factor = Math.sqrt((1 + sigma * sigma) / begin);
        double error = path.get(at).sub(x.mul(factor)).norm().getFloat() / x.norm().getFloat();
        assertEquals(0, error / factor, 0.02, "point " + at);
      }
      assertArrayEquals(
          new int[] {699, 697},
          ConsistencyDistillation.timesteps(schedule, 349, options(teacher, 500, 0)));
      assertEquals(
          3, ConsistencyDistillation.timesteps(schedule, 1, options(teacher, 500, 8)).length);
    }
  }

  /** With a last layer of zeros the network says its bias at both levels. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theLossIsTheDistanceOfBothEstimates(boolean whole) throws Exception {
    Path teacher = teacher(DiffusionTarget.V);
    UNet2DConditionModel.Config config =
        UNet2DConditionModel.Config.of(ConfigNode.read(teacher.resolve("unet/config.json")));
    Script script = ConsistencyDistillation.script(config, whole, CompileOptions.REFERENCE);
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
    float[][] skip = {{0.9f, 0.2f}, {1, whole ? 1 : 0.4f}};
    float[][] out = {{-0.4f, -0.9f}, {0, whole ? 0 : -0.8f}};
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
      List<NDArray> inputs = new ArrayList<>(List.of(random.normal(new Shape(2, 32, 16)).to(m)));
      for (int k = 0; k < 2; k++) {
        inputs.add(z[k].to(m));
        inputs.add(m.create(k == 0 ? new float[] {500, 100} : new float[] {400, 0}));
        inputs.add(m.create(skip[k], new Shape(2, 1, 1, 1)));
        inputs.add(m.create(out[k], new Shape(2, 1, 1, 1)));
      }
      List<NDArray> taken = whole ? inputs.subList(0, 6) : inputs;
      float[] report = trainer.step(0, taken.toArray(NDArray[]::new));
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
