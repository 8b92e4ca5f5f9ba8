package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.GroupNorm;
import io.priorart.models.network.Layers.LayerNorm;
import io.priorart.models.network.Layers.Linear;
import java.util.ArrayList;
import java.util.List;

/** Self-attention over the pixels, cross-attention to the text, feed-forward; residual. */
final class Transformer2DModel {
  private final int channels;
  private final GroupNorm norm;
  private final Conv2d convIn;
  private final Conv2d convOut;
  private final Linear linearIn;
  private final Linear linearOut;
  private final List<Block> blocks = new ArrayList<>();
  private AttentionMaps maps;

  Transformer2DModel(
      WeightNames names,
      int channels,
      int heads,
      int layers,
      int crossAttentionWidth,
      boolean linearProjection,
      int groups) {
    this.channels = channels;
    norm = new GroupNorm(names.at("norm"), groups, channels, 1e-6);
    convIn = linearProjection ? null : Conv2d.pointwise(names.at("proj_in"), channels, channels);
    linearIn = linearProjection ? new Linear(names.at("proj_in"), channels, channels) : null;
    for (int i = 0; i < layers; i++) {
      blocks.add(
          new Block(names.at("transformer_blocks").at(i), channels, heads, crossAttentionWidth));
    }
    convOut = linearProjection ? null : Conv2d.pointwise(names.at("proj_out"), channels, channels);
    linearOut = linearProjection ? new Linear(names.at("proj_out"), channels, channels) : null;
  }

  /**
   * @param x {@code [N, channels, H, W]}
   * @param context {@code [N, L, crossAttentionWidth]}
   */
  Value forward(Graph g, Value x, Value context) {
    Value h = norm.forward(g, x);
    if (convIn != null) {
      h = convIn.forward(g, h);
    }
    Value tokens = Layers.toTokens(g, h, channels);
    if (linearIn != null) {
      tokens = linearIn.forward(g, tokens);
    }
    for (Block block : blocks) {
      tokens = block.forward(g, tokens, context);
    }
    if (linearOut != null) {
      tokens = linearOut.forward(g, tokens);
    }
    h = Layers.toPicture(g, tokens, x, channels);
    if (convOut != null) {
      h = convOut.forward(g, h);
    }
    return g.add(h, x);
  }

  /** Where {@link #forward} puts its attention from now on; {@code null} for nowhere. */
  void record(AttentionMaps recorded) {
    maps = recorded;
  }

  private final class Block {
    private final LayerNorm norm1;
    private final Attention attn1;
    private final LayerNorm norm2;
    private final Attention attn2;
    private final LayerNorm norm3;
    private final Linear gated;
    private final Linear out;

    Block(WeightNames names, int width, int heads, int crossAttentionWidth) {
      norm1 = new LayerNorm(names.at("norm1"), width, 1e-5);
      attn1 = new Attention(names.at("attn1"), width, width, heads, false);
      norm2 = new LayerNorm(names.at("norm2"), width, 1e-5);
      attn2 = new Attention(names.at("attn2"), width, crossAttentionWidth, heads, false);
      norm3 = new LayerNorm(names.at("norm3"), width, 1e-5);
      gated = new Linear(names.at("ff").at("net").at(0).at("proj"), width, 8 * width);
      out = new Linear(names.at("ff").at("net").at(2), 4 * width, width);
    }

    Value forward(Graph g, Value x, Value context) {
      Value normed = norm1.forward(g, x);
      Value h = g.add(attn1.forward(g, normed, normed, maps, false), x);
      h = g.add(attn2.forward(g, norm2.forward(g, h), context, maps, true), h);
      Value both = gated.forward(g, norm3.forward(g, h));
      Value geglu = g.mul(g.chunk(both, 2, -1, 0), g.gelu(g.chunk(both, 2, -1, 1)));
      return g.add(out.forward(g, geglu), h);
    }
  }

  /** Multi-head attention of {@code x} to {@code context}. */
  static final class Attention {
    private final int width;
    private final int heads;
    private final Linear q;
    private final Linear k;
    private final Linear v;
    private final Linear out;

    Attention(WeightNames names, int width, int contextWidth, int heads, boolean qkvBias) {
      this.width = width;
      this.heads = heads;
      q = new Linear(names.at("to_q"), width, width, qkvBias);
      k = new Linear(names.at("to_k"), contextWidth, width, qkvBias);
      v = new Linear(names.at("to_v"), contextWidth, width, qkvBias);
      out = new Linear(names.at("to_out").at(0), width, width);
    }

    Value forward(Graph g, Value x, Value context) {
      return forward(g, x, context, null, false);
    }

    /**
     * @param maps where the attention goes, {@code null} for nowhere
     * @param text whether it is attention to a text
     */
    Value forward(Graph g, Value x, Value context, AttentionMaps maps, boolean text) {
      int headWidth = width / heads;
      Value queries = Layers.splitHeads(g, q.forward(g, x), heads, headWidth);
      Value keys = Layers.splitHeads(g, k.forward(g, context), heads, headWidth);
      Value values = Layers.splitHeads(g, v.forward(g, context), heads, headWidth);
      if (maps == null) {
        Value attended = g.attention(queries, keys, values, false);
        return out.forward(g, Layers.mergeHeads(g, attended, width));
      }
      Value scores = g.call("torch.matmul", queries, g.transpose(keys, 2, 3));
      Value shares =
          g.call("torch.softmax", g.mul(scores, Math.pow(headWidth, -0.5)), -1, (Object) null);
      maps.add(text, g.call("torch.mean", shares, Graph.raw("[1]"), false));
      return out.forward(g, Layers.mergeHeads(g, g.call("torch.matmul", shares, values), width));
    }
  }
}
