package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.Conditioning;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.method.Sampler;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Samplers against diffusers' schedulers (testdata/fixtures/make_samplers.py), step by step. */
class SamplerReferenceTest {
  private static final Path FIXTURES =
      Path.of(System.getProperty("priorart.home"), "testdata", "fixtures");

  @TempDir private Path dir;

  static List<Path> runs() throws IOException {
    try (Stream<Path> folders = Files.list(FIXTURES.resolve("samplers"))) {
      return folders.filter(Files::isDirectory).sorted().toList();
    }
  }

  private static SolveContext context(
      NDManager manager, Conditioning conditioning, SafetensorsFile run) {
    List<HostTensor> draws = new ArrayList<>();
    while (run.shapes().containsKey("noise." + draws.size())) {
      draws.add(run.read("noise." + draws.size()));
    }
    return new SolveContext(manager, conditioning, 0, SolveListener.NONE, () -> false, null)
        .withNoise(NoiseSource.recorded(draws));
  }

  @ParameterizedTest
  @MethodSource("runs")
  void everyStepIsThatOfDiffusers(Path folder) {
    ConfigNode config = ConfigNode.read(folder.resolve("scheduler_config.json"));
    SafetensorsFile run = SafetensorsFile.open(folder.resolve("run.safetensors"));
    for (int steps : new int[] {5, 7, 16}) {
      try (NDManager manager = NDManager.newBaseManager()) {
        Toy model = new Toy(manager, config);
        NDArray latents = run.read("latents").to(manager);
        NDArray output =
            SchedulerConfig.sampling(config, null)
                .sample(model, latents, steps, context(manager, Conditioning.NONE, run));
        float[] told = run.read(steps + "/timesteps").values();
        float[] seen = run.read(steps + "/inputs").values();
        int size = seen.length / steps;
        assertEquals(steps, model.inputs.size());
        for (int i = 0; i < steps; i++) {
          String step = steps + " steps, step " + i;
          // pure noise is 2^19, not infinite
          assertEquals(told[i], model.told.get(i), 5e-3, step);
          float[] expected = Arrays.copyOfRange(seen, i * size, (i + 1) * size);
          assertClose(expected, model.inputs.get(i), 1e-3, folder.getFileName() + " " + step);
        }
        assertClose(
            run.read(steps + "/output").values(),
            output.toFloatArray(),
            1e-3,
            folder.getFileName() + " " + steps + " steps");
      }
    }
  }

