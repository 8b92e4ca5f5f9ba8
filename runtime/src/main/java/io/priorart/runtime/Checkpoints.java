package io.priorart.runtime;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Where checkpoints are: a folder the user names, or those that come with PriorArt. */
public final class Checkpoints {
  /** The name of the default. */
  public static final String BUNDLED = "bundled";

  private static final String PIXEL_SPACE = "pixel-v3";
  private static final String WITH_TEXT = "latent-v2";

  private Checkpoints() {}

  /** The folder PriorArt runs from; the launcher names it. */
  public static Path home() {
    return Path.of(System.getProperty("priorart.home", "."));
  }

  private static Path folder() {
    return home().resolve("models/checkpoints");
  }

  /**
   * The folder or file of a name: {@link #BUNDLED}, a bundled checkpoint's name, or a path. Files
   * are not looked into.
   *
   * @param text whether {@link #BUNDLED} must understand a prompt
   * @throws PriorArtException NOT_FOUND
   */
  public static Path resolve(String name, boolean text) {
    String usual = text ? WITH_TEXT : PIXEL_SPACE;
    Path bundled = folder().resolve(name.equals(BUNDLED) ? usual : name);
    if (Files.isRegularFile(Path.of(name))) {
      return Path.of(name);
    }
    for (Path candidate : List.of(Path.of(name), bundled)) {
      if (Files.isRegularFile(candidate.resolve("model_index.json"))) {
        return candidate;
      }
    }
    throw new PriorArtException(
        ErrorKind.NOT_FOUND,
        "model: "
            + name
            + " is neither a checkpoint folder with a model_index.json, nor a file, nor one of "
            + bundled().stream().map(p -> p.getFileName().toString()).toList());
  }

  /** The checkpoints that come with PriorArt. */
  public static List<Path> bundled() {
    if (!Files.isDirectory(folder())) {
      return List.of();
    }
    try (Stream<Path> folders = Files.list(folder())) {
      return folders
          .filter(f -> Files.isRegularFile(f.resolve("model_index.json")))
          .sorted()
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
