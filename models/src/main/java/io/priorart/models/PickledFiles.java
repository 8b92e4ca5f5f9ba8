package io.priorart.models;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Files of weights that can run code when they are opened. */
final class PickledFiles {
  private static final Pattern NAMES = Pattern.compile("(?i).*\\.(ckpt|bin|pt|pth|pkl)");

  private PickledFiles() {}

  /**
   * @throws PriorArtException INVALID_ARGUMENT with the way out, if the file is one by its name
   */
  static void refuse(Path file) {
    if (NAMES.matcher(file.toString()).matches()) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          file
              + " is a pickled file, which can run code of its author's when it is opened. Take the"
              + " model's .safetensors, or make one where you trust the file: in Python,"
              + " safetensors.torch.save_file(torch.load(FILE, weights_only=True)['state_dict'], ...)"
              + " for one file, pipeline.save_pretrained(FOLDER) for a diffusers folder");
    }
  }

  /** One in a folder. */
  static Optional<Path> in(Path folder) {
    if (!Files.isDirectory(folder)) {
      return Optional.empty();
    }
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(f -> NAMES.matcher(f.toString()).matches()).sorted().findFirst();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
