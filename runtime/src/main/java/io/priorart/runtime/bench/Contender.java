package io.priorart.runtime.bench;

import io.priorart.runtime.Limits;
import io.priorart.runtime.Restorer;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolverMethod;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A solver in a benchmark.
 *
 * @param samples how many it gives of each picture; the mean of several is what is compared
 */
public record Contender(SolverMethod<?> method, int samples) {
  private static final Pattern SEVERAL = Pattern.compile("(.+)\\*(\\d{1,4})");

  public Contender {
    if (samples < 1 || samples > Limits.SAMPLES) {
      throw PriorArtException.badField(
          "solver", "must give 1 to " + Limits.SAMPLES + " samples, was " + samples);
    }
  }

  /**
   * A solver's id, or {@code ID*K} for the mean of K samples.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT
   */
  public static Contender parse(String text) {
    Matcher several = SEVERAL.matcher(text);
    return several.matches()
        ? new Contender(Restorer.SOLVERS.byId(several.group(1)), Integer.parseInt(several.group(2)))
        : new Contender(Restorer.SOLVERS.byId(text), 1);
  }

  /** As {@link #parse} reads it. */
  public String name() {
    return samples == 1 ? method.id() : method.id() + "*" + samples;
  }
}
