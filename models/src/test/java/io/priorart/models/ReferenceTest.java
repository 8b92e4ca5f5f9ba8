package io.priorart.models;

import static io.priorart.models.Fixtures.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Linearization;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every network against what diffusers computed (testdata/fixtures/make_fixtures.py): values and
 * gradients.
 */
class ReferenceTest {
  private static final Path FIXTURES = Fixtures.HOME;

  @ParameterizedTest
  @CsvSource({
    "sd-two-level, FLOAT32, false, 1e-4",
    "sd-two-level, FLOAT32, true, 1e-4",
    "sd-two-level, BFLOAT16, true, 2e-2",
    "sd-two-level, FLOAT16, true, 2e-2",
    "sd-odd-channels, FLOAT32, false, 1e-4",
    "sd-odd-channels, FLOAT32, true, 1e-4",
    "sd-odd-channels, BFLOAT16, true, 2e-2",
    "sd-odd-channels, FLOAT16, true, 2e-2",
    "sdxl, FLOAT32, false, 1e-4",
    "sdxl, BFLOAT16, true, 2e-2",
    "sdxl, FLOAT16, true, 2e-2",
    "inpainting, FLOAT32, false, 1e-4",
    "inpainting, BFLOAT16, true, 2e-2",
    "lcm, FLOAT32, false, 1e-4",
    "lcm, BFLOAT16, true, 2e-2",
    "sd3, FLOAT32, false, 1e-4",
    "sd3, BFLOAT16, true, 2e-2",
    "sd3, FLOAT16, true, 2e-2",
    "sd35, FLOAT32, true, 1e-4",
    "sd35, BFLOAT16, true, 2e-2"
  })
  void networksComputeWhatDiffusersComputes(
      String name, Precision precision, boolean channelsLast, double tolerance) {
    SafetensorsFile io = SafetensorsFile.open(FIXTURES.resolve(name).resolve("io.safetensors"));
    try (DiffusionPipeline pipeline =
            (DiffusionPipeline)
                ModelFamilies.load(
                    FIXTURES.resolve(name), new CompileOptions(precision, channelsLast));
        NDManager manager = pipeline.manager().newSubManager()) {
      for (String part :
          List.of(
              "unet",
              "transformer",
              "text_encoder",
              "text_encoder_2",
              "text_encoder_3",
              "vae.encoder",
              "vae.decoder")) {
        if (io.shapes().containsKey(part + "/output")) {
          assertClose(io, part + "/output", pipeline.trace(part, inputs(io, part)), tolerance);
        }
      }
      String part = io.shapes().containsKey("transformer/output") ? "transformer" : "unet";
      String[] names =
          Stream.of(
                  "sample",
                  "timestep",
                  "encoder_hidden_states",
                  "text_embeds",
                  "time_ids",
                  "timestep_cond",
                  "pooled_projections")
              .filter(input -> io.shapes().containsKey(part + "/" + input))
              .toArray(String[]::new);
      assertGradient(io, manager, pipeline.denoiser(), part, 0, tolerance, names);
      assertGradient(io, manager, pipeline.denoiser(), part, 2, tolerance, names);
      if (io.shapes().containsKey("vae.encoder/output")) {
        assertGradient(io, manager, pipeline.codec().encoder(), "vae.encoder", 0, tolerance, "x");
        assertGradient(io, manager, pipeline.codec().decoder(), "vae.decoder", 0, tolerance, "z");
      }
    }
  }

  private static Map<String, HostTensor> inputs(SafetensorsFile io, String part) {
    Map<String, HostTensor> inputs = new LinkedHashMap<>();
    for (String key : io.shapes().keySet()) {
      if (key.startsWith(part + "/")) {
        inputs.put(key.substring(part.length() + 1), io.read(key));
      }
    }
    return inputs;
  }

  private static void assertGradient(
      SafetensorsFile io,
      NDManager manager,
      ScriptModule module,
      String part,
      int wrt,
      double tolerance,
      String... names) {
    NDArray[] args = new NDArray[names.length];
    for (int i = 0; i < names.length; i++) {
      args[i] = io.read(part + "/" + names[i]).to(manager);
    }
    NDArray cotangent = io.read(part + "/cotangent").to(manager);
    try (Linearization at = module.linearize("forward", wrt, args)) {
      assertClose(io, part + "/output", HostTensor.of(at.value()), tolerance);
      // any number of pullbacks, each from zero
      for (int repeat = 0; repeat < 2; repeat++) {
        HostTensor gradient = HostTensor.of(at.pullback(cotangent));
        assertClose(io, part + "/" + names[wrt] + ".grad", gradient, tolerance);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sd-two-level", "sd-odd-channels"})
  void promptsBecomeTheSameTokens(String name) throws Exception {
    Path folder = FIXTURES.resolve(name);
    JsonNode prompts = new ObjectMapper().readTree(folder.resolve("prompts.json").toFile());
    HostTensor ids = SafetensorsFile.open(folder.resolve("io.safetensors")).read("tokenizer/ids");
    int length = (int) ids.shape().get(1);
    try (ClipTokenizer tokenizer = ClipTokenizer.open(folder.resolve("tokenizer"), length)) {
      for (int i = 0; i < prompts.size(); i++) {
        long[] actual = tokenizer.encode(prompts.get(i).asText()).ids();
        for (int j = 0; j < length; j++) {
          assertEquals(
              (long) ids.values()[i * length + j], actual[j], prompts.get(i) + ", token " + j);
        }
      }
    }
  }
}
