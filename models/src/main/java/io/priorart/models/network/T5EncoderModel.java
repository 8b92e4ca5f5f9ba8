package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.engine.WeightNames.Weight;
import io.priorart.models.network.Layers.Linear;
import io.priorart.models.network.Layers.RmsNorm;
import java.util.ArrayList;
import java.util.List;

/**
 * The encoder of T5 version 1.1 (Raffel et al., "Exploring the Limits of Transfer Learning with a
 * Unified Text-to-Text Transformer", JMLR 2020, arXiv 1910.10683; gated feed-forward of Shazeer
 * 2020, arXiv 2002.05202), with transformers' names.
 *
 * <p>{@code forward(input_ids int64 [N, L], buckets int64 [L, L]) -> last_hidden_state [N, L,
 * d_model]}; every token attends to every other, padding too, as Stable Diffusion 3 was trained.
 */
public final class T5EncoderModel {
  /** The keys of {@code text_encoder_3/config.json} that shape the network. */
  public record Config(
      int vocabSize,
      int width,
      int headWidth,
      int heads,
      int feedForwardWidth,
      int layers,
      int buckets,
      int maxDistance,
      double eps) {

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      c.requireDefault("feed_forward_proj", "gated-gelu");
      int buckets = c.integer("relative_attention_num_buckets", 32, 4, 4096);
      int farthest = c.integer("relative_attention_max_distance", 128, 2, 1 << 20);
      if (buckets % 4 != 0 || farthest <= buckets / 4) {
        throw c.bad(
            "relative_attention_num_buckets", "must be a multiple of 4 and suit the distance");
      }
      return new Config(
          c.integer("vocab_size", 32128, 2, 1 << 20),
          c.integer("d_model", 512, 1, 65536),
          c.integer("d_kv", 64, 1, 8192),
          c.integer("num_heads", 8, 1, 512),
          c.integer("d_ff", 2048, 1, 1 << 20),
          c.integer("num_layers", 6, 1, 256),
          buckets,
          farthest,
          c.number("layer_norm_epsilon", 1e-6));
    }

    /**
     * The bucket of the distance from each position to each other, row by row: half of them are for
     * positions behind, a quarter for single distances, the others grow by a constant factor.
     */
    public long[] buckets(int length) {
      long[] found = new long[length * length];
      int half = buckets / 2;
      int exact = half / 2;
      for (int from = 0; from < length; from++) {
        for (int to = 0; to < length; to++) {
          int distance = Math.abs(to - from);
          int bucket = distance;
          if (distance >= exact) {
            // in float32, as transformers computes it: a power of two must not fall below itself
            float share = (float) Math.log((float) distance / exact);
            share = share / (float) Math.log((double) maxDistance / exact) * (half - exact);
            bucket = Math.min(exact + (int) share, half - 1);
          }
          found[from * length + to] = (to > from ? half : 0) + bucket;
        }
      }
      return found;
    }
  }

  private final Config config;
  private final Weight tokens;
  private final Weight bias;
  private final List<Layer> layers = new ArrayList<>();
  private final RmsNorm finalNorm;

  public T5EncoderModel(Config config, WeightNames root) {
    this.config = config;
    tokens = root.at("shared").tensor("weight", config.vocabSize(), config.width());
    WeightNames names = root.at("encoder");
    // the first layer's distances serve all
    bias =
        names
            .at("block")
            .at(0)
            .at("layer")
            .at(0)
            .at("SelfAttention")
            .at("relative_attention_bias")
            .tensor("weight", config.buckets(), config.heads());
    for (int i = 0; i < config.layers(); i++) {
      layers.add(new Layer(names.at("block").at(i).at("layer")));
    }
    finalNorm = new RmsNorm(names.at("final_layer_norm"), config.width(), config.eps());
  }

  /** Records the network. */
  public Value forward(Graph g, Value inputIds, Value buckets) {
    Value distances = g.unsqueeze(g.permute(g.embedding(bias, buckets), 2, 0, 1), 0);
    Value h = g.embedding(tokens, inputIds);
    for (Layer layer : layers) {
      h = layer.forward(g, h, distances);
    }
    return finalNorm.forward(g, h);
  }

  private final class Layer {
    private final RmsNorm norm1;
    private final Linear q;
    private final Linear k;
    private final Linear v;
    private final Linear out;
    private final RmsNorm norm2;
    private final Linear gate;
    private final Linear in;
    private final Linear down;

    Layer(WeightNames names) {
      int width = config.width();
      int inner = config.heads() * config.headWidth();
      WeightNames attention = names.at(0).at("SelfAttention");
      norm1 = new RmsNorm(names.at(0).at("layer_norm"), width, config.eps());
      q = new Linear(attention.at("q"), width, inner, false);
      k = new Linear(attention.at("k"), width, inner, false);
      v = new Linear(attention.at("v"), width, inner, false);
      out = new Linear(attention.at("o"), inner, width, false);
      WeightNames dense = names.at(1).at("DenseReluDense");
      norm2 = new RmsNorm(names.at(1).at("layer_norm"), width, config.eps());
      gate = new Linear(dense.at("wi_0"), width, config.feedForwardWidth(), false);
      in = new Linear(dense.at("wi_1"), width, config.feedForwardWidth(), false);
      down = new Linear(dense.at("wo"), config.feedForwardWidth(), width, false);
    }

    Value forward(Graph g, Value x, Value distances) {
      int heads = config.heads();
      int headWidth = config.headWidth();
      Value n = norm1.forward(g, x);
      Value attended =
          g.biasedAttention(
              Layers.splitHeads(g, q.forward(g, n), heads, headWidth),
              Layers.splitHeads(g, k.forward(g, n), heads, headWidth),
              Layers.splitHeads(g, v.forward(g, n), heads, headWidth),
              distances);
      Value h = g.add(x, out.forward(g, Layers.mergeHeads(g, attended, heads * headWidth)));
      Value inner = norm2.forward(g, h);
      Value active = g.mul(g.geluTanh(gate.forward(g, inner)), in.forward(g, inner));
      return g.add(h, down.forward(g, active));
    }
  }
}
