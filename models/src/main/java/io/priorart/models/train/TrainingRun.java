package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.DoubleFunction;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * The loop around a {@link Trainer}: a linear warm-up, then a cosine that reaches zero when the
 * planned time is over; a state file every few minutes and at the end, whatever ends it. Losses go
 * to {@code STATE.csv} and, for TensorBoard, to an event file beside the state; grids of pictures
 * to that and to {@code STATE.grids/STEP-NAME.png}, captions to a {@code .txt} beside them.
 *
 * @param duration planned time of this lap
 * @param learningRate peak rate
 * @param batch pictures per step, for the rate
 * @param seed of the whole training; each step draws from a stream of its own
 * @param random what the batches are drawn from
 * @param terms names of the loss's terms, as the script reports them
 */
record TrainingRun(
    Lap lap,
    Duration duration,
    double learningRate,
    int batch,
    long seed,
    NoiseSource random,
    List<String> terms) {
  private static final int WARM_UP_STEPS = 200;
  private static final int REPORT_STEPS = 100;

  /** What {@link Trainer#step} returns before the terms. */
  private static final int BEFORE_TERMS = 6;

  TrainingRun {
    if (!(learningRate > 0) || Double.isInfinite(learningRate)) {
      throw PriorArtException.badField("learning-rate", "must be positive, was " + learningRate);
    }
    if (batch < 1) {
      throw PriorArtException.badField("batch", "must be at least 1, was " + batch);
    }
  }

  /**
   * Trains until the time is over or a stop is asked for.
   *
   * @param inputs draws one batch, told what part of the lap is over, 0 to 1; called inside a scope
   *     that frees it
   * @param grids drawn whenever the state is written
   */
  void run(Trainer trainer, DoubleFunction<NDArray[]> inputs, TrainingGrids grids) {
    try {
      loop(trainer, inputs, grids, new Log(lap.state()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void loop(Trainer trainer, DoubleFunction<NDArray[]> inputs, TrainingGrids grids, Log log)
      throws IOException {
    long begin = System.nanoTime();
    long saved = begin;
    long firstStep = trainer.step();
    double secondsBefore = trainer.seconds();
    double planned = duration.toNanos() * 1e-9;
    Mean mean = new Mean();
    double rate = 0;
    while (!lap.stop().getAsBoolean()) {
      double fraction = secondsSince(begin) / planned;
      if (fraction >= 1) {
        break;
      }
      double warmUp = Math.min(1, (trainer.step() - firstStep + 1.0) / WARM_UP_STEPS);
      rate = learningRate * warmUp * 0.5 * (1 + Math.cos(Math.PI * fraction));
      try (TensorScope scope = new TensorScope()) {
        mean.add(step(trainer, rate, () -> inputs.apply(fraction)));
      }
      trainer.setSeconds(secondsBefore + secondsSince(begin));
      TrainingListener.Progress progress = mean.progress(trainer.step(), fraction, planned);
      lap.listener().step(progress);
      if (mean.count == REPORT_STEPS) {
        lap.listener().report(progress);
        log.write(trainer, mean.values(), rate, progress.samplesPerSecond());
        mean = new Mean();
      }
      if (secondsSince(saved) > lap.saveEvery().toNanos() * 1e-9) {
        trainer.save(lap.state());
        log.draw(trainer, grids);
        saved = System.nanoTime();
      }
    }
    if (mean.count > 0) {
      log.write(
          trainer,
          mean.values(),
          rate,
          mean.progress(trainer.step(), 1, planned).samplesPerSecond());
    }
    trainer.save(lap.state());
    if (trainer.step() > firstStep) {
      log.draw(trainer, grids);
    }
  }

  /** One step with the randomness that belongs to it, whatever was drawn before. */
  float[] step(Trainer trainer, double rate, Supplier<NDArray[]> inputs) {
    random.restart(seed, trainer.step());
    return trainer.step(rate, inputs.get());
  }

  private static double secondsSince(long nanos) {
    return (System.nanoTime() - nanos) * 1e-9;
  }

  /** Loss and terms since the last report. */
  private final class Mean {
    private final long begin = System.nanoTime();
    private double[] sums;
    private int count;

    void add(float[] report) {
      if (sums == null) {
        sums = new double[1 + report.length - BEFORE_TERMS];
      }
      sums[0] += report[0];
      for (int i = 1; i < sums.length; i++) {
        sums[i] += report[BEFORE_TERMS + i - 1];
      }
      count++;
    }

    TrainingListener.Progress progress(long step, double fraction, double planned) {
      double rate = count * batch / secondsSince(begin);
      return new TrainingListener.Progress(step, fraction, planned, sums[0] / count, rate);
    }

    Map<String, Double> values() {
      Map<String, Double> values = new LinkedHashMap<>();
      values.put("loss", sums[0] / count);
      for (int i = 0; i < terms.size(); i++) {
        values.put(terms.get(i), sums[i + 1] / count);
      }
      return values;
    }
  }

  /** The CSV goes on from lap to lap, the event file is the lap's own. */
  private final class Log {
    private final Path csv;
    private final EventFile events;
    private final Path grids;

    Log(Path state) throws IOException {
      grids = state.resolveSibling(state.getFileName() + ".grids");
      events = new EventFile(state.toAbsolutePath().getParent());
      csv = state.resolveSibling(state.getFileName() + ".csv");
      String names = terms.stream().map(t -> t + ",").collect(Collectors.joining());
      String header = "step,loss,learning_rate," + names + "samples_per_second,seconds";
      if (Files.exists(csv) && !Files.readString(csv).startsWith(header + "\n")) {
        // other columns: the old figures are kept under a name that is free
        Files.move(csv, csv.resolveSibling(csv.getFileName() + "." + System.currentTimeMillis()));
      }
      if (!Files.exists(csv)) {
        Files.writeString(csv, header + "\n");
      }
    }

    void write(Trainer trainer, Map<String, Double> values, double rate, double samplesPerSecond)
        throws IOException {
      StringBuilder line =
          new StringBuilder(format("%d,%.6f,%.3g,", trainer.step(), values.get("loss"), rate));
      terms.forEach(t -> line.append(format("%.6f,", values.get(t))));
      line.append(format("%.2f,%.1f\n", samplesPerSecond, trainer.seconds()));
      Files.writeString(csv, line, StandardOpenOption.APPEND);
      Map<String, Double> scalars = new LinkedHashMap<>(values);
      scalars.put("learning_rate", rate);
      scalars.put("samples_per_second", samplesPerSecond);
      events.scalars(trainer.step(), scalars);
    }

    void draw(Trainer trainer, TrainingGrids all) throws IOException {
      Files.createDirectories(grids);
      for (TrainingGrids.Drawing drawing : all.draw(trainer)) {
        PictureGrid grid = drawing.grid();
        byte[] png = grid.png();
        String name = format("%07d-%s", trainer.step(), drawing.name());
        CheckpointWriter.write(grids.resolve(name + ".png"), png);
        if (!drawing.captions().isEmpty()) {
          String lines = String.join("\n", drawing.captions()) + "\n";
          CheckpointWriter.write(grids.resolve(name + ".txt"), lines);
        }
        events.image(trainer.step(), drawing.name(), grid.width(), grid.height(), png);
      }
    }

    private String format(String format, Object... values) {
      return String.format(Locale.ROOT, format, values);
    }
  }
}