  private static double assertClose(
      float[] expected, float[] actual, double tolerance, String what) {
    double error = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      error += Math.pow(expected[i] - (double) actual[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    double relative = Math.sqrt(error / norm);
    assertTrue(relative <= tolerance, what + " differs by " + relative);
    return relative;
  }

  /** A saved pipeline whose scheduler is changed to another, with the same latents and draws. */
  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "FLOW_MATCH_EULER")
  void aPipelineSamplesWhatDiffusersSamples(Sampler sampler) {
    Path folder = FIXTURES.resolve("sd-two-level");
    SafetensorsFile run =
        SafetensorsFile.open(FIXTURES.resolve("pipelines").resolve("sd-two-level.safetensors"));
    CompileOptions exact = new CompileOptions(Precision.FLOAT32, false);
    try (Prior prior = ModelFamilies.load(folder, exact)) {
      LatentDiffusionModel model = prior.bind(16, 16);
      for (int guidance : new int[] {1, 3}) {
        try (NDManager manager = model.manager().newSubManager()) {
          NDArray negative = guidance == 1 ? null : run.read("negative").to(manager);
          Conditioning text =
              new Conditioning(run.read("positive").to(manager), negative, guidance);
          NDArray latents = run.read("latents").to(manager);
          NDArray picture =
              ModelFamilies.sampling(ModelSource.of(folder), sampler.id())
                  .sample(model, latents, 5, context(manager, text, run));
          NDArray expected = model.decode(run.read(sampler.id() + "/" + guidance).to(manager));
          assertClose(
              expected.toFloatArray(), picture.toFloatArray(), 1e-3, "guidance " + guidance);
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "PNDMScheduler; skip_prk_steps; true; _class_name",
        "EulerDiscreteScheduler; timestep_spacing; \"even\"; timestep_spacing",
        "EulerDiscreteScheduler; use_exponential_sigmas; true; use_exponential_sigmas",
        "EulerDiscreteScheduler; final_sigmas_type; \"one\"; final_sigmas_type",
        "DDPMScheduler; variance_type; \"learned_range\"; variance_type",
        "DDIMScheduler; thresholding; true; thresholding",
        "DDIMScheduler; clip_sample_range; 0; clip_sample_range",
        "DPMSolverMultistepScheduler; algorithm_type; \"dpmsolver\"; algorithm_type",
        "DPMSolverMultistepScheduler; solver_order; 3; solver_order",
        "DPMSolverMultistepScheduler; lambda_min_clipped; -1.5; lambda_min_clipped",
        "FlowMatchEulerDiscreteScheduler; stochastic_sampling; true; stochastic_sampling",
        "FlowMatchHeunDiscreteScheduler; shift; 1; _class_name"
      })
  void whatIsNotSupportedIsRefusedByName(String kind, String key, String value, String named)
      throws IOException {
    ConfigNode config = config(kind, key, value);
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> SchedulerConfig.sampling(config, null));
    assertTrue(e.getMessage().contains(named), e.getMessage());
  }

  @Test
  void anotherSamplerTakesTheConfigurationsSettings() throws IOException {
    ConfigNode pndm = config("PNDMScheduler", "timestep_spacing", "\"leading\"");
    assertEquals(
        SchedulerConfig.sampling(
            config("EulerDiscreteScheduler", "timestep_spacing", "\"leading\""), null),
        SchedulerConfig.sampling(pndm, "euler"));
    ConfigNode flow = config("FlowMatchEulerDiscreteScheduler", "shift", "3");
    assertThrows(PriorArtException.class, () -> SchedulerConfig.sampling(flow, "ddim"));
    assertThrows(PriorArtException.class, () -> SchedulerConfig.sampling(pndm, "flow-match-euler"));
    assertThrows(PriorArtException.class, () -> SchedulerConfig.sampling(pndm, "dimd"));
  }

  @Test
  void aConsistencyModelTakesNoMoreStepsThanItWasDistilledOn() throws IOException {
    ConfigNode config = config("LCMScheduler", "original_inference_steps", "10");
    try (NDManager manager = NDManager.newBaseManager()) {
      Toy model = new Toy(manager, config);
      NDArray latents = manager.zeros(new Shape(1).addAll(Toy.SHAPE));
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () ->
                  SchedulerConfig.sampling(config, null)
                      .sample(model, latents, 11, SolveContext.of(manager, 0)));
      assertTrue(e.getMessage().contains("original_inference_steps"), e.getMessage());
    }
  }

  private ConfigNode config(String kind, String key, String value) throws IOException {
    Path file = dir.resolve("scheduler_config.json");
    Files.writeString(file, "{\"_class_name\": \"%s\", \"%s\": %s}".formatted(kind, key, value));
    return ConfigNode.read(file);
  }

  /** The script's {@code network}, in latents that are pictures. */
  private static final class Toy implements LatentDiffusionModel {
    static final Shape SHAPE = new Shape(1, 2, 4);
    final List<float[]> inputs = new ArrayList<>();
    final List<Double> told = new ArrayList<>();
    private final NDManager manager;
    private final PredictionType prediction;
    private final NoiseSchedule schedule;

    Toy(NDManager manager, ConfigNode config) {
      this.manager = manager;
      prediction = PredictionType.of(config);
      schedule = DiffusionPipeline.schedule(config);
    }

    @Override
    public NDArray denoise(NDArray z, double sigma, double timestep, Conditioning conditioning) {
      NDArray x = z.mul(prediction.inputScale(sigma));
      inputs.add(x.toFloatArray());
      told.add(timestep);
      NDArray output = x.mul(1.7).add(0.01 * timestep).sin().mul(0.6).add(x.mul(0.1));
      return z.mul(prediction.skip(sigma)).add(output.mul(prediction.out(sigma)));
    }

    @Override
    public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
      throw new AssertionError("told no timestep");
    }

    @Override
    public NDManager manager() {
      return manager;
    }

    @Override
    public Shape imageShape() {
      return SHAPE;
    }

    @Override
    public Shape latentShape() {
      return SHAPE;
    }

    @Override
    public NoiseSchedule schedule() {
      return schedule;
    }

    @Override
    public NDArray encode(NDArray x) {
      return x.duplicate();
    }

    @Override
    public NDArray decode(NDArray z) {
      return z.duplicate();
    }

    @Override
    public Linearization encodeAt(NDArray x) {
      return Linearization.linear(encode(x), NDArray::duplicate);
    }

    @Override
    public Linearization decodeAt(NDArray z) {
      return encodeAt(z);
    }

    @Override
    public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Conditioning condition(NDManager target, Prompt prompt) {
      return Conditioning.NONE;
    }

    @Override
    public EvaluationCounts counts() {
      return new EvaluationCounts(inputs.size(), 0, 0, 0, 0, 0, 0);
    }
  }
}
