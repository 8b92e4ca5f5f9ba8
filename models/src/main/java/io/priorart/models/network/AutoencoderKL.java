package io.priorart.models.network;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.GroupNorm;
import java.util.ArrayList;
import java.util.List;

/**
 * The auto-encoder of latent diffusion (Rombach et al. 2022, appendix G), with diffusers' names.
 *
 * <p>Encoder: picture {@code [N, 3, H, W]} in [-1,1] to {@code [N, 2c, H/f, W/f]}, mean and
 * log-variance; decoder: {@code [N, c, h, w]} to {@code [N, 3, f h, f w]}. The scaling factor is
 * not applied here.
 */
public final class AutoencoderKL {
  /** The keys of {@code vae/config.json} that shape the network, and the latent scale. */
  public record Config(
      int inChannels,
      int outChannels,
      int[] blockOutChannels,
      int layersPerBlock,
      int latentChannels,
      int normNumGroups,
      boolean midBlockAttention,
      boolean quantConv,
      boolean postQuantConv,
      double scalingFactor,
      double shiftFactor)
      implements CodecConfig {

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      c.requireDefault("act_fn", "silu");
      int[] channels = c.list("block_out_channels", new int[] {64}, 1, 8192);
      for (String type : c.texts("down_block_types", "DownEncoderBlock2D")) {
        if (!type.equals("DownEncoderBlock2D")) {
          throw c.bad("down_block_types", type + " is not supported");
        }
      }
      for (String type : c.texts("up_block_types", "UpDecoderBlock2D")) {
        if (!type.equals("UpDecoderBlock2D")) {
          throw c.bad("up_block_types", type + " is not supported");
        }
      }
      int groups = c.integer("norm_num_groups", 32, 1, 4096);
      for (int channel : channels) {
        if (channel % groups != 0) {
          throw c.bad("block_out_channels", channel + " is no multiple of " + groups + " groups");
        }
      }
      double scaling = c.number("scaling_factor", 0.18215);
      if (!(scaling > 0 && scaling < 1e6)) {
        throw c.bad("scaling_factor", "must be positive, was " + scaling);
      }
      return new Config(
          c.integer("in_channels", 3, 1, 64),
          c.integer("out_channels", 3, 1, 64),
          channels,
          c.integer("layers_per_block", 1, 1, 16),
          c.integer("latent_channels", 4, 1, 1024),
          groups,
          c.flag("mid_block_add_attention", true),
          c.flag("use_quant_conv", true),
          c.flag("use_post_quant_conv", true),
          scaling,
          c.number("shift_factor", 0));
    }

