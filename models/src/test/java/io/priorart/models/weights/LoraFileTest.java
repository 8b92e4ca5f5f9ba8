package io.priorart.models.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** LoRA files of every key style against what peft merges (testdata/fixtures/make_lora.py). */
class LoraFileTest {
  private static final Path FIXTURES =
      Path.of(System.getProperty("priorart.home"), "testdata", "fixtures");

  @TempDir private Path dir;

  private static SafetensorsFile base(String part) {
    String stem = part.equals("unet") ? "diffusion_pytorch_model" : "model";
    return SafetensorsFile.open(
        FIXTURES.resolve("sd-two-level").resolve(part).resolve(stem + ".safetensors"));
  }

  private static LoraFile lora(String style, double scale) {
    return new LoraFile(FIXTURES.resolve("lora").resolve(style + ".safetensors"), scale);
  }

  @ParameterizedTest
  // kohya's were stored in half precision
  @CsvSource({"diffusers, 1e-6", "processor, 1e-6", "kohya, 1e-3", "kohya-original, 1e-3"})
  void everyStyleMergesAlike(String style, double tolerance) {
    SafetensorsFile expected =
        SafetensorsFile.open(FIXTURES.resolve("lora").resolve("merged.safetensors"));
    LoraFile lora = lora(style, 0.8);
    assertEquals(Set.of("text_encoder", "unet"), lora.parts());
    try (NDManager manager = ScriptModule.newManager()) {
      for (String part : lora.parts()) {
        SafetensorsFile plain = base(part);
        TensorSource merged = lora.merged(part, plain);
        assertEquals(plain.shapes(), merged.shapes());
        int changed = 0;
        for (String name : plain.shapes().keySet()) {
          float[] actual = merged.map(manager, name).toFloatArray();
          String key = part + "." + name;
          if (!expected.shapes().containsKey(key)) {
            continue;
          }
          changed++;
          float[] wanted = expected.read(key).values();
          for (int i = 0; i < wanted.length; i++) {
            assertEquals(wanted[i], actual[i], tolerance * 3, key);
          }
        }
        assertTrue(changed > 1, part);
      }
    }
  }

  @Test
  void aScaleOfZeroAndOthersWeightsChangeNothing() {
    SafetensorsFile plain = base("unet");
    try (NDManager manager = ScriptModule.newManager()) {
      TensorSource merged = lora("diffusers", 0).merged("unet", plain);
      TensorSource other = lora("diffusers", 1).merged("unet", plain);
      String norm = "conv_norm_out.weight";
      String query = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight";
      for (TensorSource source : List.of(merged, other)) {
        assertArrayEquals(plain.read(norm).values(), source.map(manager, norm).toFloatArray());
      }
      assertArrayEquals(plain.read(query).values(), merged.map(manager, query).toFloatArray());
    }
  }

  /** Weights of another type, made of the float32 ones. */
  private record Stored(SafetensorsFile file, DataType type) implements TensorSource {
    @Override
    public String name() {
      return file.name();
    }

    @Override
    public Map<String, Shape> shapes() {
      return file.shapes();
    }

    @Override
    public String type(String name) {
      return file.type(name);
    }

    @Override
    public NDArray map(NDManager manager, String name, Staging staging) {
      HostTensor tensor = file.read(name);
      if (type == DataType.FLOAT16) {
        return manager.create(tensor.values(), tensor.shape()).toType(type, false);
      }
      long[] dims = tensor.shape().getShape().clone();
      dims[dims.length - 1] *= 2;
      ByteBuffer bytes = ByteBuffer.allocate(2 * tensor.values().length);
      for (float v : tensor.values()) {
        int bits = Float.floatToIntBits(v) >> 16;
        bytes.put((byte) bits).put((byte) (bits >> 8));
      }
      NDArray array = manager.create(new Shape(dims), DataType.UINT8);
      array.set(bytes.flip());
      return array;
    }
  }

  @ParameterizedTest
  @CsvSource({"FLOAT16, 1e-3", "UINT8, 8e-3"})
  void weightsKeepTheirType(DataType type, double tolerance) {
    SafetensorsFile expected =
        SafetensorsFile.open(FIXTURES.resolve("lora").resolve("merged.safetensors"));
    TensorSource merged = lora("diffusers", 0.8).merged("unet", new Stored(base("unet"), type));
    int checked = 0;
    try (NDManager manager = ScriptModule.newManager()) {
      for (String key : expected.shapes().keySet()) {
        if (key.startsWith("unet.")) {
          checked++;
          NDArray array = merged.map(manager, key.substring(5));
          assertEquals(type, array.getDataType());
          float[] wanted = expected.read(key).values();
          float[] actual =
              type == DataType.FLOAT16
                  ? array.toType(DataType.FLOAT32, true).toFloatArray()
                  : OriginalLayoutTest.brainFloats(array);
          for (int i = 0; i < wanted.length; i++) {
            assertEquals(wanted[i], actual[i], tolerance * Math.max(1, Math.abs(wanted[i])), key);
          }
        }
      }
    }
    assertTrue(checked > 10);
  }

  private Path file(String... keys) {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    for (String key : keys) {
      tensors.put(key, new HostTensor(new Shape(2, 2), new float[4]));
    }
    Path path = dir.resolve("lora.safetensors");
    SafetensorsWriter.write(path, tensors, Map.of(), false);
    return path;
  }

  private static void refused(String reason, Executable call) {
    PriorArtException e = assertThrows(PriorArtException.class, call);
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }

  @Test
  void whatDoesNotFitIsNamed() {
    String query = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    String down = query + ".lora_A.weight";
    String up = query + ".lora_B.weight";
    refused("0 keys", () -> new LoraFile(file(), 1));
    refused(down, () -> new LoraFile(file(down), 1));
    refused(
        query + ".lora_magnitude",
        () -> new LoraFile(file(down, up, query + ".lora_magnitude"), 1));
    refused("vae.x", () -> new LoraFile(file("vae.x.lora_A.weight", "vae.x.lora_B.weight"), 1));
    LoraFile misshapen = new LoraFile(file(down, up), 1);
    refused("does not fit", () -> misshapen.merged("unet", base("unet")));
    LoraFile elsewhere = new LoraFile(file("unet.y.lora_A.weight", "unet.y.lora_B.weight"), 1);
    refused("unet.y", () -> elsewhere.merged("unet", base("unet")));
  }
}
