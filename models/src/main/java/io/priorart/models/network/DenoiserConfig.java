package io.priorart.models.network;

import io.priorart.models.engine.WeightNames;
import java.util.Map;

/** What a pipeline knows of the network that denoises its latents. */
public interface DenoiserConfig {
  /** Text in one vector, {@code [N, width]}, of Stable Diffusion XL and 3. */
  String TEXT_EMBEDS = "text_embeds";

  String POOLED_PROJECTIONS = "pooled_projections";

  /** Sizes in pixels, {@code [N, 6]}: original, corner of the crop, target. */
  String TIME_IDS = "time_ids";

  /** Embedding of a distilled guidance scale. */
  String TIMESTEP_COND = "timestep_cond";

  int inChannels();

  int outChannels();

  /** Sides of its input must be multiples of this. */
  int stride();

  /** Sides of its input are at most this. */
  default int maxSide() {
    return Integer.MAX_VALUE;
  }

  /** Width of the text's tokens. */
  int contextWidth();

  /** Inputs beside sample, timestep and text, with their widths. */
  Map<String, Integer> conditions();

  /** Width of a condition; 0 where the network does not take it. */
  default int width(String condition) {
    return conditions().getOrDefault(condition, 0);
  }

  /** The condition that is the text in one vector, {@code null} for none. */
  default String pooled() {
    return conditions().containsKey(TEXT_EMBEDS)
        ? TEXT_EMBEDS
        : conditions().containsKey(POOLED_PROJECTIONS) ? POOLED_PROJECTIONS : null;
  }

  /** Whether pixels attend to the text apart from each other. */
  default boolean hasTextAttention() {
    return false;
  }

  /** Declares the network. */
  Denoiser network(WeightNames names);
}
