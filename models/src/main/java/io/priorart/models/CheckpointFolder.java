package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.stream.Stream;

/** A checkpoint in the diffusers folder layout: an index and a folder a part. */
final class CheckpointFolder {
  private final Path directory;
  private String hash;

  /**
   * @throws PriorArtException NOT_FOUND
   */
  CheckpointFolder(Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND, "model: " + directory + " is no checkpoint folder");
    }
    this.directory = directory;
  }

  /** The folder's name. */
  String name() {
    return directory.toAbsolutePath().normalize().getFileName().toString();
  }

  /** {@code model_index.json}. */
  ConfigNode index() {
    return ConfigNode.read(directory.resolve("model_index.json"));
  }

  ConfigNode config(String part) {
    return config(part, "config.json");
  }

  ConfigNode config(String part, String file) {
    return ConfigNode.read(path(part).resolve(file));
  }

  Path path(String part) {
    return directory.resolve(part);
  }

  TensorSource weights(String part, String stem) {
    return SafetensorsFile.open(path(part).resolve(stem + ".safetensors"));
  }

  /**
   * SHA-256 over the names and contents of the checkpoint's weights and configurations, in name
   * order; computed once.
   */
  synchronized String hash() {
    if (hash == null) {
      hash = contentHash();
    }
    return hash;
  }

  private String contentHash() {
    try (Stream<Path> files = Files.walk(directory)) {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (Path file :
          files
              .filter(f -> f.toString().matches(".*\\.(safetensors|json|txt)"))
              .sorted()
              .toList()) {
        digest.update(directory.relativize(file).toString().getBytes());
        try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
          in.transferTo(OutputStream.nullOutputStream());
        }
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }
}
