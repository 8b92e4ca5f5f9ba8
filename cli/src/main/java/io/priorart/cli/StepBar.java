package io.priorart.cli;

import io.priorart.solver.SolveEvent;
import io.priorart.solver.SolveListener;
import java.util.Locale;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/** A progress bar of a solve's steps; nothing when no terminal looks on. */
final class StepBar implements SolveListener, AutoCloseable {
  private final String task;
  private ProgressBar bar;

  StepBar(String task) {
    this.task = task;
  }

  @Override
  public void on(SolveEvent event) {
    if (event instanceof SolveEvent.Step s && System.console() != null) {
      if (bar == null) {
        bar = new ProgressBarBuilder().setTaskName(task).setInitialMax(s.totalSteps()).build();
      }
      bar.stepTo(s.step());
      if (s.residualRms() > 0) {
        bar.setExtraMessage(String.format(Locale.ROOT, " residual %.4f", s.residualRms() / 2));
      }
    }
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
