package io.priorart.cli;

import io.priorart.models.train.TrainingListener;
import java.util.Locale;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/**
 * A lap's progress: a bar with the time left on a terminal, a line every hundred steps elsewhere.
 */
final class TrainingConsole implements TrainingListener, AutoCloseable {
  private ProgressBar bar;

  @Override
  public void step(Progress p) {
    if (System.console() == null) {
      return;
    }
    long seconds = Math.max(1, Math.round(p.plannedSeconds()));
    if (bar == null) {
      bar =
          new ProgressBarBuilder()
              .setTaskName("training")
              .setUnit(" s", 1)
              .setInitialMax(seconds)
              .build();
    }
    bar.stepTo(Math.round(p.fraction() * seconds));
    bar.setExtraMessage(
        String.format(
            Locale.ROOT,
            " step %d, loss %.5f, %.1f pictures/s",
            p.step(),
            p.loss(),
            p.samplesPerSecond()));
  }

  @Override
  public void report(Progress p) {
    if (bar == null) {
      System.err.printf(
          Locale.ROOT,
          "step %d  %.0f %%  loss %.5f  %.1f pictures/s%n",
          p.step(),
          100 * p.fraction(),
          p.loss(),
          p.samplesPerSecond());
    }
  }

  @Override
  public void note(String text) {
    close();
    System.err.println(text);
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
      bar = null;
    }
  }
}
