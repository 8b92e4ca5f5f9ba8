package io.priorart.models.network;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The distilled auto-encoders TAESD, TAESDXL and TAESD3 (Ollin Boer Bohan, "Tiny AutoEncoder for
 * Stable Diffusion", 2023), with diffusers' names: residual blocks of three convolutions and ReLU,
 * no norms, no attention; about a hundredth of {@link AutoencoderKL}'s arithmetic.
 *
 * <p>Encoder: picture {@code [N, 3, H, W]} in [-1,1] to {@code [N, c, H/f, W/f]}; decoder: {@code
 * [N, c, h, w]}, softly bounded by {@code 3 tanh(z/3)}, to {@code [N, 3, f h, f w]}. Its latents
 * are those of the U-Net it was made for, already scaled: the scaling factor of its configuration
 * is 1.
 */
public final class AutoencoderTiny {
  /** The keys of {@code vae/config.json} that shape the network, and the latent scale. */
  public record Config(
      int inChannels,
      int outChannels,
      int encoderWidth,
      int decoderWidth,
      int[] encoderBlocks,
      int[] decoderBlocks,
      int latentChannels,
      double scalingFactor,
      double shiftFactor)
      implements CodecConfig {

    /** Reads and checks a configuration. */
    public static Config of(ConfigNode c) {
      c.requireDefault("act_fn", "relu");
      c.requireDefault("upsample_fn", "nearest");
      c.requireDefault("upsampling_scaling_factor", "2");
      int[] encoderBlocks = c.list("num_encoder_blocks", new int[] {1, 3, 3, 3}, 0, 64);
      int[] decoderBlocks = c.list("num_decoder_blocks", new int[] {3, 3, 3, 1}, 0, 64);
      if (encoderBlocks.length != decoderBlocks.length) {
        throw c.bad(
            "num_decoder_blocks",
            "has %d levels, num_encoder_blocks %d"
                .formatted(decoderBlocks.length, encoderBlocks.length));
      }
      double scaling = c.number("scaling_factor", 1);
      if (!(scaling > 0 && scaling < 1e6)) {
        throw c.bad("scaling_factor", "must be positive, was " + scaling);
      }
      return new Config(
          c.integer("in_channels", 3, 1, 64),
          c.integer("out_channels", 3, 1, 64),
          width(c, "encoder_block_out_channels", encoderBlocks.length),
          width(c, "decoder_block_out_channels", decoderBlocks.length),
          encoderBlocks,
          decoderBlocks,
          c.integer("latent_channels", 4, 1, 1024),
          scaling,
          c.number("shift_factor", 0));
    }

    /** The one width of all levels: the convolutions between them do not change it. */
    private static int width(ConfigNode c, String key, int levels) {
      int[] widths = c.integers(key, levels, 64, 1, 8192);
      if (Arrays.stream(widths).distinct().count() != 1) {
        throw c.bad(key, "must be the same at all levels");
      }
      return widths[0];
    }

    /** Pixels per latent along an axis. */
    @Override
    public int stride() {
      return 1 << encoderBlocks.length - 1;
    }
  }

  private AutoencoderTiny() {}

  /** A script with {@code forward(x)}. Declares {@code encoder.*}. */
  public static Script compileEncoder(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("AutoencoderTinyEncoder", options);
    Encoder encoder = new Encoder(config, builder.weights());
    Graph g = builder.method("forward");
    g.returns(g.toFloat32(encoder.forward(g, g.toCompute(g.input("x"), true))));
    return builder.build();
  }

  /** A script with {@code forward(z)}. Declares {@code decoder.*}. */
  public static Script compileDecoder(Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("AutoencoderTinyDecoder", options);
    Decoder decoder = new Decoder(config, builder.weights());
    Graph g = builder.method("forward");
    g.returns(g.toFloat32(decoder.forward(g, g.toCompute(g.input("z"), true))));
    return builder.build();
  }

  /** A step of the chain {@code layers.0, layers.1, ...}. */
  private interface Step {
    Value forward(Graph g, Value x);
  }

  /** {@code relu(x + conv(relu(conv(relu(conv(x))))))}. */
  private static Step block(WeightNames names, int width) {
    Conv2d first = Conv2d.same3x3(names.at("conv").at(0), width, width);
    Conv2d second = Conv2d.same3x3(names.at("conv").at(2), width, width);
    Conv2d third = Conv2d.same3x3(names.at("conv").at(4), width, width);
    return (g, x) -> {
      Value h = g.relu(first.forward(g, x));
      return g.relu(g.add(third.forward(g, g.relu(second.forward(g, h))), x));
    };
  }

  private static Value run(List<Step> layers, Graph g, Value x) {
    Value h = x;
    for (Step layer : layers) {
      h = layer.forward(g, h);
    }
    return h;
  }

  /** Declares {@code encoder.*}. */
  public static final class Encoder {
    private final List<Step> layers = new ArrayList<>();

    public Encoder(Config config, WeightNames root) {
      WeightNames names = root.at("encoder").at("layers");
      int width = config.encoderWidth();
      for (int i = 0; i < config.encoderBlocks().length; i++) {
        WeightNames at = names.at(layers.size());
        layers.add(
            i == 0
                ? Conv2d.same3x3(at, config.inChannels(), width)::forward
                : new Conv2d(at, width, width, 3, 2, 1, false)::forward);
        for (int j = 0; j < config.encoderBlocks()[i]; j++) {
          layers.add(block(names.at(layers.size()), width));
        }
      }
      layers.add(Conv2d.same3x3(names.at(layers.size()), width, config.latentChannels())::forward);
    }

    /** Records the network. */
    public Value forward(Graph g, Value x) {
      return run(layers, g, g.mul(g.add(x, 1), 0.5));
    }
  }

  /** Declares {@code decoder.*}. */
  public static final class Decoder {
    private final List<Step> layers = new ArrayList<>();

    public Decoder(Config config, WeightNames root) {
      WeightNames names = root.at("decoder").at("layers");
      int width = config.decoderWidth();
      layers.add(Conv2d.same3x3(names.at(0), config.latentChannels(), width)::forward);
      layers.add(Graph::relu);
      int levels = config.decoderBlocks().length;
      for (int i = 0; i < levels; i++) {
        for (int j = 0; j < config.decoderBlocks()[i]; j++) {
          layers.add(block(names.at(layers.size()), width));
        }
        boolean last = i == levels - 1;
        if (!last) {
          layers.add(Graph::upsample2x);
        }
        layers.add(
            new Conv2d(
                    names.at(layers.size()),
                    width,
                    last ? config.outChannels() : width,
                    3,
                    1,
                    1,
                    last)
                ::forward);
      }
    }

    /** Records the network. */
    public Value forward(Graph g, Value z) {
      Value bounded = g.mul(g.tanh(g.mul(z, 1.0 / 3)), 3);
      return g.add(g.mul(run(layers, g, bounded), 2), -1);
    }
  }
}
