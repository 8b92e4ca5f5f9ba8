package io.priorart.runtime;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The {@code .problem.json} beside a degraded picture: what {@code restore --problem} needs to know
 * of it.
 *
 * @param operators tensor parameters are file names relative to this file
 * @param noise of the measurement
 * @param seed that drew operators and noise
 * @param width of the picture that was measured
 * @param height of the picture that was measured
 */
public record ProblemFile(
    List<OperatorRequest> operators, Noise noise, long seed, int width, int height) {
  private static final int FORMAT = 1;
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  /** The file's name for a picture: its own without extension, and {@code .problem.json}. */
  public static Path beside(Path picture) {
    return picture.resolveSibling(stem(picture) + ".problem.json");
  }

  static String stem(Path picture) {
    String name = picture.getFileName().toString();
    int dot = name.lastIndexOf('.');
    return dot < 0 ? name : name.substring(0, dot);
  }

  /** Writes the file, aside and then renamed. */
  public void write(Path file, boolean force) {
    PictureFiles.requireWritable(file, force);
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("format", FORMAT);
    List<Object> list = new ArrayList<>();
    for (OperatorRequest o : operators) {
      list.add(Map.of("name", o.name(), "parameters", o.parameters()));
    }
    json.put("operators", list);
    if (noise instanceof Noise.Poisson light) {
      json.put("poisson", light.peak());
    } else {
      json.put("sigma", noise.internalSigma(() -> 1) / 2);
    }
    json.put("seed", seed);
    json.put("width", width);
    json.put("height", height);
    try {
      PictureFiles.writeBytes(file, JSON.writeValueAsBytes(json));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Reads a file.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT naming the file and the key
   */
  public static ProblemFile read(Path file) {
    JsonNode json;
    try {
      if (!Files.isRegularFile(file)) {
        throw new PriorArtException(ErrorKind.NOT_FOUND, file + ": no such file");
      }
      json = JSON.readTree(file.toFile());
    } catch (IOException e) {
      throw PriorArtException.badField(file.toString(), "is not readable JSON: " + e.getMessage());
    }
    if (json.path("format").asInt() != FORMAT) {
      throw PriorArtException.badField(file + "#format", "must be " + FORMAT);
    }
    List<OperatorRequest> operators = new ArrayList<>();
    for (JsonNode node : json.path("operators")) {
      Map<String, Object> parameters = new LinkedHashMap<>();
      node.path("parameters")
          .properties()
          .forEach(e -> parameters.put(e.getKey(), JSON.convertValue(e.getValue(), Object.class)));
      operators.add(new OperatorRequest(node.path("name").asText(), parameters));
    }
    return new ProblemFile(
        operators,
        json.has("poisson")
            ? new Noise.Poisson(number(file, json, "poisson").asDouble())
            : Noise.ofSigma(number(file, json, "sigma").asDouble()),
        number(file, json, "seed").asLong(),
        number(file, json, "width").asInt(),
        number(file, json, "height").asInt());
  }

  private static JsonNode number(Path file, JsonNode json, String key) {
    if (!json.path(key).isNumber()) {
      throw PriorArtException.badField(file + "#" + key, "must be a number");
    }
    return json.get(key);
  }
}
