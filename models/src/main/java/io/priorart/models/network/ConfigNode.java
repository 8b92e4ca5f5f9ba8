package io.priorart.models.network;

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.StreamSupport;

/**
 * A {@code config.json} of a diffusers part, read with its defaults; every complaint names the file
 * and the key.
 *
 * @param source the file, for messages
 */
public record ConfigNode(String source, JsonNode json) {
  // diffusers writes infinities as they are
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();
  private static final long MAX_BYTES = 1 << 20;

  /** Reads a file of at most a megabyte. */
  public static ConfigNode read(Path file) {
    return read(file, MAX_BYTES);
  }

  /** Reads a file of at most {@code maxBytes}. */
  public static ConfigNode read(Path file, long maxBytes) {
    try {
      if (!Files.isRegularFile(file)) {
        throw new PriorArtException(ErrorKind.NOT_FOUND, file + ": no such file");
      }
      if (Files.size(file) > maxBytes) {
        throw PriorArtException.badField(file.toString(), "is too large for a configuration");
      }
      JsonNode json = JSON.readTree(file.toFile());
      if (json == null || !json.isObject()) {
        throw PriorArtException.badField(file.toString(), "is not a JSON object");
      }
      return new ConfigNode(file.toString(), json);
    } catch (IOException e) {
      throw PriorArtException.badField(file.toString(), "is not readable JSON: " + e.getMessage());
    }
  }

  private JsonNode get(String key) {
    JsonNode node = json.get(key);
    return node == null || node.isNull() ? null : node;
  }

  public PriorArtException bad(String key, String problem) {
    return PriorArtException.badField(source + "#" + key, problem);
  }

  public int integer(String key, int defaultValue, int min, int max) {
    JsonNode node = get(key);
    if (node == null) {
      return defaultValue;
    }
    return checked(key, node, min, max);
  }

  private int checked(String key, JsonNode node, int min, int max) {
    if (!node.isIntegralNumber() || !node.canConvertToInt()) {
      throw bad(key, "must be a whole number, was " + node);
    }
    int value = node.intValue();
    if (value < min || value > max) {
      throw bad(key, "must be " + min + " to " + max + ", was " + value);
    }
    return value;
  }

  public double number(String key, double defaultValue) {
    JsonNode node = get(key);
    if (node == null) {
      return defaultValue;
    }
    if (!node.isNumber()) {
      throw bad(key, "must be a number, was " + node);
    }
    return node.doubleValue();
  }

  public boolean flag(String key, boolean defaultValue) {
    JsonNode node = get(key);
    return node == null ? defaultValue : node.asBoolean();
  }

  public String text(String key, String defaultValue) {
    JsonNode node = get(key);
    return node == null ? defaultValue : node.asText();
  }

  /** A list of whole numbers, or one number for all {@code count} places. */
  public int[] integers(String key, int count, int defaultValue, int min, int max) {
    JsonNode node = get(key);
    int[] values = new int[count];
    if (node == null || !node.isArray()) {
      Arrays.fill(values, node == null ? defaultValue : checked(key, node, min, max));
      return values;
    }
    if (node.size() != count) {
      throw bad(key, "must have " + count + " entries, has " + node.size());
    }
    for (int i = 0; i < count; i++) {
      values[i] = checked(key, node.get(i), min, max);
    }
    return values;
  }

  /** A list of whole numbers of any length. */
  public int[] list(String key, int[] defaultValue, int min, int max) {
    JsonNode node = get(key);
    if (node == null) {
      return defaultValue;
    }
    if (!node.isArray() || node.isEmpty() || node.size() > 16) {
      throw bad(key, "must be a list of 1 to 16 numbers");
    }
    return integers(key, node.size(), 0, min, max);
  }

  public String[] texts(String key, String... defaultValue) {
    JsonNode node = get(key);
    if (node == null) {
      return defaultValue;
    }
    return StreamSupport.stream(node.spliterator(), false)
        .map(JsonNode::asText)
        .toArray(String[]::new);
  }

  /** A list of numbers, NaN for what is none; empty where there is no such key. */
  public List<Double> numbers(String key) {
    JsonNode node = get(key);
    return node == null
        ? List.of()
        : StreamSupport.stream(node.spliterator(), false).map(n -> n.asDouble(Double.NaN)).toList();
  }

  /** Refuses a configuration that uses what the network class does not build. */
  public void requireDefault(String key, String supported) {
    JsonNode node = get(key);
    if (node != null && !node.asText().equals(supported)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          source + "#" + key + ": " + node + " is not supported, only " + supported);
    }
  }

  /** Refuses keys that must be absent, null, false or zero. */
  public void requireUnset(String... keys) {
    for (String key : keys) {
      JsonNode node = get(key);
      if (node != null && !(node.isBoolean() && !node.asBoolean()) && !node.asText().equals("0")) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION, source + "#" + key + ": is not supported here");
      }
    }
  }
}
