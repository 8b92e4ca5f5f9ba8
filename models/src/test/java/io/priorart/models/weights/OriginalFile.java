package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.GZIPInputStream;

/** A full-size checkpoint of testdata/fixtures/original of which only the header is there. */
public record OriginalFile(Map<String, Shape> shapes) implements TensorSource {
  private static final Path FIXTURES =
      Path.of(System.getProperty("priorart.home"), "testdata", "fixtures", "original");

  /** A fixture: {@code file} as it is, {@code parts} as diffusers converts it. */
  public static JsonNode fixture(String name) throws IOException {
    try (InputStream in =
        new GZIPInputStream(Files.newInputStream(FIXTURES.resolve(name + ".json.gz")))) {
      return new ObjectMapper().readTree(in);
    }
  }

  /** Shapes by name. */
  public static Map<String, Shape> shapes(JsonNode node) {
    Map<String, Shape> shapes = new TreeMap<>();
    for (Map.Entry<String, JsonNode> tensor : node.properties()) {
      long[] dims = new long[tensor.getValue().size()];
      for (int i = 0; i < dims.length; i++) {
        dims[i] = tensor.getValue().get(i).longValue();
      }
      shapes.put(tensor.getKey(), new Shape(dims));
    }
    return shapes;
  }

  @Override
  public String name() {
    return "model.safetensors";
  }

  @Override
  public String type(String name) {
    return "F16";
  }

  @Override
  public NDArray map(NDManager manager, String name, Staging staging) {
    throw new AssertionError("no contents");
  }
}
