package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import java.util.Map;

/** A network that estimates the noise of a latent; what its output means the scheduler says. */
public interface Denoiser {
  /**
   * Records the network; sample and context are in compute type, the rest is float32.
   *
   * @param sample {@code [N, in, H, W]}
   * @param timestep {@code [N]} or {@code [1]}
   * @param context {@code [N, L, D]}, the text's tokens
   * @param conditions exactly those that the {@linkplain DenoiserConfig#conditions configuration}
   *     names
   * @return {@code [N, out, H, W]}
   */
  Value forward(
      Graph g, Value sample, Value timestep, Value context, Map<String, Value> conditions);

  /**
   * Records the network and gives its attention instead of its output.
   *
   * @throws UnsupportedOperationException where {@link DenoiserConfig#hasTextAttention} is false
   */
  default AttentionMaps forwardWithAttention(
      Graph g, Value sample, Value timestep, Value context, Map<String, Value> conditions) {
    throw new UnsupportedOperationException("text and picture attend to each other as one");
  }
}
