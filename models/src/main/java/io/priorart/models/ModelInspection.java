package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
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
    long[] sums = new long[2];
    weights
        .shapes()
        .forEach(
            (tensor, shape) -> {
              String type = weights.type(tensor);
              types.merge(type, 1, Integer::sum);
              sums[0] += shape.size();
              sums[1] +=
                  shape.size()
                      * (type.endsWith("64")
                          ? 8
                          : type.endsWith("32") ? 4 : type.endsWith("16") ? 2 : 1);
            });
    return new Part(
        name,
        config.text("_class_name", architectures[0]),
        weights.name(),
        sums[0],
        sums[1],
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
