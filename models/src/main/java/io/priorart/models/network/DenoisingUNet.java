package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.Linear;
import java.util.ArrayList;
import java.util.List;

/**
 * A denoiser of pictures: a fully convolutional residual U-Net without normalisation (DRUNet, Zhang
 * et al., TPAMI 2021, arXiv 2008.13751), told the noise level, in the preconditioning of Karras et
 * al. (NeurIPS 2022, arXiv 2206.00364, table 1):
 *
 * <pre>
 *   D(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4)
 *   c_skip = s^2 / (sigma^2 + s^2),  c_out = sigma s / sqrt(sigma^2 + s^2),  c_in = 1 / sqrt(sigma^2 + s^2)
 * </pre>
 *
 * with {@code s} the deviation of pictures. {@code F} takes any size that is a multiple of {@link
 * Config#stride}: squares of {@code patchSize} pixels become channels, each level after the first
 * halves the size, the way up adds what the way down saw. No normalisation, because statistics over
 * a whole picture would change with its size.
 *
 * <p>With {@link Config#noiseMap} each pixel has its own noise level (as in Kim et al., "RAD:
 * Region-Aware Diffusion Models for Image Inpainting", CVPR 2025, arXiv 2412.09191). The level
 * told, and that of {@code c_in} and {@code c_skip}, is the smallest, {@code sigma_0}; one more
 * input channel tells each pixel's distance from it, {@code (ln sigma - ln sigma_0) / 4}. {@code x}
 * is filled first: pixels noisier than {@code sigma_0} keep a part {@code (sigma_0^2 + s^2) /
 * (sigma^2 + s^2)} of their own value and take the rest from what is known around them (push-pull
 * over halved pictures: Gortler et al., "The Lumigraph", SIGGRAPH 1996), for convolutions cannot
 * divide by how much they saw. {@code c_out} is what error that leaves: with {@code e} the number
 * of halvings until something is known,
 *
 * <pre>
 *   c_out^2 = min( c_out(sigma)^2, c_out(sigma_0)^2 + (0.2 s)^2 (2^e - 1) )
 * </pre>
 *
 * as neighbouring pixels of photographs differ in the mean square by a share that grows with their
 * distance. With one level for all pixels, nothing of this changes anything.
 *
 * <p>Deviations from DRUNet: the noise level scales each block's features instead of being one more
 * input channel; SiLU for ReLU; biases.
 */
public final class DenoisingUNet {
  /**
   * @param channels of a picture
   * @param patchSize side of the squares of pixels that the network sees as one
   * @param blockOutChannels width of each level
   * @param layersPerBlock residual blocks of a level, on the way down and on the way up
   * @param embeddingWidth of the noise level
   * @param sigmaData deviation of pictures in [-1,1]
   * @param sigmaMin smallest noise level of the training
   * @param sigmaMax largest noise level of the training
   * @param noiseMap whether each pixel has its own noise level
   */
  public record Config(
      int channels,
      int patchSize,
      int[] blockOutChannels,
      int layersPerBlock,
      int embeddingWidth,
      double sigmaData,
      double sigmaMin,
      double sigmaMax,
      boolean noiseMap) {
    private static final int MAX_LEVELS = 8;
    private static final int MAX_STRIDE = 256;

    /** Reads {@code config.json}. */
    public static Config of(ConfigNode c) {
      c.requireDefault("_class_name", "DenoisingUNet");
      Config config =
          new Config(
              c.integer("channels", 3, 3, 3),
              c.integer("patch_size", 2, 1, 8),
              c.list("block_out_channels", new int[] {64, 128, 192, 256}, 1, 4096),
              c.integer("layers_per_block", 2, 1, 32),
              c.integer("embedding_width", 128, 1, 4096),
              c.number("sigma_data", 0.5),
              c.number("sigma_min", 0.01),
              c.number("sigma_max", 10),
              c.flag("noise_map", false));
      if (config.blockOutChannels.length > MAX_LEVELS || config.stride() > MAX_STRIDE) {
        throw c.bad(
            "block_out_channels",
            "makes pictures multiples of patch_size 2^(levels-1) pixels; at most "
                + MAX_LEVELS
                + " levels and "
                + MAX_STRIDE
                + " pixels are taken");
      }
      if (!(config.sigmaData > 0 && config.sigmaData < 1e3)) {
        throw c.bad("sigma_data", "must be more than 0, was " + config.sigmaData);
      }
      if (!(config.sigmaMin > 0 && config.sigmaMin < config.sigmaMax && config.sigmaMax < 1e6)) {
        throw c.bad("sigma_max", "must be more than sigma_min, and that more than 0");
      }
      return config;
    }

    /** Pixels that a picture's side must be a multiple of. */
    public int stride() {
      return patchSize << (blockOutChannels.length - 1);
    }
  }

  private static final int OCTAVES = 8;

  /** Error of taking a pixel for its neighbour, in deviations of pictures. */
  private static final double NEIGHBOUR_ERROR = 0.2;

