package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.Linearization;

/** A latent checkpoint's auto-encoder alone, its latents not scaled. Safe for concurrent use. */
public final class Autoencoder implements AutoCloseable {
  private final NDManager manager = ScriptModule.newManager();
  private final LatentCodec codec;

  private Autoencoder(Checkpoint checkpoint, CompileOptions options) {
    try {
      codec = LatentCodec.load(checkpoint, manager, options);
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  /**
   * @throws io.priorart.solver.PriorArtException as {@link ModelFamilies#load}
   */
  public static Autoencoder load(ModelSource source, CompileOptions options) {
    return new Autoencoder(Checkpoint.open(source), options);
  }

  public NDManager manager() {
    return manager;
  }

  public int latentChannels() {
    return codec.latentChannels();
  }

  /** {@code [N, c, h, w]} to {@code [N, 3, H, W]}. */
  public NDArray decode(NDArray z) {
    return codec.decoder().call("forward", z)[0];
  }

  public Linearization decodeAt(NDArray z) {
    return codec.decoder().linearize("forward", 0, z);
  }

  @Override
  public void close() {
    codec.close();
    manager.close();
  }
}
