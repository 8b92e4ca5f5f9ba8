package io.priorart.models;

import io.priorart.models.engine.Precision;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import java.util.Map;

/**
 * A checkpoint, loaded. Safe for concurrent use; {@link #bind} gives the solver's view for one
 * picture size.
 */
public interface Prior extends AutoCloseable {
  /** The checkpoint folder's name. */
  String name();

  /** Arithmetic of its networks. */
  Precision precision();

  PriorTraits traits();

  NoiseSchedule schedule();

  /** Number of parameters of all networks. */
  long parameters();

  /** SHA-256 over the checkpoint's weights and configurations. */
  String hash();

  /** Side of the tiles in pixels that its auto-encoder works in; 0 for none. */
  default int vaeTile() {
    return 0;
  }

  /**
   * The solver's view of this model for pictures of one size; holds no weights of its own.
   *
   * @param height 1 or more pixels; padded inside to the networks' stride by reflection
   * @param width as {@code height}
   */
  LatentDiffusionModel bind(int height, int width);

  /** Whether a text encoder would cut this prompt. */
  boolean truncates(String prompt);

  /**
   * Runs one network on tensors from outside, so that people can check a conversion.
   *
   * @param part the network's name
   * @param inputs by name
   * @return the network's output, unscaled
   * @throws io.priorart.solver.PriorArtException NOT_FOUND naming the parts there are;
   *     INVALID_ARGUMENT naming the tensor that is missing or does not fit
   */
  HostTensor trace(String part, Map<String, HostTensor> inputs);

  @Override
  void close();
}