  /** Draws blocks of which next to nothing is known to 0, the middle of what pictures are. */
  private static final double LEAST_WEIGHT = 1e-3;

  private final Config config;
  private final Linear embedding1;
  private final Linear embedding2;
  private final Conv2d convIn;
  private final List<List<Block>> down = new ArrayList<>();
  private final List<Conv2d> downsample = new ArrayList<>();
  private final List<List<Block>> up = new ArrayList<>();
  private final List<Conv2d> upsample = new ArrayList<>();
  private final Conv2d convOut;

  public DenoisingUNet(Config config, WeightNames names) {
    this.config = config;
    int[] width = config.blockOutChannels();
    int emb = config.embeddingWidth();
    int samples = config.channels() * config.patchSize() * config.patchSize();
    embedding1 = new Linear(names.at("noise_embedding").at("linear_1"), 2 * OCTAVES, emb);
    embedding2 = new Linear(names.at("noise_embedding").at("linear_2"), emb, emb);
    int levels = config.noiseMap() ? config.patchSize() * config.patchSize() : 0;
    convIn = Conv2d.same3x3(names.at("conv_in"), samples + levels, width[0]);
    for (int i = 0; i < width.length; i++) {
      WeightNames level = names.at("down_blocks").at(i);
      down.add(blocks(level, width[i]));
      if (i + 1 < width.length) {
        downsample.add(new Conv2d(level.at("downsample"), width[i], width[i + 1], 2, 2, 0));
      }
    }
    for (int i = 0; i + 1 < width.length; i++) {
      WeightNames level = names.at("up_blocks").at(i);
      upsample.add(Conv2d.pointwise(level.at("upsample"), width[i + 1], 4 * width[i]));
      up.add(blocks(level, width[i]));
    }
    convOut = Conv2d.same3x3(names.at("conv_out"), width[0], samples);
  }

  private List<Block> blocks(WeightNames level, int width) {
    List<Block> blocks = new ArrayList<>();
    for (int k = 0; k < config.layersPerBlock(); k++) {
      blocks.add(new Block(level.at("blocks").at(k), width, config.embeddingWidth()));
    }
    return blocks;
  }

  /** {@code x + conv2(silu(conv1(silu(x)) (1 + scale(e))))}. */
  private static final class Block {
    private final Conv2d conv1;
    private final Linear scale;
    private final Conv2d conv2;

    Block(WeightNames names, int width, int embeddingWidth) {
      conv1 = Conv2d.same3x3(names.at("conv1"), width, width);
      scale = new Linear(names.at("scale"), embeddingWidth, width);
      conv2 = Conv2d.same3x3(names.at("conv2"), width, width);
    }

    Value forward(Graph g, Value x, Value embedding) {
      Value gain = g.unsqueeze(g.unsqueeze(g.add(scale.forward(g, embedding), 1.0), -1), -1);
      Value h = g.mul(conv1.forward(g, g.silu(x)), gain);
      return g.add(x, conv2.forward(g, g.silu(h)));
    }
  }

  /**
   * {@code F}.
   *
   * @param x {@link Preconditioning#input}, {@code [N, 3, H, W]} in compute type and layout
   * @param noise {@code ln(sigma) / 4}, float32 {@code [N]}, of the smallest level
   * @param map distance of each pixel's level from it, {@code [N, 1, H, W]} in compute type and
   *     layout; read if the network takes a noise map
   * @return {@code [N, 3, H, W]} in compute type
   */
  public Value forward(Graph g, Value x, Value noise, Value map) {
    Value octaves = g.exp(g.mul(g.arange(OCTAVES), Math.log(2)));
    Value phase = g.mul(g.unsqueeze(noise, 1), octaves);
    Value features = g.toCompute(g.concat(1, g.sin(phase), g.cos(phase)), false);
    Value e = g.silu(embedding2.forward(g, g.silu(embedding1.forward(g, features))));
    Value seenByAll = config.noiseMap() ? g.concat(1, x, map) : x;
    Value h = convIn.forward(g, pixelUnshuffle(g, seenByAll));
    List<Value> seen = new ArrayList<>();
    for (int i = 0; i < down.size(); i++) {
      h = all(g, down.get(i), h, e);
      if (i < downsample.size()) {
        seen.add(h);
        h = downsample.get(i).forward(g, h);
      }
    }
    for (int i = up.size() - 1; i >= 0; i--) {
      h = g.call("torch.pixel_shuffle", upsample.get(i).forward(g, h), 2);
      h = all(g, up.get(i), g.add(h, seen.get(i)), e);
    }
    Value out = convOut.forward(g, h);
    return config.patchSize() == 1 ? out : g.call("torch.pixel_shuffle", out, config.patchSize());
  }

  /**
   * What surrounds {@code F}: {@code D = base + out F(input, noise, map)}, {@code out} each
   * pixel's.
   *
   * @param input {@code c_in} times the filled picture
   * @param base {@code c_skip} times the filled picture
   * @param out {@code c_out}
   * @param noise {@code ln(sigma) / 4} of the smallest level, {@code [N]}
   * @param map distance of each pixel's level from it, {@code [N, 1, H, W]}; null if the network
   *     takes none
   */
  public record Preconditioning(Value input, Value base, Value out, Value noise, Value map) {}

