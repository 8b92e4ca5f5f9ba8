package io.priorart.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.train.TrainingPicture;
import io.priorart.runtime.Machine;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32C;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/** {@code training.json}: a training's complete configuration and its laps. */
record TrainingFile(Path path) {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  /** Options of a lap rather than of the training, or with an entry of their own. */
  private static final Set<String> APART =
      Set.of("--data", "--out", "--state", "--minutes", "--save-minutes", "--seed");

  boolean exists() {
    return Files.exists(path);
  }

  ObjectNode read() throws IOException {
    if (!exists()) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND, path + ": no such file; STATE is a training's state folder");
    }
    JsonNode json;
    try {
      json = JSON.readTree(path.toFile());
    } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
      throw PriorArtException.badField(path.toString(), "is not valid JSON");
    }
    boolean whole =
        json instanceof ObjectNode
            && json.path("kind").isTextual()
            && json.path("options").isObject()
            && json.path("data").isArray()
            && json.path("out").isTextual()
            && json.path("seed").isIntegralNumber();
    if (!whole) {
      throw PriorArtException.badField(
          path.toString(), "must have kind, options, data, out and seed");
    }
    return (ObjectNode) json;
  }

  void write(ObjectNode json) throws IOException {
    PictureFiles.writeBytes(path, (JSON.writeValueAsString(json) + "\n").getBytes(UTF_8));
  }

  private static final java.nio.charset.Charset UTF_8 = StandardCharsets.UTF_8;

  /** Every option of the command with the value that it has, defaults included. */
  ObjectNode describe(
      CommandSpec command, String kind, List<Path> data, Path out, Path from, long seed) {
    ObjectNode json = JSON.createObjectNode();
    json.put("kind", kind).put("revision", Machine.revision()).put("out", path(out));
    data.forEach(d -> json.withArray("data").add(path(d)));
    json.put("seed", seed).put("from", from == null ? null : path(from));
    ObjectNode options = json.putObject("options");
    for (OptionSpec option : command.options()) {
      String name = option.longestName();
      boolean own = !option.hidden() && !option.usageHelp() && !option.versionHelp();
      if (own && !APART.contains(name) && option.getValue() != null) {
        options.put(name, text(option.getValue()));
      }
    }
    json.putArray("laps");
    return json;
  }

  private static String text(Object value) {
    if (!value.getClass().isArray()) {
      return value.toString();
    }
    List<String> parts = new ArrayList<>();
    for (int i = 0; i < Array.getLength(value); i++) {
      parts.add(Array.get(value, i).toString());
    }
    return String.join(",", parts);
  }

  static String path(Path path) {
    return path.toAbsolutePath().normalize().toString();
  }

  /** Of sizes, pixels and captions, in order. */
  static String checksum(List<TrainingPicture> pictures) {
    CRC32C crc = new CRC32C();
    for (TrainingPicture p : pictures) {
      crc.update((p.width() + "x" + p.height() + " " + p.caption()).getBytes(UTF_8));
      crc.update(p.rgb());
    }
    return "%08x".formatted(crc.getValue());
  }
}
