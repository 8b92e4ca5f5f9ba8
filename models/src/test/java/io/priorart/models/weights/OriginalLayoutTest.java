package io.priorart.models.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Names and shapes of full-size checkpoints (testdata/fixtures/make_original.py), and contents. */
class OriginalLayoutTest {
  @TempDir private Path dir;

  @ParameterizedTest
  @ValueSource(strings = {"sd-1", "sd-2", "sdxl", "sd3-medium", "sd3.5-medium"})
  void everyTensorHasItsNameAndShape(String name) throws IOException {
    JsonNode fixture = OriginalFile.fixture(name);
    Map<String, TensorSource> parts =
        OriginalLayout.parts(new OriginalFile(OriginalFile.shapes(fixture.path("file"))));
    Map<String, Map<String, Shape>> expected = new TreeMap<>();
    fixture
        .path("parts")
        .properties()
        .forEach(p -> expected.put(p.getKey(), OriginalFile.shapes(p.getValue())));
    assertEquals(expected.keySet(), parts.keySet());
    for (String part : expected.keySet()) {
      assertEquals(expected.get(part), new TreeMap<>(parts.get(part).shapes()), part);
    }
  }

  @Test
  void strangeTensorsAreNamed() throws IOException {
    Map<String, Shape> file = OriginalFile.shapes(OriginalFile.fixture("sd-1").path("file"));
    file.put("control_model.zero_convs.0.0.weight", new Shape(1));
    file.put("model.diffusion_model.input_blocks.1.2.weight", new Shape(1));
    file.put("model.diffusion_model.input_blocks.99999999999.0.in_layers.0.weight", new Shape(1));
    file.put("model.diffusion_model.output_blocks.0.0.skip_connection.weight.more", new Shape(1));
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> OriginalLayout.parts(new OriginalFile(file)));
    for (String part : new String[] {"control_model", "input_blocks.1.2", "3 tensors"}) {
      assertTrue(e.getMessage().contains(part), e.getMessage());
    }
    // a projection that cannot be cut into query, key and value
    Map<String, Shape> odd = OriginalFile.shapes(OriginalFile.fixture("sd-2").path("file"));
    odd.put("cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias", new Shape(3071));
    e = assertThrows(PriorArtException.class, () -> OriginalLayout.parts(new OriginalFile(odd)));
    assertTrue(e.getMessage().contains("in_proj_bias: has the unexpected shape"), e.getMessage());
  }

  private Path write(String type, Map<String, long[]> tensors) throws IOException {
    StringBuilder header = new StringBuilder("{");
    ByteBuffer data = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);
    for (Map.Entry<String, long[]> tensor : tensors.entrySet()) {
      int begin = data.position();
      long size = new Shape(tensor.getValue()).size();
      for (int i = 0; i < size; i++) {
        if (type.equals("BF16")) {
          data.putShort((short) (Float.floatToIntBits(i) >> 16));
        } else {
          data.putFloat(i);
        }
      }
      header.append(
          "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
              .formatted(
                  begin == 0 ? "" : ",",
                  tensor.getKey(),
                  type,
                  Arrays.toString(tensor.getValue()),
                  begin,
                  data.position()));
    }
    byte[] json = header.append('}').toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer all =
        ByteBuffer.allocate(8 + json.length + data.position()).order(ByteOrder.LITTLE_ENDIAN);
    all.putLong(json.length).put(json).put(data.flip());
    return Files.write(dir.resolve(type + ".safetensors"), all.array());
  }

  private static float[] values(TensorSource part, NDManager manager, String name) {
    NDArray mapped = part.map(manager, name);
    return mapped.getDataType() == DataType.FLOAT32 ? mapped.toFloatArray() : brainFloats(mapped);
  }

  /** Values of bfloat16 mapped as bytes. */
  static float[] brainFloats(NDArray mapped) {
    ByteBuffer bytes = mapped.toByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    float[] values = new float[bytes.remaining() / 2];
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(bytes.getShort() << 16);
    }
    return values;
  }

  @ParameterizedTest
  @ValueSource(strings = {"F32", "BF16"})
  void contentsAreCutAndTurned(String type) throws IOException {
    Map<String, long[]> tensors = new LinkedHashMap<>();
    String clip = "conditioner.embedders.1.model.";
    tensors.put(clip + "positional_embedding", new long[] {2, 2});
    tensors.put(clip + "text_projection", new long[] {2, 3});
    tensors.put(clip + "transformer.resblocks.0.attn.in_proj_weight", new long[] {6, 2});
    tensors.put(clip + "transformer.resblocks.0.attn.in_proj_bias", new long[] {6});
    tensors.put("model.diffusion_model.pos_embed", new long[] {1, 2, 2});
    tensors.put("model.diffusion_model.final_layer.adaLN_modulation.1.weight", new long[] {4, 2});
    tensors.put("model.diffusion_model.final_layer.adaLN_modulation.1.bias", new long[] {4});
    tensors.put("first_stage_model.encoder.mid.attn_1.q.weight", new long[] {2, 2, 1, 1});
    Map<String, TensorSource> parts =
        OriginalLayout.parts(SafetensorsFile.open(write(type, tensors)));
    try (NDManager manager = ScriptModule.newManager()) {
      TensorSource text = parts.get("text_encoder_2");
      String layer = "text_model.encoder.layers.0.self_attn.";
      assertArrayEquals(
          new float[] {0, 3, 1, 4, 2, 5}, values(text, manager, "text_projection.weight"));
      assertArrayEquals(new float[] {0, 1, 2, 3}, values(text, manager, layer + "q_proj.weight"));
      assertArrayEquals(new float[] {4, 5, 6, 7}, values(text, manager, layer + "k_proj.weight"));
      assertArrayEquals(new float[] {8, 9, 10, 11}, values(text, manager, layer + "v_proj.weight"));
      assertArrayEquals(new float[] {2, 3}, values(text, manager, layer + "k_proj.bias"));
      TensorSource transformer = parts.get("transformer");
      assertArrayEquals(
          new float[] {4, 5, 6, 7, 0, 1, 2, 3},
          values(transformer, manager, "norm_out.linear.weight"));
      assertArrayEquals(
          new float[] {2, 3, 0, 1}, values(transformer, manager, "norm_out.linear.bias"));
      assertArrayEquals(
          new float[] {0, 1, 2, 3},
          values(parts.get("vae"), manager, "encoder.mid_block.attentions.0.to_q.weight"));
    }
  }
}