  /**
   * All that is computed before {@code F}, in float32, with the levels told clamped to those of the
   * training.
   *
   * @param x {@code [N, 3, H, W]}, sides multiples of the stride
   * @param sigma {@code [1 or N, 1, 1, 1]}, or {@code [1 or N, 1, H, W]} with a noise map
   */
  public Preconditioning precondition(Graph g, Value x, Value sigma) {
    double s = config.sigmaData();
    Value total = g.add(g.mul(sigma, sigma), s * s);
    Value least = smallest(g, total);
    Value in = g.call("torch.rsqrt", least);
    Value skip = g.mul(g.mul(in, in), s * s);
    Value error = error(g, sigma, total);
    Value told = g.clamp(sigma, config.sigmaMin(), config.sigmaMax());
    Value level = g.mul(g.call("torch.log", told), 0.25);
    Value first = smallest(g, level);
    Value n = g.size(x, 0);
    Value noise = g.call("torch.expand", g.reshape(first, -1), Graph.raw("[" + n + "]"));
    if (!config.noiseMap()) {
      Value out = g.call("torch.sqrt", error);
      return new Preconditioning(g.mul(x, in), g.mul(x, skip), out, noise, null);
    }
    String each = "[" + n + ", 1, " + g.size(x, 2) + ", " + g.size(x, 3) + "]";
    Value map = g.call("torch.expand", g.sub(level, first), Graph.raw(each));
    Value known = g.call("torch.expand", g.call("torch.div", least, total), Graph.raw(each));
    Filled filled = filled(g, x, known);
    Value gap = g.add(g.call("torch.exp2", filled.halvings()), -1.0);
    double step = NEIGHBOUR_ERROR * s;
    Value spread = g.add(g.mul(gap, step * step), smallest(g, error));
    Value out = g.call("torch.sqrt", g.call("torch.minimum", error, spread));
    return new Preconditioning(
        g.mul(filled.picture(), in), g.mul(filled.picture(), skip), out, noise, map);
  }

  /** {@code c_out^2 = sigma^2 s^2 / (sigma^2 + s^2)}. */
  private Value error(Graph g, Value sigma, Value total) {
    double s = config.sigmaData();
    return g.mul(g.call("torch.div", g.mul(sigma, sigma), total), s * s);
  }

  private static Value smallest(Graph g, Value levels) {
    return g.call("torch.amin", levels, Graph.raw("[1, 2, 3]"), true);
  }

  /**
   * @param halvings until something is known of a pixel, {@code e}
   */
  private record Filled(Value picture, Value halvings) {}

  /**
   * Push-pull: {@code known} of each pixel is its own, the rest comes from the coarser pictures.
   */
  private Filled filled(Graph g, Value x, Value known) {
    List<Value> sums = new ArrayList<>(List.of(g.mul(x, known)));
    List<Value> weights = new ArrayList<>(List.of(known));
    for (int size = 1; size < config.stride(); size *= 2) {
      sums.add(g.call("torch.avg_pool2d", sums.get(sums.size() - 1), Graph.raw("[2, 2]")));
      weights.add(g.call("torch.avg_pool2d", weights.get(weights.size() - 1), Graph.raw("[2, 2]")));
    }
    int last = sums.size() - 1;
    Value filled = average(g, sums.get(last), weights.get(last));
    Value halvings = g.mul(weights.get(last), 0.0);
    for (int k = last - 1; k >= 0; k--) {
      Value own = k == 0 ? x : average(g, sums.get(k), weights.get(k));
      // one known pixel speaks for its whole block
      Value trust = g.clamp(g.mul(weights.get(k), Math.pow(4, k)), 0, 1);
      Value coarse = enlarged(g, filled);
      filled = g.add(coarse, g.mul(trust, g.sub(own, coarse)));
      Value further = g.add(enlarged(g, halvings), 1.0);
      halvings = g.sub(further, g.mul(trust, further));
    }
    return new Filled(filled, halvings);
  }

  private static Value enlarged(Graph g, Value x) {
    return g.call("torch.upsample_bilinear2d", x, null, false, Graph.raw("[2.0, 2.0]"));
  }

  private static Value average(Graph g, Value sum, Value weight) {
    return g.call("torch.div", sum, g.add(weight, LEAST_WEIGHT));
  }

  private Value pixelUnshuffle(Graph g, Value x) {
    // what unshuffles comes back in plain layout
    return config.patchSize() == 1
        ? x
        : g.toCompute(g.call("torch.pixel_unshuffle", x, config.patchSize()), true);
  }

  private static Value all(Graph g, List<Block> blocks, Value x, Value embedding) {
    Value h = x;
    for (Block block : blocks) {
      h = block.forward(g, h, embedding);
    }
    return h;
  }
}
