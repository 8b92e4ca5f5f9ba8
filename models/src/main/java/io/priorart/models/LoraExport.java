package io.priorart.models;

import io.priorart.models.weights.LoraExtraction;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** What sets one checkpoint's denoiser apart from another's, as a LoRA file. */
public final class LoraExport {
  /**
   * @param modules weights that have factors
   * @param kept share of the squared change of all weights that they hold, 0 to 1
   */
  public record Result(int modules, double kept) {}

  private LoraExport() {}

  /**
   * Writes the file, float16, in diffusers' key style.
   *
   * @param rank of the factors at most
   * @param force whether an existing file may be replaced
   * @throws PriorArtException ALREADY_EXISTS; INVALID_ARGUMENT where the two differ in more than
   *     numbers
   */
  public static Result write(
      ModelSource base, ModelSource changed, int rank, Path file, boolean force) {
    if (Files.exists(file) && !force) {
      throw new PriorArtException(
          ErrorKind.ALREADY_EXISTS, file + " exists; add --force to overwrite it");
    }
    Checkpoint from = Checkpoint.open(base);
    Checkpoint to = Checkpoint.open(changed);
    String part = from.has("transformer") ? "transformer" : "unet";
    if (!from.has(part) || !to.has(part)) {
      throw PriorArtException.badField("base", "and the other must both have a " + part);
    }
    LoraExtraction extraction = LoraExtraction.of(part, from.weights(part), to.weights(part), rank);
    if (extraction.tensors().isEmpty()) {
      throw PriorArtException.badField("base", "and the other are the same");
    }
    SafetensorsWriter.write(file, extraction.tensors(), Map.of("format", "pt"), true);
    return new Result(extraction.tensors().size() / 2, extraction.kept());
  }
}
