package io.priorart.models;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.network.ConfigNode;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;

/** The kinds of checkpoint that open, by the {@code _class_name} of their index. */
public final class ModelFamilies {
  private static final Map<String, BiFunction<CheckpointFolder, CompileOptions, Prior>> FAMILIES =
      new TreeMap<>(
          Map.of(
              DiffusionPipeline.CLASS_NAME, DiffusionPipeline::new,
              PixelPrior.CLASS_NAME, PixelPrior::new));

  private ModelFamilies() {}

  /**
   * Whether a checkpoint is a prior of pictures themselves, by its index alone; such a one takes no
   * text.
   */
  public static boolean pixelSpace(Path directory) {
    return new CheckpointFolder(directory)
        .index()
        .text("_class_name", DiffusionPipeline.CLASS_NAME)
        .equals(PixelPrior.CLASS_NAME);
  }

  /**
   * Loads a checkpoint.
   *
   * @throws PriorArtException NOT_FOUND, INVALID_ARGUMENT or FAILED_PRECONDITION naming the file
   *     and the defect
   */
  public static Prior load(Path directory, CompileOptions options) {
    CheckpointFolder folder = new CheckpointFolder(directory);
    ConfigNode index = folder.index();
    String family = index.text("_class_name", DiffusionPipeline.CLASS_NAME);
    BiFunction<CheckpointFolder, CompileOptions, Prior> load = FAMILIES.get(family);
    if (load == null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          index.source()
              + "#_class_name: "
              + family
              + " is not supported, only "
              + FAMILIES.keySet());
    }
    return load.apply(folder, options);
  }
}