    /** Pixels per latent along an axis. */
    @Override
    public int stride() {
      return 1 << blockOutChannels.length - 1;
    }
  }

  private static final double EPS = 1e-6;

  private AutoencoderKL() {}

  /**
   * A script with {@code forward(x)} that gives the posterior's mean. Declares encoder and
   * quant_conv weights.
   */
  public static Script compileEncoder(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("AutoencoderKLEncoder", options);
    Encoder encoder = new Encoder(config, builder.weights());
    Graph g = builder.method("forward");
    Value moments = encoder.forward(g, g.toCompute(g.input("x"), true));
    g.returns(g.toFloat32(g.slice(moments, 1, 0, config.latentChannels())));
    return builder.build();
  }

  /** A script with {@code forward(z)}. Declares decoder and post_quant_conv weights. */
  public static Script compileDecoder(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("AutoencoderKLDecoder", options);
    Decoder decoder = new Decoder(config, builder.weights());
    Graph g = builder.method("forward");
    g.returns(g.toFloat32(decoder.forward(g, g.toCompute(g.input("z"), true))));
    return builder.build();
  }

  /**
   * Both halves: {@code forward(x)} gives the reconstruction from the posterior's mean {@code [N,
   * 3, H, W]}, that mean and the log-variance within [-30, 20], both {@code [N, c, H/f, W/f]}.
   * Declares all weights.
   */
  public static Script compile(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("AutoencoderKL", options);
    Encoder encoder = new Encoder(config, builder.weights());
    Decoder decoder = new Decoder(config, builder.weights());
    Graph g = builder.method("forward");
    int c = config.latentChannels();
    Value moments = encoder.forward(g, g.toCompute(g.input("x"), true));
    Value mean = g.toFloat32(g.slice(moments, 1, 0, c));
    Value logVariance = g.clamp(g.toFloat32(g.slice(moments, 1, c, 2L * c)), -30, 20);
    Value y = g.toFloat32(decoder.forward(g, g.toCompute(mean, true)));
    g.returns(y, mean, logVariance);
    return builder.build();
  }

  /** Declares {@code encoder.*} and {@code quant_conv.*}. */
  public static final class Encoder {
    private final Conv2d convIn;
    private final List<List<ResnetBlock2D>> blocks = new ArrayList<>();
    private final List<Conv2d> downsample = new ArrayList<>();
    private final MidBlock mid;
    private final GroupNorm normOut;
    private final Conv2d convOut;
    private final Conv2d quantConv;

    public Encoder(Config config, WeightNames root) {
      int[] channels = config.blockOutChannels();
      int n = channels.length;
      int groups = config.normNumGroups();
      WeightNames names = root.at("encoder");
      convIn = Conv2d.same3x3(names.at("conv_in"), config.inChannels(), channels[0]);
      for (int i = 0; i < n; i++) {
        WeightNames block = names.at("down_blocks").at(i);
        int in = channels[Math.max(0, i - 1)];
        blocks.add(resnets(block, config.layersPerBlock(), in, channels[i], groups));
        if (i < n - 1) {
          downsample.add(
              new Conv2d(
                  block.at("downsamplers").at(0).at("conv"), channels[i], channels[i], 3, 2, 0));
        }
      }
      int last = channels[n - 1];
      mid = new MidBlock(names.at("mid_block"), last, config);
      normOut = new GroupNorm(names.at("conv_norm_out"), groups, last, EPS);
      int moments = 2 * config.latentChannels();
      convOut = Conv2d.same3x3(names.at("conv_out"), last, moments);
      quantConv =
          config.quantConv() ? Conv2d.pointwise(root.at("quant_conv"), moments, moments) : null;
    }

    /** {@code [N, 2c, h, w]}: mean, then log-variance. */
    public Value forward(Graph g, Value x) {
      Value h = convIn.forward(g, x);
      for (int i = 0; i < blocks.size(); i++) {
        for (ResnetBlock2D resnet : blocks.get(i)) {
          h = resnet.forward(g, h, null);
        }
        if (i < downsample.size()) {
          // diffusers pads right and bottom only
          h = downsample.get(i).forward(g, g.pad(h, 0, 1, 0, 1));
        }
      }
      h = mid.forward(g, h);
      h = convOut.forward(g, g.silu(normOut.forward(g, h)));
      return quantConv == null ? h : quantConv.forward(g, h);
    }
  }

  /** Declares {@code decoder.*} and {@code post_quant_conv.*}. */
  public static final class Decoder {
    private final Conv2d postQuantConv;
    private final Conv2d convIn;
    private final MidBlock mid;
    private final List<List<ResnetBlock2D>> blocks = new ArrayList<>();
    private final List<Conv2d> upsample = new ArrayList<>();
    private final GroupNorm normOut;
    private final Conv2d convOut;

    public Decoder(Config config, WeightNames root) {
      int[] channels = config.blockOutChannels();
      int n = channels.length;
      int groups = config.normNumGroups();
      int latent = config.latentChannels();
      int last = channels[n - 1];
      WeightNames names = root.at("decoder");
      convIn = Conv2d.same3x3(names.at("conv_in"), latent, last);
      mid = new MidBlock(names.at("mid_block"), last, config);
      for (int i = 0; i < n; i++) {
        WeightNames block = names.at("up_blocks").at(i);
        int out = channels[n - 1 - i];
        int in = channels[Math.min(n - 1, n - i)];
        blocks.add(resnets(block, config.layersPerBlock() + 1, in, out, groups));
        if (i < n - 1) {
          upsample.add(Conv2d.same3x3(block.at("upsamplers").at(0).at("conv"), out, out));
        }
      }
      normOut = new GroupNorm(names.at("conv_norm_out"), groups, channels[0], EPS);
      convOut = Conv2d.same3x3(names.at("conv_out"), channels[0], config.outChannels());
      postQuantConv =
          config.postQuantConv()
              ? Conv2d.pointwise(root.at("post_quant_conv"), latent, latent)
              : null;
    }

    /** The weights of the last convolution. */
    public WeightNames.Weight last() {
      return convOut.weight();
    }

    public Value forward(Graph g, Value z) {
      Value h = convIn.forward(g, postQuantConv == null ? z : postQuantConv.forward(g, z));
      h = mid.forward(g, h);
      for (int i = 0; i < blocks.size(); i++) {
        for (ResnetBlock2D resnet : blocks.get(i)) {
          h = resnet.forward(g, h, null);
        }
        if (i < upsample.size()) {
          h = upsample.get(i).forward(g, g.upsample2x(h));
        }
      }
      return convOut.forward(g, g.silu(normOut.forward(g, h)));
    }
  }

  private static List<ResnetBlock2D> resnets(
      WeightNames block, int count, int in, int out, int groups) {
    List<ResnetBlock2D> resnets = new ArrayList<>();
    for (int j = 0; j < count; j++) {
      WeightNames names = block.at("resnets").at(j);
      resnets.add(new ResnetBlock2D(names, j == 0 ? in : out, out, 0, groups, EPS));
    }
    return resnets;
  }

  private static final class MidBlock {
    private final ResnetBlock2D resnet1;
    private final SpatialAttention attention;
    private final ResnetBlock2D resnet2;

    MidBlock(WeightNames names, int channels, Config config) {
      int groups = config.normNumGroups();
      resnet1 = new ResnetBlock2D(names.at("resnets").at(0), channels, channels, 0, groups, EPS);
      attention =
          config.midBlockAttention()
              ? new SpatialAttention(names.at("attentions").at(0), channels, 1, groups, EPS)
              : null;
      resnet2 = new ResnetBlock2D(names.at("resnets").at(1), channels, channels, 0, groups, EPS);
    }

    Value forward(Graph g, Value x) {
      Value h = resnet1.forward(g, x, null);
      if (attention != null) {
        h = attention.forward(g, h);
      }
      return resnet2.forward(g, h, null);
    }
  }
}
