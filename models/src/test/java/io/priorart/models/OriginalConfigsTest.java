package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.models.weights.OriginalFile;
import io.priorart.models.weights.OriginalLayout;
import io.priorart.models.weights.PrefixedSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The configurations told from full-size checkpoints in one file build networks that need exactly
 * their tensors (testdata/fixtures/make_original.py).
 */
class OriginalConfigsTest {
  private static Map<String, TensorSource> parts(String name) throws IOException {
    return OriginalLayout.parts(
        new OriginalFile(OriginalFile.shapes(OriginalFile.fixture(name).path("file"))));
  }

  private static Map<String, ObjectNode> files(
      Map<String, TensorSource> parts, Map<String, String> metadata) {
    return new OriginalConfigs("model.safetensors", parts, metadata, false).files();
  }

  private static void fits(Script script, TensorSource weights) {
    weights.requireExactly(script.weights());
  }

  @ParameterizedTest
  @CsvSource({
    "sd-1, StableDiffusionPipeline, epsilon",
    "sd-2, StableDiffusionPipeline, v_prediction",
    "sdxl, StableDiffusionXLPipeline, epsilon"
  })
  void networksNeedExactlyTheTensors(String name, String pipeline, String prediction)
      throws IOException {
    Map<String, TensorSource> parts = parts(name);
    Map<String, ObjectNode> files = files(parts, Map.of());
    assertEquals(pipeline, files.get("model_index.json").path("_class_name").asText());
    ObjectNode scheduler = files.get("scheduler/scheduler_config.json");
    assertEquals(prediction, scheduler.path("prediction_type").asText());
    CompileOptions options = CompileOptions.REFERENCE;
    for (String part : parts.keySet()) {
      ConfigNode config = new ConfigNode(part, files.get(part + "/config.json"));
      TensorSource weights = parts.get(part);
      switch (part) {
        case "unet" ->
            fits(
                UNet2DConditionModel.compile(UNet2DConditionModel.Config.of(config), options),
                weights);
        case "vae" -> {
          AutoencoderKL.Config vae = AutoencoderKL.Config.of(config);
          fits(
              AutoencoderKL.compileEncoder(vae, options),
              new PrefixedSource(weights, "encoder.", "quant_conv."));
          fits(
              AutoencoderKL.compileDecoder(vae, options),
              new PrefixedSource(weights, "decoder.", "post_quant_conv."));
        }
        default -> fits(ClipTextModel.compile(ClipTextModel.Config.of(config), options), weights);
      }
    }
  }

  @Test
  void theFileSaysWhatItPredicts() throws IOException {
    Map<String, TensorSource> parts = parts("sd-2");
    for (String type : new String[] {"epsilon", "v"}) {
      ObjectNode scheduler =
          files(parts, Map.of("modelspec.prediction_type", type))
              .get("scheduler/scheduler_config.json");
      assertTrue(scheduler.path("prediction_type").asText().startsWith(type));
    }
    ObjectNode marked =
        new OriginalConfigs("model.safetensors", parts("sd-1"), Map.of(), true)
            .files()
            .get("scheduler/scheduler_config.json");
    assertEquals("v_prediction", marked.path("prediction_type").asText());
  }

  @Test
  void missingPartsAreNamed() throws IOException {
    for (String part : new String[] {"unet", "vae", "text_encoder"}) {
      Map<String, TensorSource> parts = new TreeMap<>(parts("sd-1"));
      parts.remove(part);
      PriorArtException e = assertThrows(PriorArtException.class, () -> files(parts, Map.of()));
      assertTrue(e.getMessage().contains("lacks the part " + part), e.getMessage());
    }
  }
}
