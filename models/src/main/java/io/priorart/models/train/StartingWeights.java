package io.priorart.models.train;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.TensorSpec;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;

/** A finished checkpoint's weights as those of a training script. */
final class StartingWeights {
  private StartingWeights() {}

  /**
   * Checks that every weight of the script is there with its shape.
   *
   * @param files by the prefix that their weights have in the script
   * @return the weights by their names in the script
   * @throws PriorArtException NOT_FOUND for a missing file, FAILED_PRECONDITION for weights of
   *     another configuration
   */
  static Function<String, HostTensor> open(Script script, Map<String, Path> files) {
    Map<String, SafetensorsFile> open = new LinkedHashMap<>();
    files.forEach((prefix, path) -> open.put(prefix, SafetensorsFile.open(path)));
    for (TensorSpec spec : script.weights()) {
      String prefix = prefix(open, spec.name());
      SafetensorsFile file = open.get(prefix);
      Shape shape = file.shapes().get(spec.name().substring(prefix.length()));
      if (!spec.shape().equals(shape)) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION,
            file.name()
                + ": "
                + spec.name()
                + (shape == null ? " is missing" : " is " + shape + ", not " + spec.shape())
                + "; begin from a checkpoint of the same configuration");
      }
    }
    return name -> {
      String prefix = prefix(open, name);
      return open.get(prefix).read(name.substring(prefix.length()));
    };
  }

  /** {@link #open} of a checkpoint with one part; {@code null} without a checkpoint. */
  static Function<String, HostTensor> ofPart(Script script, Path checkpoint, String part) {
    return checkpoint == null
        ? null
        : open(
            script,
            Map.of("", checkpoint.resolve(part).resolve("diffusion_pytorch_model.safetensors")));
  }

  private static String prefix(Map<String, SafetensorsFile> files, String name) {
    return files.keySet().stream().filter(name::startsWith).findFirst().orElseThrow();
  }
}
