package io.priorart.models.network;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.GroupNorm;
import io.priorart.models.network.Layers.Linear;
import io.priorart.solver.PriorArtException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The text-conditioned U-Net of Stable Diffusion 1.x and 2.x (Rombach et al., "High-Resolution
 * Image Synthesis with Latent Diffusion Models", CVPR 2022, arXiv 2112.10752), of Stable Diffusion
 * XL (Podell et al., "SDXL", ICLR 2024, arXiv 2307.01952) and of latent consistency models (Luo et
 * al. 2023, arXiv 2310.04378), with diffusers' names and configuration keys; without text, its
 * {@code UNet2DModel} (Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv
 * 2006.11239), whose attention is a picture's with itself.
 *
 * <p>{@code forward(sample [N, in, H, W], timestep [N], encoder_hidden_states [N, L, D], ...) ->
 * [N, out, H, W]}, float32 at the boundary; {@link Config#conditions} names the further inputs.
 * What the result means (epsilon or v) is the scheduler's affair.
 */
public final class UNet2DConditionModel implements Denoiser {
  /**
   * The keys of {@code unet/config.json} that shape the network.
   *
   * @param attentionHeads number of heads per block; diffusers calls this key {@code
   *     attention_head_dim}
   * @param crossAttentionDim width of the text; 0 for a network without
   * @param outerPadding whether pictures are padded right and below only before they are halved
   * @param sizeEmbedding width of the sinusoids of each of XL's six {@code time_ids}; 0 for none
   * @param pooledWidth of XL's pooled text; 0 for none
   * @param guidanceEmbedding width of the embedding of a distilled guidance scale; 0 for none
   */
  public record Config(
      int inChannels,
      int outChannels,
      int[] blockOutChannels,
      String[] downBlockTypes,
      String[] upBlockTypes,
      String midBlockType,
      int[] layersPerBlock,
      int[] attentionHeads,
      int[] transformerLayers,
      int crossAttentionDim,
      boolean useLinearProjection,
      int normNumGroups,
      double normEps,
      boolean flipSinToCos,
      double freqShift,
      boolean outerPadding,
      int sizeEmbedding,
      int pooledWidth,
      int guidanceEmbedding)
      implements DenoiserConfig {
    /** Height and width of the original, top and left of the crop, height and width wanted. */
    private static final int SIZES = 6;

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      c.requireUnset(
          "center_input_sample",
          "dual_cross_attention",
          "class_embed_type",
          "num_class_embeds",
          "encoder_hid_dim",
          "encoder_hid_dim_type",
          "only_cross_attention",
          "class_embeddings_concat",
          "cross_attention_norm",
          "resnet_skip_time_act");
      c.requireDefault("act_fn", "silu");
      c.requireDefault("resnet_time_scale_shift", "default");
      c.requireDefault("time_embedding_type", "positional");
      c.requireDefault("attention_type", "default");
      c.requireDefault("conv_in_kernel", "3");
      c.requireDefault("conv_out_kernel", "3");
      c.requireDefault("downsample_padding", "1");
      c.requireDefault("mid_block_scale_factor", "1");
      int[] channels = c.list("block_out_channels", new int[] {320, 640, 1280, 1280}, 2, 8192);
      int n = channels.length;
      String[] down =
          c.texts(
              "down_block_types",
              "CrossAttnDownBlock2D",
              "CrossAttnDownBlock2D",
              "CrossAttnDownBlock2D",
              "DownBlock2D");
      String[] up =
          c.texts(
              "up_block_types",
              "UpBlock2D",
              "CrossAttnUpBlock2D",
              "CrossAttnUpBlock2D",
              "CrossAttnUpBlock2D");
      int groups = c.integer("norm_num_groups", 32, 1, 4096);
      String headsKey =
          c.json().hasNonNull("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
      int[] heads = c.integers(headsKey, n, 8, 1, 512);
      requireShape(c, channels, down, up, groups, headsKey, heads);
      int sizeEmbedding = 0;
      int pooledWidth = 0;
      if (!c.text("addition_embed_type", "").isEmpty()) {
        c.requireDefault("addition_embed_type", "text_time");
        sizeEmbedding = c.integer("addition_time_embed_dim", 256, 2, 8192);
        int all = c.integer("projection_class_embeddings_input_dim", 2816, 1, 1 << 20);
        pooledWidth = all - SIZES * sizeEmbedding;
        if (pooledWidth < 1 || sizeEmbedding % 2 != 0) {
          throw c.bad(
              "projection_class_embeddings_input_dim",
              all + " leaves no room for the pooled text beside 6 sizes of " + sizeEmbedding);
        }
      }
      return new Config(
          c.integer("in_channels", 4, 1, 1024),
          c.integer("out_channels", 4, 1, 1024),
          channels,
          down,
          up,
          c.text("mid_block_type", "UNetMidBlock2DCrossAttn"),
          c.integers("layers_per_block", n, 2, 1, 16),
          heads,
          c.integers("transformer_layers_per_block", n, 1, 1, 64),
          c.integer("cross_attention_dim", 1280, 1, 65536),
          c.flag("use_linear_projection", false),
          groups,
          c.number("norm_eps", 1e-5),
          c.flag("flip_sin_to_cos", true),
          c.number("freq_shift", 0),
          false,
          sizeEmbedding,
          pooledWidth,
          c.integer("time_cond_proj_dim", 0, 0, 8192));
    }

    /** Reads and checks the configuration of a {@code UNet2DModel}. */
    public static Config unconditional(ConfigNode c) {
      c.requireUnset(
          "center_input_sample", "class_embed_type", "num_class_embeds", "attn_norm_num_groups");
      c.requireDefault("act_fn", "silu");
      c.requireDefault("resnet_time_scale_shift", "default");
      c.requireDefault("time_embedding_type", "positional");
      c.requireDefault("downsample_type", "conv");
      c.requireDefault("upsample_type", "conv");
      c.requireDefault("mid_block_scale_factor", "1");
      c.requireDefault("add_attention", "true");
      int[] channels = c.list("block_out_channels", new int[] {224, 448, 672, 896}, 2, 8192);
      int n = channels.length;
      String[] down =
          c.texts(
              "down_block_types",
              "DownBlock2D",
              "AttnDownBlock2D",
              "AttnDownBlock2D",
              "AttnDownBlock2D");
      String[] up =
          c.texts("up_block_types", "AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D");
      // null is one head
      boolean oneHead =
          c.json().has("attention_head_dim") && !c.json().hasNonNull("attention_head_dim");
      int headWidth = c.integer("attention_head_dim", 8, 1, 8192);
      int[] heads = new int[n];
      for (int i = 0; i < n; i++) {
        heads[i] = oneHead ? 1 : channels[i] / headWidth;
      }
      int groups = c.integer("norm_num_groups", 32, 1, 4096);
      requireShape(c, channels, down, up, groups, "attention_head_dim", heads);
      int padding = c.integer("downsample_padding", 1, 0, 1);
      return new Config(
          c.integer("in_channels", 3, 1, 1024),
          c.integer("out_channels", 3, 1, 1024),
          channels,
          down,
          up,
          c.text("mid_block_type", "UNetMidBlock2D"),
          c.integers("layers_per_block", n, 2, 1, 16),
          heads,
          new int[n],
          0,
          false,
          groups,
          c.number("norm_eps", 1e-5),
          c.flag("flip_sin_to_cos", true),
          c.number("freq_shift", 0),
          padding == 0,
          0,
          0,
          0);
    }

    private static void requireShape(
        ConfigNode c,
        int[] channels,
        String[] down,
        String[] up,
        int groups,
        String headsKey,
        int[] heads) {
      int n = channels.length;
      if (down.length != n || up.length != n) {
        throw c.bad("down_block_types", "must name " + n + " blocks, as block_out_channels does");
      }
      for (int i = 0; i < n; i++) {
        if (channels[i] % groups != 0) {
          throw c.bad(
              "block_out_channels", channels[i] + " is no multiple of " + groups + " groups");
        }
        if (heads[i] == 0 || channels[i] % heads[i] != 0) {
          throw c.bad(headsKey, heads[i] + " heads do not divide " + channels[i] + " channels");
        }
      }
      if (channels[0] % 2 != 0) {
        throw c.bad("block_out_channels", "the first must be even for the time embedding");
      }
    }

    @Override
    public Map<String, Integer> conditions() {
      Map<String, Integer> conditions = new LinkedHashMap<>();
      if (sizeEmbedding > 0) {
        conditions.put(TEXT_EMBEDS, pooledWidth);
        conditions.put(TIME_IDS, SIZES);
      }
      if (guidanceEmbedding > 0) {
        conditions.put(TIMESTEP_COND, guidanceEmbedding);
      }
      return conditions;
    }

    /** Or skip connections would not meet. */
    @Override
    public int stride() {
      return 1 << blockOutChannels.length - 1;
    }

    @Override
    public int contextWidth() {
      return crossAttentionDim;
    }

    @Override
    public boolean hasTextAttention() {
      return crossAttentionDim > 0;
    }

    @Override
    public Denoiser network(WeightNames names) {
      return new UNet2DConditionModel(this, names);
    }
  }

  /** The level at a quarter of the latent's size: 16 x 16 of 64 x 64. */
  private static final int QUARTER = 2;

  private final Config config;

  /** By level. */
  private final TreeMap<Integer, List<Transformer2DModel>> transformers = new TreeMap<>();

  private final Linear time1;
  private final Linear time2;
  private final Linear guidance;
  private final Linear added1;
  private final Linear added2;
  private final Conv2d convIn;
  private final List<DownBlock> down = new ArrayList<>();
  private final ResnetBlock2D mid1;
  private final Attender midAttention;
  private final ResnetBlock2D mid2;
  private final List<UpBlock> up = new ArrayList<>();
  private final GroupNorm normOut;
  private final Conv2d convOut;

  public UNet2DConditionModel(Config config, WeightNames names) {
    this.config = config;
    int[] channels = config.blockOutChannels();
    int n = channels.length;
    int timeWidth = 4 * channels[0];
    convIn = Conv2d.same3x3(names.at("conv_in"), config.inChannels(), channels[0]);
    time1 = new Linear(names.at("time_embedding").at("linear_1"), channels[0], timeWidth);
    time2 = new Linear(names.at("time_embedding").at("linear_2"), timeWidth, timeWidth);
    guidance =
        config.guidanceEmbedding() == 0
            ? null
            : new Linear(
                names.at("time_embedding").at("cond_proj"),
                config.guidanceEmbedding(),
                channels[0],
                false);
    boolean sized = config.sizeEmbedding() > 0;
    WeightNames added = names.at("add_embedding");
    int addedWidth = config.pooledWidth() + Config.SIZES * config.sizeEmbedding();
    added1 = sized ? new Linear(added.at("linear_1"), addedWidth, timeWidth) : null;
    added2 = sized ? new Linear(added.at("linear_2"), timeWidth, timeWidth) : null;
    for (int i = 0; i < n; i++) {
      int in = channels[Math.max(0, i - 1)];
      down.add(new DownBlock(names.at("down_blocks").at(i), i, in, timeWidth));
    }
    int last = channels[n - 1];
    WeightNames mid = names.at("mid_block");
    mid1 = resnet(mid.at("resnets").at(0), last, last, timeWidth);
    if (!config.midBlockType().equals(text() ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D")) {
      throw PriorArtException.badField(
          "mid_block_type", config.midBlockType() + " is not supported");
    }
    midAttention = attender(mid.at("attentions").at(0), n - 1);
    mid2 = resnet(mid.at("resnets").at(1), last, last, timeWidth);
    for (int i = 0; i < n; i++) {
      up.add(new UpBlock(names.at("up_blocks").at(i), i, timeWidth));
    }
    normOut =
        new GroupNorm(
            names.at("conv_norm_out"), config.normNumGroups(), channels[0], config.normEps());
    convOut = Conv2d.same3x3(names.at("conv_out"), channels[0], config.outChannels());
  }

  /** The network as a script with one method, {@code forward}. */
  public static Script compile(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("UNet2DConditionModel", options);
    UNet2DConditionModel net = new UNet2DConditionModel(config, builder.weights());
    Graph g = builder.method("forward");
    Value sample = g.input("sample");
    Value timestep = g.input("timestep");
    Value context = g.input("encoder_hidden_states");
    Map<String, Value> conditions = new LinkedHashMap<>();
    config.conditions().keySet().forEach(name -> conditions.put(name, g.input(name)));
    Value y =
        net.forward(
            g, g.toCompute(sample, true), timestep, g.toCompute(context, false), conditions);
    g.returns(g.toFloat32(y));
    return builder.build();
  }

  /** Records a network without {@linkplain Config#conditions conditions}. */
  public Value forward(Graph g, Value sample, Value timestep, Value context) {
    return forward(g, sample, timestep, context, Map.of());
  }

  @Override
  public Value forward(
      Graph g, Value sample, Value timestep, Value context, Map<String, Value> conditions) {
    Value time = timeEmbedding(g, timestep, conditions.get(DenoiserConfig.TIMESTEP_COND));
    if (added1 != null) {
      Value sizes = sinusoids(g, conditions.get(DenoiserConfig.TIME_IDS), config.sizeEmbedding());
      Value flat = g.reshape(sizes, g.size(sizes, 0), Config.SIZES * config.sizeEmbedding());
      Value both = g.concat(-1, conditions.get(DenoiserConfig.TEXT_EMBEDS), flat);
      Value hidden = added1.forward(g, g.toCompute(both, false));
      time = g.add(time, added2.forward(g, g.silu(hidden)));
    }
    time = g.silu(time);
    Value h = convIn.forward(g, sample);
    Deque<Value> skips = new ArrayDeque<>();
    skips.push(h);
    for (DownBlock block : down) {
      h = block.forward(g, h, time, context, skips);
    }
    h = mid1.forward(g, h, time);
    h = midAttention.forward(g, h, context);
    h = mid2.forward(g, h, time);
    for (UpBlock block : up) {
      h = block.forward(g, h, time, context, skips);
    }
    return convOut.forward(g, g.silu(normOut.forward(g, h)));
  }

  /** Sinusoids of the timestep through a two-layer perceptron. */
  private Value timeEmbedding(Graph g, Value timestep, Value guidanceEmbedding) {
    Value x = g.toCompute(sinusoids(g, timestep, config.blockOutChannels()[0]), false);
    if (guidance != null) {
      x = g.add(x, guidance.forward(g, g.toCompute(guidanceEmbedding, false)));
    }
    return time2.forward(g, g.silu(time1.forward(g, x)));
  }

  private Value sinusoids(Graph g, Value x, int width) {
    return Layers.sinusoids(g, x, width, config.flipSinToCos(), config.freqShift());
  }

  private ResnetBlock2D resnet(WeightNames names, int in, int out, int timeWidth) {
    return new ResnetBlock2D(names, in, out, timeWidth, config.normNumGroups(), config.normEps());
  }

  /** What a block does after each of its residual blocks. */
  private interface Attender {
    /**
     * @param context tokens of the text, {@code null} in a network without
     */
    Value forward(Graph g, Value x, Value context);
  }

  private boolean text() {
    return config.crossAttentionDim() > 0;
  }

  private Attender attender(WeightNames names, int level) {
    int channels = config.blockOutChannels()[level];
    int heads = config.attentionHeads()[level];
    int groups = config.normNumGroups();
    if (!text()) {
      SpatialAttention attention =
          new SpatialAttention(names, channels, heads, groups, config.normEps());
      return (g, x, context) -> attention.forward(g, x);
    }
    Transformer2DModel transformer =
        new Transformer2DModel(
            names,
            channels,
            heads,
            config.transformerLayers()[level],
            config.crossAttentionDim(),
            config.useLinearProjection(),
            groups);
    transformers.computeIfAbsent(level, l -> new ArrayList<>()).add(transformer);
    return transformer::forward;
  }

  /**
   * The attention of the layers at a quarter of the latent's size, or of the smallest there are.
   */
  @Override
  public AttentionMaps forwardWithAttention(
      Graph g, Value sample, Value timestep, Value context, Map<String, Value> conditions) {
    int level = transformers.containsKey(QUARTER) ? QUARTER : transformers.lastKey();
    AttentionMaps maps = new AttentionMaps();
    transformers.get(level).forEach(t -> t.record(maps));
    forward(g, sample, timestep, context, conditions);
    transformers.get(level).forEach(t -> t.record(null));
    return maps;
  }

  /**
   * @param direction {@code Down} or {@code Up}
   */
  private boolean attends(String type, String direction) {
    String plain = direction + "Block2D";
    String attending = (text() ? "CrossAttn" : "Attn") + plain;
    if (!type.equals(plain) && !type.equals(attending)) {
      throw PriorArtException.badField(
          "block_types", type + " is not supported, only " + plain + " and " + attending);
    }
    return type.equals(attending);
  }

  private final class DownBlock {
    private final List<ResnetBlock2D> resnets = new ArrayList<>();
    private final List<Attender> attentions = new ArrayList<>();
    private final Conv2d downsample;

    DownBlock(WeightNames names, int level, int in, int timeWidth) {
      int out = config.blockOutChannels()[level];
      boolean attends = attends(config.downBlockTypes()[level], "Down");
      for (int j = 0; j < config.layersPerBlock()[level]; j++) {
        resnets.add(resnet(names.at("resnets").at(j), j == 0 ? in : out, out, timeWidth));
        if (attends) {
          attentions.add(attender(names.at("attentions").at(j), level));
        }
      }
      boolean last = level == config.blockOutChannels().length - 1;
      downsample =
          last
              ? null
              : new Conv2d(
                  names.at("downsamplers").at(0).at("conv"),
                  out,
                  out,
                  3,
                  2,
                  config.outerPadding() ? 0 : 1);
    }

    Value forward(Graph g, Value x, Value time, Value context, Deque<Value> skips) {
      Value h = x;
      for (int j = 0; j < resnets.size(); j++) {
        h = resnets.get(j).forward(g, h, time);
        if (!attentions.isEmpty()) {
          h = attentions.get(j).forward(g, h, context);
        }
        skips.push(h);
      }
      if (downsample != null) {
        h = downsample.forward(g, config.outerPadding() ? g.pad(h, 0, 1, 0, 1) : h);
        skips.push(h);
      }
      return h;
    }
  }

  private final class UpBlock {
    private final List<ResnetBlock2D> resnets = new ArrayList<>();
    private final List<Attender> attentions = new ArrayList<>();
    private final Conv2d upsample;

    UpBlock(WeightNames names, int index, int timeWidth) {
      int[] channels = config.blockOutChannels();
      int n = channels.length;
      int level = n - 1 - index;
      int out = channels[level];
      int previous = channels[Math.min(n - 1, level + 1)];
      int deepestSkip = channels[Math.max(0, level - 1)];
      boolean attends = attends(config.upBlockTypes()[index], "Up");
      int layers = config.layersPerBlock()[level] + 1;
      for (int j = 0; j < layers; j++) {
        int skip = j == layers - 1 ? deepestSkip : out;
        int in = (j == 0 ? previous : out) + skip;
        resnets.add(resnet(names.at("resnets").at(j), in, out, timeWidth));
        if (attends) {
          attentions.add(attender(names.at("attentions").at(j), level));
        }
      }
      upsample =
          level == 0 ? null : Conv2d.same3x3(names.at("upsamplers").at(0).at("conv"), out, out);
    }

    Value forward(Graph g, Value x, Value time, Value context, Deque<Value> skips) {
      Value h = x;
      for (int j = 0; j < resnets.size(); j++) {
        h = resnets.get(j).forward(g, g.concat(1, h, skips.pop()), time);
        if (!attentions.isEmpty()) {
          h = attentions.get(j).forward(g, h, context);
        }
      }
      return upsample == null ? h : upsample.forward(g, g.upsampleTo(h, skips.peek()));
    }
  }
}
