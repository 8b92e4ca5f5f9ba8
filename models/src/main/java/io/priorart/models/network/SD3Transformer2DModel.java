package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.engine.WeightNames.Weight;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.Linear;
import io.priorart.models.network.Layers.RmsNorm;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The multimodal transformer of Stable Diffusion 3 and 3.5 (Esser et al., "Scaling Rectified Flow
 * Transformers for High-Resolution Image Synthesis", ICML 2024, arXiv 2403.03206), with diffusers'
 * names and configuration keys: patches of the latent and tokens of the text attend to each other
 * as one sequence, each with its own weights; time and pooled text shift, scale and gate both.
 *
 * <p>{@code forward(sample [N, in, H, W], timestep [N], encoder_hidden_states [N, L, D],
 * pooled_projections [N, P]) -> [N, out, H, W]}.
 */
public final class SD3Transformer2DModel implements Denoiser {
  private static final double EPS = 1e-6;

  /** Width of the timestep's sinusoids. */
  private static final int TIME = 256;

  /**
   * The keys of {@code transformer/config.json} that shape the network.
   *
   * @param maxPatches patches a side that have a position; a smaller picture takes the middle
   * @param dualLayers blocks whose patches also attend to themselves alone, as in 3.5 medium
   * @param queryKeyNorm whether queries and keys are normalised, as in 3.5
   */
  public record Config(
      int inChannels,
      int outChannels,
      int patchSize,
      int layers,
      int heads,
      int headWidth,
      int contextWidth,
      int pooledWidth,
      int maxPatches,
      Set<Integer> dualLayers,
      boolean queryKeyNorm)
      implements DenoiserConfig {

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      int heads = c.integer("num_attention_heads", 18, 1, 512);
      int headWidth = c.integer("attention_head_dim", 64, 1, 8192);
      c.requireDefault("caption_projection_dim", String.valueOf(heads * headWidth));
      String norm = c.text("qk_norm", "");
      if (!norm.isEmpty()) {
        c.requireDefault("qk_norm", "rms_norm");
      }
      int layers = c.integer("num_layers", 18, 1, 256);
      boolean dual = c.json().path("dual_attention_layers").size() > 0;
      int in = c.integer("in_channels", 16, 1, 1024);
      return new Config(
          in,
          c.integer("out_channels", in, 1, 1024),
          c.integer("patch_size", 2, 1, 64),
          layers,
          heads,
          headWidth,
          c.integer("joint_attention_dim", 4096, 1, 65536),
          c.integer("pooled_projection_dim", 2048, 1, 65536),
          c.integer("pos_embed_max_size", 96, 1, 4096),
          dual
              ? Arrays.stream(
                      c.integers(
                          "dual_attention_layers",
                          c.json().get("dual_attention_layers").size(),
                          0,
                          0,
                          layers - 1))
                  .boxed()
                  .collect(Collectors.toUnmodifiableSet())
              : Set.of(),
          !norm.isEmpty());
    }

    /** Of a token, inside. */
    int width() {
      return heads * headWidth;
    }

    @Override
    public int stride() {
      return patchSize;
    }

    @Override
    public int maxSide() {
      return maxPatches * patchSize;
    }

    @Override
    public Map<String, Integer> conditions() {
      return Map.of(POOLED_PROJECTIONS, pooledWidth);
    }

    @Override
    public Denoiser network(WeightNames names) {
      return new SD3Transformer2DModel(this, names);
    }
  }

  private final Config config;
  private final Conv2d patches;
  private final Weight positions;
  private final Linear time1;
  private final Linear time2;
  private final Linear pooled1;
  private final Linear pooled2;
  private final Linear context;
  private final List<Block> blocks = new ArrayList<>();
  private final Linear normOut;
  private final Linear out;

  public SD3Transformer2DModel(Config config, WeightNames names) {
    this.config = config;
    int width = config.width();
    int patch = config.patchSize();
    WeightNames embed = names.at("pos_embed");
    patches = new Conv2d(embed.at("proj"), config.inChannels(), width, patch, patch, 0);
    positions = embed.tensor("pos_embed", 1, config.maxPatches() * config.maxPatches(), width);
    WeightNames time = names.at("time_text_embed");
    time1 = new Linear(time.at("timestep_embedder").at("linear_1"), TIME, width);
    time2 = new Linear(time.at("timestep_embedder").at("linear_2"), width, width);
    pooled1 = new Linear(time.at("text_embedder").at("linear_1"), config.pooledWidth(), width);
    pooled2 = new Linear(time.at("text_embedder").at("linear_2"), width, width);
    context = new Linear(names.at("context_embedder"), config.contextWidth(), width);
    for (int i = 0; i < config.layers(); i++) {
      blocks.add(new Block(names.at("transformer_blocks").at(i), i));
    }
    normOut = new Linear(names.at("norm_out").at("linear"), width, 2 * width);
    out = new Linear(names.at("proj_out"), width, patch * patch * config.outChannels());
  }

  @Override
  public Value forward(
      Graph g, Value sample, Value timestep, Value text, Map<String, Value> conditions) {
    Value grid = patches.forward(g, sample);
    Value rows = g.size(grid, 2);
    Value columns = g.size(grid, 3);
    Value x = g.add(Layers.toTokens(g, grid, config.width()), positions(g, rows, columns));
    Value y = context.forward(g, text);
    Value time = g.toCompute(Layers.sinusoids(g, timestep, TIME, true, 0), false);
    time = time2.forward(g, g.silu(time1.forward(g, time)));
    Value pooled = g.toCompute(conditions.get(DenoiserConfig.POOLED_PROJECTIONS), false);
    pooled = pooled2.forward(g, g.silu(pooled1.forward(g, pooled)));
    Value condition = g.silu(g.add(time, pooled));
    for (Block block : blocks) {
      Value[] both = block.forward(g, x, y, condition);
      x = both[0];
      y = both[1];
    }
    Value scaleShift = normOut.forward(g, condition);
    x = modulated(g, norm(g, x), g.chunk(scaleShift, 2, 1, 1), g.chunk(scaleShift, 2, 1, 0));
    int patch = config.patchSize();
    int channels = config.outChannels();
    Value h = g.reshape(out.forward(g, x), -1, rows, columns, patch, patch, channels);
    h = g.permute(h, 0, 5, 1, 3, 2, 4);
    return g.reshape(h, -1, channels, g.size(sample, 2), g.size(sample, 3));
  }

  /** The positions of the middle of the grid, {@code [1, rows * columns, width]}. */
  private Value positions(Graph g, Value rows, Value columns) {
    int side = config.maxPatches();
    Value all = g.reshape(g.weight(positions), 1, side, side, config.width());
    Value middle = middle(g, middle(g, all, 1, rows), 2, columns);
    return g.reshape(middle, 1, -1, config.width());
  }

  private Value middle(Graph g, Value x, int dim, Value count) {
    Value rest = g.call("torch.sub", config.maxPatches(), count);
    Value from = g.call("torch.floordiv", rest, 2);
    return g.call("torch.slice", x, dim, from, g.call("torch.add", from, count));
  }

  /** Without weights of its own. */
  private Value norm(Graph g, Value x) {
    return Layers.plainNorm(g, x, config.width(), EPS);
  }

  /** {@code x (1 + scale) + shift}; of {@code [N, L, width]} by {@code [N, width]}. */
  private static Value modulated(Graph g, Value x, Value shift, Value scale) {
    Value factor = g.unsqueeze(g.add(scale, 1), 1);
    return g.add(g.mul(x, factor), g.unsqueeze(shift, 1));
  }

  /** {@code x + gate y}. */
  private static Value gated(Graph g, Value x, Value gate, Value y) {
    return g.add(x, g.mul(g.unsqueeze(gate, 1), y));
  }

  /** Queries, keys and values of one of the two sequences. */
  private final class Projections {
    private final Linear q;
    private final Linear k;
    private final Linear v;
    private final RmsNorm normQ;
    private final RmsNorm normK;

    Projections(WeightNames names, String q, String k, String v, String normQ, String normK) {
      int width = config.width();
      this.q = new Linear(names.at(q), width, width);
      this.k = new Linear(names.at(k), width, width);
      this.v = new Linear(names.at(v), width, width);
      boolean normed = config.queryKeyNorm();
      this.normQ = normed ? new RmsNorm(names.at(normQ), config.headWidth(), EPS) : null;
      this.normK = normed ? new RmsNorm(names.at(normK), config.headWidth(), EPS) : null;
    }

    Value[] forward(Graph g, Value x) {
      return new Value[] {heads(g, q, normQ, x), heads(g, k, normK, x), heads(g, v, null, x)};
    }

    private Value heads(Graph g, Linear linear, RmsNorm norm, Value x) {
      Value h = Layers.splitHeads(g, linear.forward(g, x), config.heads(), config.headWidth());
      return norm == null ? h : norm.forward(g, h);
    }
  }

  /** Of patches: {@code to_q}, ..., {@code norm_k}. */
  private Projections ofPatches(WeightNames names) {
    return new Projections(names, "to_q", "to_k", "to_v", "norm_q", "norm_k");
  }

  private static final class FeedForward {
    private final Linear in;
    private final Linear out;

    FeedForward(WeightNames names, int width) {
      in = new Linear(names.at("net").at(0).at("proj"), width, 4 * width);
      out = new Linear(names.at("net").at(2), 4 * width, width);
    }

    Value forward(Graph g, Value x) {
      return out.forward(g, g.geluTanh(in.forward(g, x)));
    }
  }

  private final class Block {
    private final boolean last;
    private final boolean dual;
    private final Linear norm1;
    private final Linear norm1Context;
    private final Projections patches;
    private final Projections text;
    private final Linear outPatches;
    private final Linear outText;
    private final Projections alone;
    private final Linear outAlone;
    private final FeedForward ff;
    private final FeedForward ffContext;

    Block(WeightNames names, int index) {
      int width = config.width();
      last = index == config.layers() - 1;
      dual = config.dualLayers().contains(index);
      norm1 = new Linear(names.at("norm1").at("linear"), width, (dual ? 9 : 6) * width);
      norm1Context =
          new Linear(names.at("norm1_context").at("linear"), width, (last ? 2 : 6) * width);
      WeightNames attention = names.at("attn");
      patches = ofPatches(attention);
      text =
          new Projections(
              attention, "add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k");
      outPatches = new Linear(attention.at("to_out").at(0), width, width);
      outText = last ? null : new Linear(attention.at("to_add_out"), width, width);
      WeightNames second = names.at("attn2");
      alone = dual ? ofPatches(second) : null;
      outAlone = dual ? new Linear(second.at("to_out").at(0), width, width) : null;
      ff = new FeedForward(names.at("ff"), width);
      ffContext = last ? null : new FeedForward(names.at("ff_context"), width);
    }

    /** Patches and text after the block; the last one's text is not used any more. */
    Value[] forward(Graph g, Value x, Value y, Value condition) {
      Value ofX = norm1.forward(g, condition);
      int n = dual ? 9 : 6;
      Value normed = norm(g, x);
      Value first = modulated(g, normed, g.chunk(ofX, n, 1, 0), g.chunk(ofX, n, 1, 1));
      Value ofY = norm1Context.forward(g, condition);
      // the last block's norm has scale and shift in this order, and no gate
      Value yShift = last ? g.chunk(ofY, 2, 1, 1) : g.chunk(ofY, 6, 1, 0);
      Value yScale = last ? g.chunk(ofY, 2, 1, 0) : g.chunk(ofY, 6, 1, 1);
      Value[] a = patches.forward(g, first);
      Value[] b = text.forward(g, modulated(g, norm(g, y), yShift, yScale));
      Value attended =
          Layers.mergeHeads(
              g,
              g.attention(
                  g.concat(2, a[0], b[0]), g.concat(2, a[1], b[1]), g.concat(2, a[2], b[2]), false),
              config.width());
      Value count = g.size(x, 1);
      Value fromPatches = g.call("torch.slice", attended, 1, 0, count);
      Value h = gated(g, x, g.chunk(ofX, n, 1, 2), outPatches.forward(g, fromPatches));
      if (dual) {
        Value second = modulated(g, normed, g.chunk(ofX, 9, 1, 6), g.chunk(ofX, 9, 1, 7));
        Value[] c = alone.forward(g, second);
        Value own = Layers.mergeHeads(g, g.attention(c[0], c[1], c[2], false), config.width());
        h = gated(g, h, g.chunk(ofX, 9, 1, 8), outAlone.forward(g, own));
      }
      Value inner = modulated(g, norm(g, h), g.chunk(ofX, n, 1, 3), g.chunk(ofX, n, 1, 4));
      h = gated(g, h, g.chunk(ofX, n, 1, 5), ff.forward(g, inner));
      if (last) {
        return new Value[] {h, y};
      }
      Value fromText = g.call("torch.slice", attended, 1, count, g.size(attended, 1));
      Value t = gated(g, y, g.chunk(ofY, 6, 1, 2), outText.forward(g, fromText));
      Value innerText = modulated(g, norm(g, t), g.chunk(ofY, 6, 1, 3), g.chunk(ofY, 6, 1, 4));
      t = gated(g, t, g.chunk(ofY, 6, 1, 5), ffContext.forward(g, innerText));
      return new Value[] {h, t};
    }
  }
}
