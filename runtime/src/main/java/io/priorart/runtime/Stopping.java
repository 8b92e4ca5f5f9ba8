package io.priorart.runtime;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.BooleanSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * When a restoration ends before it is done, and with what.
 *
 * @param cancelled polled while solving
 * @param budget for solving all samples; a solve that has spent its share gives its last estimate.
 *     {@code null} for none
 * @param keepBest whether a cancelled solve gives its last estimate, too, instead of failing
 * @param state file that the solve is kept in while it runs and when it is stopped, and gone on
 *     from, until {@link #removeState}; {@code null} for none
 */
public record Stopping(BooleanSupplier cancelled, Duration budget, boolean keepBest, Path state) {
  private static final Pattern DURATION = Pattern.compile("(\\d{1,7}(?:\\.\\d{1,3})?)(ms|s|m|h)");

  /** A budget that no solve outlasts would not be one. */
  private static final Duration LONGEST = Duration.ofDays(30);

  public Stopping {
    if (budget != null
        && (budget.isZero() || budget.isNegative() || budget.compareTo(LONGEST) > 0)) {
      throw PriorArtException.badField(
          "budget", "must be more than nothing and at most 30 days, was " + budget);
    }
  }

  /** Without a state. */
  public Stopping(BooleanSupplier cancelled, Duration budget, boolean keepBest) {
    this(cancelled, budget, keepBest, null);
  }

  /** By cancellation alone, which fails. */
  public static Stopping by(BooleanSupplier cancelled) {
    return new Stopping(cancelled, null, false);
  }

  /** Never. */
  public static Stopping never() {
    return by(() -> false);
  }

  /** A duration as people write it: {@code 20s}, {@code 1.5m}, {@code 800ms}, {@code 2h}. */
  public static Duration duration(String field, String text) {
    Matcher m = DURATION.matcher(text);
    if (!m.matches()) {
      throw PriorArtException.badField(
          field, "must be a number with ms, s, m or h, such as 20s, was " + text);
    }
    double unit =
        switch (m.group(2)) {
          case "ms" -> 1;
          case "s" -> 1_000;
          case "m" -> 60_000;
          default -> 3_600_000;
        };
    return Duration.ofMillis(Math.round(Double.parseDouble(m.group(1)) * unit));
  }

  /** For a solve that has ended, as soon as its results are safe. */
  public void removeState() {
    if (state != null) {
      try {
        Files.deleteIfExists(state);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  /** Whether what there is by then is given where a solve stops for this reason. */
  boolean keeps(PriorArtException reason) {
    return budget != null && reason.kind() == ErrorKind.DEADLINE_EXCEEDED
        || keepBest && reason.kind() == ErrorKind.CANCELLED;
  }

  /** The share of what is left of the budget that one of several batches has; {@code null}. */
  Duration share(long beganNanos, int batchesLeft) {
    if (budget == null) {
      return null;
    }
    long left = budget.toNanos() - (System.nanoTime() - beganNanos);
    return Duration.ofNanos(Math.max(0, left) / batchesLeft);
  }
}
