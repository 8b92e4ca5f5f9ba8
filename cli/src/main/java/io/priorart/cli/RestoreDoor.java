package io.priorart.cli;

import io.priorart.runtime.FileRestorer;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Stopping;

/** Where restorations run: in this process, or in a server. Both give the same pixels. */
interface RestoreDoor extends AutoCloseable {
  /**
   * Restores one file.
   *
   * @param job its operators' masks and kernels are names of files still to be read
   */
  FileRestorer.Restored restore(FileRestorer.Job job, RestoreListener listener, Stopping stopping);

  @Override
  void close();
}
