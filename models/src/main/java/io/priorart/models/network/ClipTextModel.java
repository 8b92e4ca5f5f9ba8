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
 * <p>{@code forward(input_ids int64 [N, L]) -> last_hidden_state float32 [N, L, hidden]}, causal;
 * with a projection also {@code text_embeds [N, projection]}, which needs {@code end int64 [N]},
 * the place of the first end token.
 */
public final class ClipTextModel {
  /**
   * The keys of {@code text_encoder/config.json} that shape the network.
   *
   * @param projection width of the projected end token, of a {@code CLIPTextModelWithProjection}; 0
   *     for none
   */
  public record Config(
      int vocabSize,
      int hiddenSize,
      int intermediateSize,
      int numHiddenLayers,
      int numAttentionHeads,
      int maxPositionEmbeddings,
      double layerNormEps,
      boolean quickGelu,
      int projection) {

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
          activation.equals("quick_gelu"),
          projected(c) ? c.integer("projection_dim", 512, 1, 65536) : 0);
    }

    private static boolean projected(ConfigNode c) {
      return List.of(c.texts("architectures", "CLIPTextModel"))
          .contains("CLIPTextModelWithProjection");
    }
  }

  /**
   * What a prompt is turned into.
   *
   * @param last {@code [N, L, hidden]} after all layers and the final norm
   * @param penultimate {@code [N, L, hidden]} before the last layer, not normed
   * @param projected {@code [N, projection]} of the end token; {@code null} without a projection
   */
  public record Output(Value last, Value penultimate, Value projected) {}

  private final Config config;
  private final Weight tokens;
  private final Weight positions;
  private final List<Layer> layers = new ArrayList<>();
  private final LayerNorm finalNorm;
  private final Linear projection;

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
    projection =
        config.projection() == 0
            ? null
            : new Linear(
                root.at("text_projection"), config.hiddenSize(), config.projection(), false);
  }

  /**
   * The network as a script with one method, {@code forward(input_ids, end)}: last and penultimate
   * hidden states and, with a projection, the projected state; {@code end} with a projection alone.
   */
  public static Script compile(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("ClipTextModel", options);
    ClipTextModel net = new ClipTextModel(config, builder.weights());
    boolean projects = config.projection() > 0;
    Graph g = builder.method("forward");
    Value ids = g.input("input_ids");
    Output output = net.forward(g, ids, projects ? g.input("end") : null);
    Value last = g.toFloat32(output.last());
    Value penultimate = g.toFloat32(output.penultimate());
    if (projects) {
      g.returns(last, penultimate, g.toFloat32(output.projected()));
    } else {
      g.returns(last, penultimate);
    }
    return builder.build();
  }

  /** Records a network without a projection; gives the last hidden state. */
  public Value forward(Graph g, Value inputIds) {
    return forward(g, inputIds, null).last();
  }

  /**
   * Records the network.
   *
   * @param inputIds int64 {@code [N, L]}, {@code L <= maxPositionEmbeddings}
   * @param end int64 {@code [N]}, the place of the first end token; only with a projection
   */
  public Output forward(Graph g, Value inputIds, Value end) {
    Value length = g.size(inputIds, 1);
    Value position = g.call("torch.slice", g.weight(positions), 0, 0, length);
    Value h = g.add(g.embedding(tokens, inputIds), position);
    Value before = h;
    for (Layer layer : layers) {
      before = h;
      h = layer.forward(g, h);
    }
    Value last = finalNorm.forward(g, h);
    if (projection == null) {
      return new Output(last, before, null);
    }
    Value place =
        g.call(
            "torch.expand",
            g.reshape(end, -1, 1, 1),
            Graph.raw("[-1, 1, " + config.hiddenSize() + "]"));
    Value endToken = g.reshape(g.call("torch.gather", last, 1, place), -1, config.hiddenSize());
    return new Output(last, before, projection.forward(g, endToken));
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
