package io.priorart.models;

import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptModule;

/** What priors of pictures themselves share: one network, no codec, no text. */
abstract class PicturePrior implements Prior {
  private final Checkpoint checkpoint;
  private final Precision precision;
  private final NDManager manager = ScriptModule.newManager();

  PicturePrior(Checkpoint checkpoint, Precision precision) {
    this.checkpoint = checkpoint;
    this.precision = precision;
  }

  /** The network, loaded. */
  abstract ScriptModule network();

  /** Closed with the prior; a constructor that fails must close it. */
  final NDManager manager() {
    return manager;
  }

  @Override
  public final String name() {
    return checkpoint.name();
  }

  @Override
  public final Precision precision() {
    return precision;
  }

  @Override
  public final long parameters() {
    return network().script().weights().stream().mapToLong(w -> w.shape().size()).sum();
  }

  @Override
  public final String hash() {
    return checkpoint.hash();
  }

  /** There is no text encoder to cut anything. */
  @Override
  public final boolean truncates(String prompt) {
    return false;
  }

  @Override
  public final void close() {
    network().close();
    manager.close();
  }
}
