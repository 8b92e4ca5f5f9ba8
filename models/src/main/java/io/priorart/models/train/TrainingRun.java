package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.TensorScope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * The loop around a {@link Trainer}: a linear warm-up, then a cosine that reaches zero when the
 * planned time is over; a state file every few minutes and at the end, whatever ends it.
 *
 * @param state where the optimiser's state lives
 * @param duration planned time of this lap
 * @param learningRate peak rate
 * @param batch pictures per step, for the rate
 * @param stop polled before every step
 */
record TrainingRun(
    Path state,
    Duration duration,
    double learningRate,
    int batch,
    BooleanSupplier stop,
    TrainingListener listener) {
  private static final int WARM_UP_STEPS = 200;
  private static final int REPORT_STEPS = 100;
  private static final long SAVE_NANOS = Duration.ofMinutes(5).toNanos();

  /**
   * Trains until the time is over or a stop is asked for.
   *
   * @param inputs draws one batch; called inside a scope that frees it
   */
  void run(Trainer trainer, Supplier<NDArray[]> inputs) {
    long begin = System.nanoTime();
    long saved = begin;
    long reported = begin;
    double lossSum = 0;
    int lossCount = 0;
    long firstStep = trainer.step();
    while (!stop.getAsBoolean()) {
      long now = System.nanoTime();
      double fraction = (double) (now - begin) / duration.toNanos();
      if (fraction >= 1) {
        break;
      }
      double warmUp = Math.min(1, (trainer.step() - firstStep + 1.0) / WARM_UP_STEPS);
      double rate = learningRate * warmUp * 0.5 * (1 + Math.cos(Math.PI * fraction));
      try (TensorScope scope = new TensorScope()) {
        lossSum += trainer.step(rate, inputs.get())[0];
        lossCount++;
      }
      if (lossCount == REPORT_STEPS) {
        double seconds = (System.nanoTime() - reported) * 1e-9;
        double loss = lossSum / lossCount;
        listener.progress(trainer.step(), fraction, loss, REPORT_STEPS * batch / seconds);
        log(trainer.step(), loss, rate);
        reported = System.nanoTime();
        lossSum = 0;
        lossCount = 0;
      }
      if (now - saved > SAVE_NANOS) {
        trainer.save(state);
        saved = System.nanoTime();
      }
    }
    trainer.save(state);
  }

  private void log(long step, double loss, double rate) {
    Path csv = state.resolveSibling(state.getFileName() + ".csv");
    try {
      if (!Files.exists(csv)) {
        Files.writeString(csv, "step,loss,learning_rate\n");
      }
      Files.writeString(
          csv,
          String.format(Locale.ROOT, "%d,%.6f,%.3g%n", step, loss, rate),
          StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
