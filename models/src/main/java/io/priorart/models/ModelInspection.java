package io.priorart.models;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.weights.SafetensorsFile;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * What a checkpoint is, from its configurations and the headers of its weights; nothing is loaded.
 *
 * @param family the pipeline class that it names
 * @param license as it states, {@code null} for none
 * @param scheduler class of its sampler, {@code null} for none
 * @param prediction {@code prediction_type}, {@code null} where there is no sampler
 */
public record ModelInspection(
    String name,
    String family,
    String license,
    String scheduler,
    String prediction,
    PriorTraits traits,
    List<Part> parts) {
  /**
   * One network.
   *
   * @param className of its configuration
   * @param file that its tensors are in
   * @param bytes as stored
   * @param types tensors by element type
   */
  public record Part(
      String name,
      String className,
      String file,
      long parameters,
      long bytes,
      Map<String, Integer> types) {}

  public ModelInspection {
    parts = List.copyOf(parts);
  }

  /**
   * Reads headers and configurations.
   *
   * @throws io.priorart.solver.PriorArtException as {@link ModelFamilies#load}, as far as those
   *     tell
   */
  public static ModelInspection of(ModelSource source) {
    Checkpoint checkpoint = Checkpoint.open(source);
    PriorTraits traits = ModelFamilies.traits(checkpoint);
    List<Part> parts = new ArrayList<>();
    for (String name : Checkpoint.PARTS) {
      if (checkpoint.has(name)) {
        parts.add(part(checkpoint, name));
      }
    }
    ConfigNode scheduler =
        checkpoint.hasConfig(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG)
            ? checkpoint.config(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG)
            : null;
    return new ModelInspection(
        checkpoint.name(),
        checkpoint.index().text("_class_name", "StableDiffusionPipeline"),
        checkpoint.license(),
        scheduler == null ? null : scheduler.text("_class_name", null),
        scheduler == null ? null : PredictionType.of(scheduler).name().toLowerCase(Locale.ROOT),
        traits,
        parts);
  }

  private static Part part(Checkpoint checkpoint, String name) {
    TensorSource weights = checkpoint.weights(name);
    ConfigNode config = checkpoint.config(name);
    String[] architectures = config.texts("architectures", "");
    Map<String, Integer> types = new TreeMap<>();
    long parameters = 0;
    long bits = 0;
    for (Map.Entry<String, Shape> tensor : weights.shapes().entrySet()) {
      String type = weights.type(tensor.getKey());
      types.merge(type, 1, Integer::sum);
      parameters += tensor.getValue().size();
      bits += tensor.getValue().size() * SafetensorsFile.bits(type);
    }
    return new Part(
        name,
        config.text("_class_name", architectures[0]),
        weights.name(),
        parameters,
        bits / 8,
        types);
  }

  /** Of all parts. */
  public long parameters() {
    return parts.stream().mapToLong(Part::parameters).sum();
  }

  /** As stored, of all parts. */
  public long bytes() {
    return parts.stream().mapToLong(Part::bytes).sum();
  }
}
