package io.priorart.models.network;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.engine.WeightNames.Weight;
import io.priorart.models.network.Layers.LayerNorm;
import io.priorart.models.network.Layers.Linear;
import java.util.ArrayList;
import java.util.List;

/**
 * CLIP's text transformer (Radford et al., "Learning Transferable Visual Models From Natural
 * Language Supervision", ICML 2021, arXiv 2103.00020), with transformers' names.
 *
 * <p>{@code forward(input_ids int64 [N, L]) -> last_hidden_state float32 [N, L, hidden]}, causal.
 */
public final class ClipTextModel {
  /** The keys of {@code text_encoder/config.json} that shape the network. */
  public record Config(
      int vocabSize,
      int hiddenSize,
      int intermediateSize,
      int numHiddenLayers,
      int numAttentionHeads,
      int maxPositionEmbeddings,
      double layerNormEps,
      boolean quickGelu) {

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      String activation = c.text("hidden_act", "quick_gelu");
      if (!activation.equals("quick_gelu") && !activation.equals("gelu")) {
        throw c.bad("hidden_act", activation + " is not supported, only quick_gelu and gelu");
      }
      int hidden = c.integer("hidden_size", 512, 1, 65536);
      int heads = c.integer("num_attention_heads", 8, 1, 512);
      if (hidden % heads != 0) {
        throw c.bad("num_attention_heads", heads + " heads do not divide " + hidden);
      }
      return new Config(
          c.integer("vocab_size", 49408, 2, 1 << 20),
          hidden,
          c.integer("intermediate_size", 2048, 1, 1 << 20),
          c.integer("num_hidden_layers", 12, 1, 256),
          heads,
          c.integer("max_position_embeddings", 77, 2, 65536),
          c.number("layer_norm_eps", 1e-5),
          activation.equals("quick_gelu"));
    }
  }

  private final Config config;
  private final Weight tokens;
  private final Weight positions;
  private final List<Layer> layers = new ArrayList<>();
  private final LayerNorm finalNorm;

  public ClipTextModel(Config config, WeightNames root) {
    this.config = config;
    WeightNames names = root.at("text_model");
    WeightNames embeddings = names.at("embeddings");
    tokens =
        embeddings.at("token_embedding").tensor("weight", config.vocabSize(), config.hiddenSize());
    positions =
        embeddings
            .at("position_embedding")
            .tensor("weight", config.maxPositionEmbeddings(), config.hiddenSize());
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      layers.add(new Layer(names.at("encoder").at("layers").at(i)));
    }
    finalNorm =
        new LayerNorm(names.at("final_layer_norm"), config.hiddenSize(), config.layerNormEps());
  }

  /** The network as a script with one method, {@code forward}. */
  public static Script compile(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("ClipTextModel", options);
    ClipTextModel net = new ClipTextModel(config, builder.weights());
    Graph g = builder.method("forward");
    g.returns(g.toFloat32(net.forward(g, g.input("input_ids"))));
    return builder.build();
  }

  /**
   * Records the network; {@code inputIds} is int64 {@code [N, L]}, {@code L <=
   * maxPositionEmbeddings}.
   */
  public Value forward(Graph g, Value inputIds) {
    Value length = g.size(inputIds, 1);
    Value position = g.call("torch.slice", g.weight(positions), 0, 0, length);
    Value h = g.add(g.embedding(tokens, inputIds), position);
    for (Layer layer : layers) {
      h = layer.forward(g, h);
    }
    return finalNorm.forward(g, h);
  }

  private final class Layer {
    private final LayerNorm norm1;
    private final Linear q;
    private final Linear k;
    private final Linear v;
    private final Linear out;
    private final LayerNorm norm2;
    private final Linear fc1;
    private final Linear fc2;

    Layer(WeightNames names) {
      int width = config.hiddenSize();
      WeightNames attention = names.at("self_attn");
      norm1 = new LayerNorm(names.at("layer_norm1"), width, config.layerNormEps());
      q = new Linear(attention.at("q_proj"), width, width);
      k = new Linear(attention.at("k_proj"), width, width);
      v = new Linear(attention.at("v_proj"), width, width);
      out = new Linear(attention.at("out_proj"), width, width);
      norm2 = new LayerNorm(names.at("layer_norm2"), width, config.layerNormEps());
      fc1 = new Linear(names.at("mlp").at("fc1"), width, config.intermediateSize());
      fc2 = new Linear(names.at("mlp").at("fc2"), config.intermediateSize(), width);
    }

    Value forward(Graph g, Value x) {
      int width = config.hiddenSize();
      int heads = config.numAttentionHeads();
      Value n = norm1.forward(g, x);
      Value attended =
          g.attention(
              Layers.splitHeads(g, q.forward(g, n), heads, width / heads),
              Layers.splitHeads(g, k.forward(g, n), heads, width / heads),
              Layers.splitHeads(g, v.forward(g, n), heads, width / heads),
              true);
      Value h = g.add(x, out.forward(g, Layers.mergeHeads(g, attended, width)));
      Value hidden = fc1.forward(g, norm2.forward(g, h));
      Value active =
          config.quickGelu() ? g.mul(hidden, g.sigmoid(g.mul(hidden, 1.702))) : g.gelu(hidden);
      return g.add(h, fc2.forward(g, active));
    }
  }
}
