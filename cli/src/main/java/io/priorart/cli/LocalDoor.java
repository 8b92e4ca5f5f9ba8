package io.priorart.cli;

import io.priorart.runtime.FileRestorer;
import io.priorart.runtime.Limits;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Stopping;

/** Restores in this process. */
final class LocalDoor implements RestoreDoor {
  private final Sources model;

  LocalDoor(Sources model) {
    this.model = model;
  }

  @Override
  public FileRestorer.Restored restore(
      FileRestorer.Job job, RestoreListener listener, Stopping stopping) {
    return FileRestorer.restore(
        job.withOperators(
                job.request().operators().stream().map(o -> o.resolved(Limits.PIXELS)).toList())
            .chosen(model.traits(), stopping.budget()),
        model,
        listener,
        stopping);
  }

  @Override
  public void close() {
    model.close();
  }
}
