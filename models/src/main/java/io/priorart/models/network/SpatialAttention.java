package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.GroupNorm;

/** A picture's pixels attend to each other: {@code x + attention(norm(x))}. */
final class SpatialAttention {
  private final int channels;
  private final GroupNorm norm;
  private final Transformer2DModel.Attention attention;

  SpatialAttention(WeightNames names, int channels, int heads, int groups, double eps) {
    this.channels = channels;
    norm = new GroupNorm(names.at("group_norm"), groups, channels, eps);
    attention = new Transformer2DModel.Attention(names, channels, channels, heads, true);
  }

  Value forward(Graph g, Value x) {
    Value tokens = Layers.toTokens(g, norm.forward(g, x), channels);
    return g.add(Layers.toPicture(g, attention.forward(g, tokens, tokens), x, channels), x);
  }
}
