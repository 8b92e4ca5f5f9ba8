package io.priorart.runtime.inversion;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The noise of a picture, with all that its way back needs. As a file: a {@code .safetensors} with
 * the tensors {@code noise} and, where an inversion tuned them, {@code null.0}, {@code null.1}, ...
 *
 * @param noise {@code [1, c, h, w]}, about standard normal
 * @param nulls an embedding of the empty prompt for each step, {@code [1, L, width]}; empty where
 *     the method tunes none
 * @param model SHA-256 of the checkpoint that it belongs to
 * @param method that found it
 * @param steps of DDIM
 * @param prompt that it was found with
 * @param width of the picture in pixels
 * @param height as {@code width}
 */
public record InvertedPicture(
    HostTensor noise,
    List<HostTensor> nulls,
    String model,
    String method,
    int steps,
    Prompt prompt,
    int width,
    int height) {
  private static final int MAX_STEPS = 1000;

  public InvertedPicture {
    nulls = List.copyOf(nulls);
  }

  /** Writes the file, aside and renamed. */
  public void write(Path file, boolean force) {
    PictureFiles.requireWritable(file, force);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("noise", noise);
    for (int i = 0; i < nulls.size(); i++) {
      tensors.put("null." + i, nulls.get(i));
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("model", model);
    metadata.put("method", method);
    metadata.put("steps", Integer.toString(steps));
    metadata.put("prompt", prompt.text());
    metadata.put("negative_prompt", prompt.negative());
    metadata.put("guidance_scale", Double.toString(prompt.guidanceScale()));
    metadata.put("suppress", prompt.suppress());
    metadata.put("suppress_iterations", Integer.toString(prompt.suppressIterations()));
    metadata.put("width", Integer.toString(width));
    metadata.put("height", Integer.toString(height));
    SafetensorsWriter.write(file, tensors, metadata, false);
  }

  /** The file's bytes. */
  public byte[] encode() {
    return throughFile(
        file -> {
          write(file, true);
          return PictureFiles.bytes(file);
        });
  }

  /**
   * Reads a file.
   *
   * @param name what a message calls it
   * @throws PriorArtException NOT_FOUND; INVALID_ARGUMENT for another file or one with numbers that
   *     are none
   */
  public static InvertedPicture read(String name, Path file) {
    SafetensorsFile kept = SafetensorsFile.open(file);
    Map<String, String> meta = kept.metadata();
    if (!kept.shapes().containsKey("noise") || !meta.containsKey("model")) {
      throw PriorArtException.badField(
          name, "is no inverted picture: it has no noise with its model; make one with invert");
    }
    List<HostTensor> nulls = new ArrayList<>();
    for (String key = "null.0"; kept.shapes().containsKey(key); key = "null." + nulls.size()) {
      nulls.add(finite(name, key, kept));
    }
    Prompt prompt =
        new Prompt(
            text(name, meta, "prompt"),
            text(name, meta, "negative_prompt"),
            number(name, meta, "guidance_scale", 0, 100),
            text(name, meta, "suppress"),
            (int) number(name, meta, "suppress_iterations", 0, 100));
    int steps = (int) number(name, meta, "steps", 1, MAX_STEPS);
    if (!nulls.isEmpty() && nulls.size() != steps) {
      throw PriorArtException.badField(
          name, "has " + nulls.size() + " embeddings for " + steps + " steps");
    }
    return new InvertedPicture(
        finite(name, "noise", kept),
        nulls,
        meta.get("model"),
        text(name, meta, "method"),
        steps,
        prompt,
        (int) number(name, meta, "width", 1, Integer.MAX_VALUE),
        (int) number(name, meta, "height", 1, Integer.MAX_VALUE));
  }

  /** {@link #read} of a file's bytes. */
  public static InvertedPicture decode(String name, byte[] bytes) {
    return throughFile(
        file -> {
          PictureFiles.writeBytes(file, bytes);
          try {
            return read(name, file);
          } catch (PriorArtException e) {
            // the name of the temporary file says nothing to who sent it
            throw PriorArtException.badField(
                name, e.getMessage().replace(file.toString(), "the file"));
          }
        });
  }

  private interface OfFile<T> {
    T apply(Path file);
  }

  private static <T> T throughFile(OfFile<T> work) {
    try {
      Path folder = Files.createTempDirectory("priorart-noise");
      Path file = folder.resolve("noise.safetensors");
      try {
        return work.apply(file);
      } finally {
        Files.deleteIfExists(file);
        Files.delete(folder);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static HostTensor finite(String name, String key, SafetensorsFile file) {
    HostTensor tensor = file.read(key);
    for (float v : tensor.values()) {
      if (!Float.isFinite(v)) {
        throw PriorArtException.badField(name, key + " has a number that is not finite");
      }
    }
    return tensor;
  }

  private static String text(String name, Map<String, String> meta, String key) {
    String text = meta.get(key);
    if (text == null) {
      throw PriorArtException.badField(name, "does not tell its " + key);
    }
    return text;
  }

  private static double number(
      String name, Map<String, String> meta, String key, double min, double max) {
    String text = text(name, meta, key);
    double value;
    try {
      value = Double.parseDouble(text);
    } catch (NumberFormatException e) {
      value = Double.NaN;
    }
    if (!(value >= min && value <= max)) {
      throw PriorArtException.badField(
          name, key + " must be " + min + " to " + max + ", was " + text);
    }
    return value;
  }

  long pixels() {
    return (long) width * height;
  }

  Shape shape() {
    return noise.shape();
  }
}
