package io.priorart.runtime.service;

import io.priorart.runtime.Sha256;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Files named by their content's SHA-256, in one folder, with a quota and an expiry after the last
 * use. What had arrived of an upload that broke off counts and expires like a file. Survives a
 * restart: the folder is all there is. Safe for concurrent use within one process.
 */
public final class ArtifactStore {
  private static final Pattern HASH = Pattern.compile("[0-9a-f]{64}");
  private static final String PART = ".part";

  private final Path folder;
  private final long maxFileBytes;
  private final long quotaBytes;
  private final Duration expiry;
  private final Clock clock;

  /** Hashes that an upload is writing to. */
  private final Set<String> uploading = new HashSet<>();

  /** Hashes in use, each as often as it is. */
  private final List<String> held = new ArrayList<>();

  /** Bytes announced by the uploads that run, not yet written. */
  private long announced;

  /**
   * @param folder made if it is not there
   * @param maxFileBytes of one file
   * @param quotaBytes of all files
   * @param expiry after the last use
   */
  public ArtifactStore(
      Path folder, long maxFileBytes, long quotaBytes, Duration expiry, Clock clock) {
    this.folder = folder;
    this.maxFileBytes = maxFileBytes;
    this.quotaBytes = quotaBytes;
    this.expiry = expiry;
    this.clock = clock;
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "artifacts: cannot make the folder " + folder, e);
    }
  }

  /**
   * What is there of a file.
   *
   * @param receivedBytes all of a whole file, the beginning of an upload that broke off, or 0
   * @param expires {@code null} when nothing is there
   */
  public record Presence(boolean whole, long receivedBytes, Instant expires) {}

  /** Looks for a file; counts as a use of it. */
  public synchronized Presence find(String sha256) {
    requireHash(sha256);
    expire();
    Path whole = folder.resolve(sha256);
    Path part = folder.resolve(sha256 + PART);
    for (Path file : List.of(whole, part)) {
      if (Files.isRegularFile(file)) {
        touch(file);
        return new Presence(file == whole, size(file), clock.instant().plus(expiry));
      }
    }
    return new Presence(false, 0, null);
  }

  /**
   * A whole file's bytes; counts as a use of it.
   *
   * @throws PriorArtException NOT_FOUND
   */
  public synchronized byte[] read(String sha256) {
    try {
      return Files.readAllBytes(path(sha256));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Keeps a file from expiring until closed. */
  public final class Hold implements AutoCloseable {
    private final String sha256;
    private boolean closed;

    private Hold(String sha256) {
      this.sha256 = sha256;
    }

    /** The file's bytes. */
    public byte[] read() {
      return ArtifactStore.this.read(sha256);
    }

    @Override
    public void close() {
      synchronized (ArtifactStore.this) {
        if (!closed) {
          closed = true;
          held.remove(sha256);
        }
      }
    }
  }

  /**
   * Keeps a file from expiring.
   *
   * @throws PriorArtException NOT_FOUND
   */
  public synchronized Hold hold(String sha256) {
    path(sha256);
    held.add(sha256);
    return new Hold(sha256);
  }

  /**
   * Where a whole file is, to be read at once; counts as a use of it.
   *
   * @throws PriorArtException NOT_FOUND
   */
  public synchronized Path path(String sha256) {
    if (!find(sha256).whole()) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          "no artifact " + sha256 + "; upload it, it may have expired",
          Map.of("artifact", sha256),
          null);
    }
    return folder.resolve(sha256);
  }

  /** Stores bytes made here; returns their hash. */
  public String put(byte[] bytes) {
    String sha256 = Sha256.of(bytes);
    synchronized (this) {
      if (find(sha256).whole()) {
        return sha256;
      }
    }
    try (Upload upload = begin(sha256, bytes.length, 0, true)) {
      upload.write(ByteBuffer.wrap(bytes));
      upload.finish();
    }
    return sha256;
  }

  /**
   * Begins or goes on with an upload.
   *
   * @param size of the whole file
   * @param offset where it goes on: 0, or what {@link #find} said had arrived
   * @throws PriorArtException INVALID_ARGUMENT naming the field; RESOURCE_EXHAUSTED when the quota
   *     is full; FAILED_PRECONDITION while another upload writes the same file, or when another
   *     part of it has arrived than {@code offset} says
   */
  public Upload begin(String sha256, long size, long offset) {
    return begin(sha256, size, offset, false);
  }

  private synchronized Upload begin(String sha256, long size, long offset, boolean ours) {
    requireHash(sha256);
    if (size < 1 || size > maxFileBytes) {
      throw PriorArtException.badField(
          "size", "must be 1 to " + maxFileBytes + " bytes, was " + size);
    }
    expire();
    if (uploading.contains(sha256)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "sha256: another upload of this file is running");
    }
    Path part = folder.resolve(sha256 + PART);
    long there = Files.isRegularFile(part) ? size(part) : 0;
    if (offset < 0 || offset > size) {
      throw PriorArtException.badField("offset", "must be 0 to " + size + ", was " + offset);
    }
    if (offset != 0 && offset != there) {
      // a call that broke off may still bring in what had been sent
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "offset: must be 0 or the %d bytes that have arrived by now, was %d; ask Exists again"
              .formatted(there, offset));
    }
    long used = used() - (offset == 0 ? there : 0);
    // what the service makes itself must not be refused by what others have stored
    if (!ours && used + announced + size - offset > quotaBytes) {
      throw new PriorArtException(
          ErrorKind.RESOURCE_EXHAUSTED,
          "the quota of %d bytes for artifacts is full: %d are used"
              .formatted(quotaBytes, used + announced),
          Map.of(
              "reason",
              "QUOTA_FULL",
              "retry_after_seconds",
              Long.toString(Math.max(1, untilNextExpiry().toSeconds()))),
          null);
    }
    MessageDigest digest = Sha256.digest();
    FileChannel channel;
    try {
      if (offset > 0) {
        digest.update(Files.readAllBytes(part));
      }
      channel =
          offset > 0
              ? FileChannel.open(part, StandardOpenOption.WRITE, StandardOpenOption.APPEND)
              : FileChannel.open(
                  part,
                  StandardOpenOption.WRITE,
                  StandardOpenOption.CREATE,
                  StandardOpenOption.TRUNCATE_EXISTING);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    uploading.add(sha256);
    announced += size - offset;
    return new Upload(sha256, size, offset, part, channel, digest);
  }

  /** One upload; used by one thread at a time. Closing it early keeps what has arrived. */
  public final class Upload implements AutoCloseable {
    private final String sha256;
    private final long size;
    private final long begin;
    private final Path part;
    private final FileChannel channel;
    private final MessageDigest digest;
    private long received;
    private boolean closed;

    private Upload(
        String sha256,
        long size,
        long offset,
        Path part,
        FileChannel channel,
        MessageDigest digest) {
      this.sha256 = sha256;
      this.size = size;
      begin = offset;
      received = offset;
      this.part = part;
      this.channel = channel;
      this.digest = digest;
    }

    /**
     * Takes the next bytes.
     *
     * @throws PriorArtException INVALID_ARGUMENT when they are more than announced
     */
    public void write(ByteBuffer chunk) {
      if (received + chunk.remaining() > size) {
        close();
        delete(part);
        throw PriorArtException.badField(
            "chunk", "there are more than the " + size + " bytes announced");
      }
      received += chunk.remaining();
      digest.update(chunk.duplicate());
      try {
        while (chunk.hasRemaining()) {
          channel.write(chunk);
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    /**
     * Checks size and hash, then makes the file visible.
     *
     * @return when it expires
     * @throws PriorArtException INVALID_ARGUMENT; what had arrived is then dropped, unless it is
     *     only the beginning
     */
    public Instant finish() {
      close();
      if (received < size) {
        throw PriorArtException.badField(
            "chunk", "only %d of the %d bytes announced arrived".formatted(received, size));
      }
      String actual = Sha256.text(digest.digest());
      synchronized (ArtifactStore.this) {
        if (!actual.equals(sha256)) {
          delete(part);
          throw PriorArtException.badField("sha256", "the content's is " + actual);
        }
        try {
          Files.move(
              part,
              folder.resolve(sha256),
              StandardCopyOption.ATOMIC_MOVE,
              StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
        return find(sha256).expires();
      }
    }

    @Override
    public void close() {
      if (closed) {
        return;
      }
      closed = true;
      try {
        channel.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      } finally {
        synchronized (ArtifactStore.this) {
          uploading.remove(sha256);
          announced -= size - begin;
        }
      }
    }
  }

  /** Bytes of all files, begun ones included. */
  public synchronized long used() {
    return files().stream().mapToLong(ArtifactStore::size).sum();
  }

  private Duration untilNextExpiry() {
    return files().stream()
        .map(f -> Duration.between(clock.instant(), lastUse(f).plus(expiry)))
        .min(Duration::compareTo)
        .orElse(Duration.ZERO);
  }

  private void expire() {
    Instant limit = clock.instant().minus(expiry);
    for (Path file : files()) {
      String hash = file.getFileName().toString().substring(0, 64);
      if (!uploading.contains(hash) && !held.contains(hash) && lastUse(file).isBefore(limit)) {
        delete(file);
      }
    }
  }

  private List<Path> files() {
    try (Stream<Path> all = Files.list(folder)) {
      return all.filter(f -> HASH.matcher(f.getFileName().toString().replace(PART, "")).matches())
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Instant lastUse(Path file) {
    try {
      return Files.getLastModifiedTime(file).toInstant();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void touch(Path file) {
    try {
      Files.setLastModifiedTime(file, FileTime.from(clock.instant()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static long size(Path file) {
    try {
      return Files.size(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void delete(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void requireHash(String sha256) {
    if (!HASH.matcher(sha256).matches()) {
      throw PriorArtException.badField(
          "sha256", "must be 64 lower-case hexadecimal digits, was \"" + shown(sha256) + '"');
    }
  }

  private static String shown(String text) {
    return text.length() > 80 ? text.substring(0, 80) + "..." : text;
  }
}
