package io.priorart.cli;

import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A folder made beside its place and renamed to it as a whole. Closed without commit: nothing. */
final class StagedFolder implements AutoCloseable {
  private final Path target;
  private final Path part;

  /**
   * Begins with a copy of what a folder holds.
   *
   * @param base null for an empty folder
   */
  StagedFolder(Path target, Path base) throws IOException {
    this.target = target.toAbsolutePath().normalize();
    part = beside(".part");
    delete(part);
    Files.createDirectories(part);
    if (base != null && Files.isDirectory(base)) {
      for (Path from : walk(base)) {
        Path to = part.resolve(base.relativize(from).toString());
        if (Files.isDirectory(from)) {
          Files.createDirectories(to);
        } else {
          Files.copy(from, to);
        }
      }
    }
  }

  /**
   * @param own the folder holds an earlier lap of the same training and may be replaced
   * @param completes the folder may hold an auto-encoder that the training adds to
   */
  static void requireWritable(Path target, boolean own, boolean completes) throws IOException {
    if (!Files.exists(target)) {
      return;
    }
    if (!Files.isDirectory(target)) {
      throw PriorArtException.badField("out", target + " is not a folder");
    }
    if (own && !completes && Files.exists(target.resolve("unet"))) {
      throw PriorArtException.badField(
          "out",
          target + " holds a denoiser that was trained on its auto-encoder; choose another -o");
    }
    boolean free;
    try (Stream<Path> files = Files.list(target)) {
      free = completes ? !Files.exists(target.resolve("unet")) : files.findAny().isEmpty();
    }
    if (!own && !free) {
      throw PriorArtException.badField(
          "out", target + " holds a checkpoint, which is not overwritten; choose another -o");
    }
  }

  Path path() {
    return part;
  }

  void commit() throws IOException {
    Path old = beside(".old");
    delete(old);
    if (Files.exists(target)) {
      Files.move(target, old);
    }
    Files.move(part, target);
    delete(old);
  }

  @Override
  public void close() throws IOException {
    delete(part);
  }

  private Path beside(String ending) {
    return target.resolveSibling("." + target.getFileName() + ending);
  }

  private static List<Path> walk(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.toList();
    }
  }

  private static void delete(Path folder) throws IOException {
    if (Files.exists(folder)) {
      for (Path file : walk(folder).stream().sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
