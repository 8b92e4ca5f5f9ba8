package io.priorart.models;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** SHA-256 over names and contents of files; computed once. Safe for concurrent use. */
final class FileHash implements Supplier<String> {
  private final Path root;
  private final Supplier<Stream<Path>> files;
  private String hash;

  /** Of one file, without its name. */
  FileHash(Path file) {
    this(file, () -> Stream.of(file));
  }

  /**
   * @param root that the files' names are relative to
   * @param files hashed in the order of their names
   */
  FileHash(Path root, Supplier<Stream<Path>> files) {
    this.root = root;
    this.files = files;
  }

  @Override
  public synchronized String get() {
    if (hash == null) {
      hash = compute();
    }
    return hash;
  }

  private String compute() {
    try (Stream<Path> sorted = files.get().sorted()) {
      MessageDigest digest = sha256();
      for (Path file : sorted.toList()) {
        digest.update(root.relativize(file).toString().getBytes(StandardCharsets.UTF_8));
        try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
          in.transferTo(OutputStream.nullOutputStream());
        }
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }
}
