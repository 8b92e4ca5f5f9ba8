package io.priorart.models;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.network.ConfigNode;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.function.Function;

/** The kinds of checkpoint that open, by the {@code _class_name} of their index. */
public final class ModelFamilies {
  private record Family(
      Function<CheckpointFolder, PriorTraits> traits,
      BiFunction<CheckpointFolder, CompileOptions, Prior> load) {}

  private static final Map<String, Family> FAMILIES = new TreeMap<>();

  static {
    add(DiffusionPipeline.CLASS_NAMES, DiffusionPipeline::traits, DiffusionPipeline::new);
    add(List.of(PixelPrior.CLASS_NAME), PixelPrior::traits, PixelPrior::new);
  }

  private static void add(
      List<String> classNames,
      Function<CheckpointFolder, PriorTraits> traits,
      BiFunction<CheckpointFolder, CompileOptions, Prior> load) {
    classNames.forEach(name -> FAMILIES.put(name, new Family(traits, load)));
  }

  private ModelFamilies() {}

  /**
   * What a checkpoint is, by its configuration alone.
   *
   * @throws PriorArtException as {@link #load}
   */
  public static PriorTraits traits(Path directory) {
    CheckpointFolder folder = new CheckpointFolder(directory);
    return family(folder).traits().apply(folder);
  }

  /**
   * Loads a checkpoint.
   *
   * @throws PriorArtException NOT_FOUND, INVALID_ARGUMENT or FAILED_PRECONDITION naming the file
   *     and the defect
   */
  public static Prior load(Path directory, CompileOptions options) {
    CheckpointFolder folder = new CheckpointFolder(directory);
    return family(folder).load().apply(folder, options);
  }

  private static Family family(CheckpointFolder folder) {
    ConfigNode index = folder.index();
    String name = index.text("_class_name", "StableDiffusionPipeline");
    Family family = FAMILIES.get(name);
    if (family == null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          index.source()
              + "#_class_name: "
              + name
              + " is not supported, only "
              + FAMILIES.keySet());
    }
    return family;
  }
}
