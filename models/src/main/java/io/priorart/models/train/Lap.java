package io.priorart.models.train;

import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.BooleanSupplier;

/**
 * What one lap of any training needs besides its own options.
 *
 * @param state file of the optimiser's state; an existing one is gone on from
 * @param checkpoint folder that the lap writes its result to
 * @param from checkpoint whose weights begin a new training, moments zero; null for fresh ones
 * @param saveEvery how often the state is written; always at the end, too
 * @param stop polled before every step
 */
public record Lap(
    Path state,
    Path checkpoint,
    Path from,
    Duration saveEvery,
    BooleanSupplier stop,
    TrainingListener listener) {
  public Lap {
    if (saveEvery.isNegative() || saveEvery.isZero()) {
      throw PriorArtException.badField("save-minutes", "must be positive");
    }
  }
}
