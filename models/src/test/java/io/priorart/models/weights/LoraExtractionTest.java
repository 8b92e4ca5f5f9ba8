package io.priorart.models.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Factors of known changes: orthogonal ones, whose singular values are what they were made of. */
class LoraExtractionTest {
  private static final String MATRIX = "mid_block.attentions.0.proj_in.weight";
  private static final String KERNEL = "conv_in.weight";
  private static final String BIAS = "conv_in.bias";

  @TempDir private Path dir;

  private SafetensorsFile file(String name, Map<String, HostTensor> tensors) {
    Path path = dir.resolve(name + ".safetensors");
    SafetensorsWriter.write(path, tensors, Map.of(), false);
    return SafetensorsFile.open(path);
  }

  private static Map<String, HostTensor> base() {
    NoiseSource random = new NoiseSource(4);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put(MATRIX, random.normal(new Shape(4, 6)));
    tensors.put(KERNEL, random.normal(new Shape(2, 3, 3, 3)));
    tensors.put(BIAS, random.normal(new Shape(2)));
    return tensors;
  }

  /** {@code 3 e0 f0^T + 1 e1 f1^T} in the matrix, and what the others get. */
  private static Map<String, HostTensor> changed(float kernel, float bias) {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    base()
        .forEach(
            (name, tensor) -> {
              float[] values = tensor.values().clone();
              switch (name) {
                case MATRIX -> {
                  values[0] += 3;
                  values[7] += 1;
                }
                case KERNEL -> values[5] += kernel;
                default -> values[0] += bias;
              }
              tensors.put(name, new HostTensor(tensor.shape(), values));
            });
    return tensors;
  }

  @Test
  void theFactorsAreTheNearestOfTheirRank() {
    SafetensorsFile base = file("base", base());
    SafetensorsFile changed = file("changed", changed(2, 0));
    LoraExtraction one = LoraExtraction.of("unet", base, changed, 1);
    // 9 + 4 of 9 + 1 + 4
    assertEquals(13 / 14.0, one.kept(), 1e-6);
    assertEquals(new Shape(1, 3, 3, 3), one.tensors().get("unet.conv_in.lora_A.weight").shape());
    assertEquals(new Shape(2, 1, 1, 1), one.tensors().get("unet.conv_in.lora_B.weight").shape());
    LoraExtraction both = LoraExtraction.of("unet", base, changed, 2);
    assertEquals(1, both.kept(), 1e-6);
    Path file = dir.resolve("lora.safetensors");
    SafetensorsWriter.write(file, both.tensors(), Map.of(), false);
    TensorSource merged = new LoraFile(file, 1).merged("unet", base);
    try (NDManager manager = ScriptModule.newManager()) {
      for (String name : base.shapes().keySet()) {
        float[] expected = changed.read(name).values();
        float[] found = merged.map(manager, name).toFloatArray();
        for (int i = 0; i < expected.length; i++) {
          assertEquals(expected[i], found[i], 1e-5, name);
        }
      }
    }
  }

  @Test
  void whatHasNoFactorsCountsAsLost() {
    LoraExtraction extraction =
        LoraExtraction.of("unet", file("base", base()), file("changed", changed(0, 1)), 8);
    assertEquals(10 / 11.0, extraction.kept(), 1e-6);
    assertEquals(2, extraction.tensors().size());
  }

  @Test
  void otherNetworksAndRanksAreRefused() {
    SafetensorsFile base = file("base", base());
    SafetensorsFile other =
        file("other", Map.of(MATRIX, new NoiseSource(1).normal(new Shape(4, 5))));
    assertThrows(PriorArtException.class, () -> LoraExtraction.of("unet", base, other, 4));
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> LoraExtraction.of("unet", base, base, 0));
    assertTrue(e.getMessage().contains("rank"));
    assertEquals(1, LoraExtraction.of("unet", base, base, 4).kept(), 0);
  }
}
