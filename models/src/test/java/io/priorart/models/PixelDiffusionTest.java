package io.priorart.models;

import static io.priorart.models.Fixtures.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Pixel-space checkpoints of diffusers against diffusers (testdata/fixtures/make_ddpm.py). */
class PixelDiffusionTest {
  @TempDir private Path dir;

  private static SafetensorsFile io(String name) {
    return SafetensorsFile.open(Fixtures.HOME.resolve(name).resolve("io.safetensors"));
  }

  @ParameterizedTest
  @CsvSource({
    "ddpm, FLOAT32, false, 1e-4",
    "ddpm, BFLOAT16, true, 2e-2",
    "ddpm-heads, FLOAT32, true, 1e-4",
    "ddpm-heads, BFLOAT16, true, 2e-2"
  })
  void theNetworkComputesWhatDiffusersComputes(
      String name, Precision precision, boolean channelsLast, double tolerance) {
    SafetensorsFile io = io(name);
    try (Prior prior =
        ModelFamilies.load(
            Fixtures.HOME.resolve(name), new CompileOptions(precision, channelsLast))) {
      Map<String, HostTensor> inputs =
          Map.of("sample", io.read("unet/sample"), "timestep", io.read("unet/timestep"));
      assertClose(io, "unet/output", prior.trace("unet", inputs), tolerance);
      assertTrue(prior.traits().pixelSpace() && !prior.traits().text());
      assertThrows(PriorArtException.class, () -> prior.trace("vae.encoder", inputs));
      try (NDManager manager = prior.bind(8, 8).manager().newSubManager();
          Linearization at =
              ((PicturePrior) prior)
                  .network()
                  .linearize(
                      "forward",
                      0,
                      inputs.get("sample").to(manager),
                      inputs.get("timestep").to(manager))) {
        NDArray gradient = at.pullback(io.read("unet/cotangent").to(manager));
        assertClose(io, "unet/sample.grad", HostTensor.of(gradient), tolerance);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"ddpm", "ddpm-heads"})
  void samplesAreDiffusers(String name) {
    SafetensorsFile io = io(name);
    Path folder = Fixtures.HOME.resolve(name);
    try (Prior prior = ModelFamilies.load(folder, CompileOptions.REFERENCE)) {
      LatentDiffusionModel model = prior.bind(16, 16);
      try (NDManager manager = model.manager().newSubManager()) {
        NDArray noise = io.read("sample/noise").to(manager);
        NDArray picture =
            ModelFamilies.sampling(ModelSource.of(folder), "ddim")
                .sample(model, noise, 5, SolveContext.of(manager, 0));
        assertClose(io, "sample/picture", HostTensor.of(picture), 1e-3);
      }
    }
  }

  /** Gradient by finite differences along a direction, in a picture that must be padded. */
  @Test
  void pullbacksAreDerivatives() {
    try (Prior prior =
        ModelFamilies.load(Fixtures.HOME.resolve("ddpm"), CompileOptions.REFERENCE)) {
      LatentDiffusionModel model = prior.bind(15, 13);
      assertEquals(new Shape(3, 15, 13), model.latentShape());
      try (NDManager manager = model.manager().newSubManager()) {
        NoiseSource noise = new NoiseSource(2);
        Shape shape = new Shape(1, 3, 15, 13);
        NDArray x = noise.normal(manager, shape);
        NDArray direction = noise.normal(manager, shape);
        NDArray cotangent = noise.normal(manager, shape);
        double step = 1e-2;
        NDArray ahead = model.denoise(x.add(direction.mul(step)), 0.7, Conditioning.NONE);
        NDArray behind = model.denoise(x.sub(direction.mul(step)), 0.7, Conditioning.NONE);
        double expected = ahead.sub(behind).mul(cotangent).sum().getFloat() / (2 * step);
        try (Linearization at = model.denoiseAt(x, 0.7, Conditioning.NONE)) {
          double actual = at.pullback(cotangent).mul(direction).sum().getFloat();
          assertEquals(expected, actual, 1e-2 * Math.abs(expected));
        }
        assertThrows(
            PriorArtException.class, () -> model.condition(manager, new Prompt("a cat", "", 1)));
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "\"out_channels\": 3; \"out_channels\": 6; out_channels",
        "\"UNet2DModel\"; \"UNet3DModel\"; _class_name",
        "\"AttnDownBlock2D\"; \"SkipDownBlock2D\"; SkipDownBlock2D",
        "\"norm_num_groups\": 4; \"norm_num_groups\": 3; groups",
        "\"time_embedding_type\": \"positional\"; \"time_embedding_type\": \"fourier\"; time_embedding_type"
      })
  void whatIsNotBuiltIsRefusedByName(String from, String to, String named) throws Exception {
    Path original = Fixtures.HOME.resolve("ddpm");
    for (String file :
        new String[] {
          "model_index.json",
          "scheduler/scheduler_config.json",
          "unet/config.json",
          "unet/diffusion_pytorch_model.safetensors"
        }) {
      Files.createDirectories(dir.resolve(file).getParent());
      Files.copy(original.resolve(file), dir.resolve(file));
    }
    Path config = dir.resolve("unet/config.json");
    String text = Files.readString(config);
    assertTrue(text.contains(from), text);
    Files.writeString(config, text.replace(from, to));
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> ModelFamilies.load(dir, CompileOptions.REFERENCE));
    assertTrue(e.getMessage().contains(named), e.getMessage());
  }
}
