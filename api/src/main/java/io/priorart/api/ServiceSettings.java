package io.priorart.api;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** What an operator of the service sets; {@code priorart serve} has options for the usual ones. */
@ConfigMapping(prefix = "priorart.service")
public interface ServiceSettings {
  /** Bundled checkpoints' names or folders; the first is the default. */
  @WithDefault("pixel-v3,latent-v2,latent-v2-few,lpn-v1")
  List<String> models();

  /**
   * Weights that all open models may take; before another is opened, those that nobody uses are
   * closed.
   */
  @WithDefault("8G")
  MemorySize modelMemory();

  /** Side in pixels of the tiles that auto-encoders work in; 0 for the whole picture. */
  @WithDefault("0")
  int vaeTile();

  /** Solves that run at a time. */
  @WithDefault("1")
  int slots();

  /** Solves that may wait. */
  @WithDefault("10")
  int queue();

  /** Longest solve. */
  @WithDefault("30m")
  Duration budget();

  /** How long solves may go on after SIGTERM. */
  @WithDefault("20s")
  Duration grace();

  /** How long an answer is kept for its request_id. */
  @WithDefault("10m")
  Duration answerExpiry();

  Artifacts artifacts();

  Preview preview();

  /**
   * More than these is refused; pixels and samples are those of {@link io.priorart.runtime.Limits}.
   */
  Limit limit();

  /** Files that clients upload, and results too large for a message. */
  interface Artifacts {
    /** Where; a new temporary folder when not given. */
    Optional<Path> folder();

    @WithDefault("256M")
    MemorySize maxBytes();

    @WithDefault("2G")
    MemorySize quota();

    /** After the last use. */
    @WithDefault("1h")
    Duration expiry();
  }

  /** Pictures on the way. */
  interface Preview {
    @WithDefault("200ms")
    Duration interval();

    /** Larger ones are made smaller. */
    @WithDefault("262144")
    long pixels();
  }

  /** Bounds of requests. */
  interface Limit {
    /** Steps or iterations of a solve. */
    @WithDefault("2000")
    int steps();

    /** Characters of a prompt. */
    @WithDefault("4096")
    int promptCharacters();
  }
}
