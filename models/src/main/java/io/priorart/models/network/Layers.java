package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.engine.WeightNames.Weight;

/** The layers that every network here is built of; names follow PyTorch. */
final class Layers {
  private Layers() {}

  /** {@code [N, in, H, W]} to {@code [N, out, H', W']}. */
  static final class Conv2d {
    private final Weight weight;
    private final Weight bias;
    private final int stride;
    private final int padding;

    Conv2d(WeightNames names, int in, int out, int kernel, int stride, int padding) {
      this(names, in, out, kernel, stride, padding, true);
    }

    Conv2d(
        WeightNames names, int in, int out, int kernel, int stride, int padding, boolean hasBias) {
      weight = names.tensor("weight", out, in, kernel, kernel);
      bias = hasBias ? names.tensor("bias", out) : null;
      this.stride = stride;
      this.padding = padding;
    }

    /** A 3x3 convolution that keeps the size. */
    static Conv2d same3x3(WeightNames names, int in, int out) {
      return new Conv2d(names, in, out, 3, 1, 1);
    }

    static Conv2d pointwise(WeightNames names, int in, int out) {
      return new Conv2d(names, in, out, 1, 1, 0);
    }

    Weight weight() {
      return weight;
    }

    Value forward(Graph g, Value x) {
      return g.conv2d(x, weight, bias, stride, padding);
    }
  }

  /** {@code [..., in]} to {@code [..., out]}. */
  static final class Linear {
    private final Weight weight;
    private final Weight bias;

    Linear(WeightNames names, int in, int out) {
      this(names, in, out, true);
    }

    Linear(WeightNames names, int in, int out, boolean hasBias) {
      weight = names.tensor("weight", out, in);
      bias = hasBias ? names.tensor("bias", out) : null;
    }

    Value forward(Graph g, Value x) {
      return g.linear(x, weight, bias);
    }
  }

  static final class GroupNorm {
    private final Weight weight;
    private final Weight bias;
    private final int groups;
    private final double eps;

    GroupNorm(WeightNames names, int groups, int channels, double eps) {
      weight = names.tensor("weight", channels);
      bias = names.tensor("bias", channels);
      this.groups = groups;
      this.eps = eps;
    }

    Value forward(Graph g, Value x) {
      return g.groupNorm(x, groups, weight, bias, eps);
    }
  }

  static final class LayerNorm {
    private final Weight weight;
    private final Weight bias;
    private final int width;
    private final double eps;

    LayerNorm(WeightNames names, int width, double eps) {
      weight = names.tensor("weight", width);
      bias = names.tensor("bias", width);
      this.width = width;
      this.eps = eps;
    }

    Value forward(Graph g, Value x) {
      return g.layerNorm(x, width, weight, bias, eps);
    }
  }

  /** {@code weight x / sqrt(mean(x^2) + eps)} (Zhang and Sennrich 2019, arXiv 1910.07467). */
  static final class RmsNorm {
    private final Weight weight;
    private final int width;
    private final double eps;

    RmsNorm(WeightNames names, int width, double eps) {
      weight = names.tensor("weight", width);
      this.width = width;
      this.eps = eps;
    }

    Value forward(Graph g, Value x) {
      return g.rmsNorm(x, width, weight, eps);
    }
  }

  /** Layer norm without weights. */
  static Value plainNorm(Graph g, Value x, int width, double eps) {
    return g.layerNorm(x, width, null, null, eps);
  }

  /**
   * {@code [..., width]} of {@code [...]}: sines and cosines of {@code x 10000^(-i / (width/2 -
   * freqShift))} (Vaswani et al. 2017).
   */
  static Value sinusoids(Graph g, Value x, int width, boolean flipSinToCos, double freqShift) {
    int half = width / 2;
    Value frequencies = g.exp(g.mul(g.arange(half), -Math.log(10000) / (half - freqShift)));
    Value angles = g.mul(g.unsqueeze(x, -1), frequencies);
    return flipSinToCos
        ? g.concat(-1, g.cos(angles), g.sin(angles))
        : g.concat(-1, g.sin(angles), g.cos(angles));
  }

  /** {@code [N, L, heads d]} to {@code [N, heads, L, d]}. */
  static Value splitHeads(Graph g, Value x, int heads, int headWidth) {
    return g.transpose(g.reshape(x, g.size(x, 0), g.size(x, 1), heads, headWidth), 1, 2);
  }

  /** The inverse of {@link #splitHeads}. */
  static Value mergeHeads(Graph g, Value x, int width) {
    Value t = g.transpose(x, 1, 2);
    return g.reshape(t, g.size(t, 0), g.size(t, 1), width);
  }

  /** {@code [N, C, H, W]} to {@code [N, H W, C]}. */
  static Value toTokens(Graph g, Value x, int channels) {
    return g.reshape(g.permute(x, 0, 2, 3, 1), g.size(x, 0), -1, channels);
  }

  /** {@code [N, H W, C]} back to the picture shape of {@code like}. */
  static Value toPicture(Graph g, Value tokens, Value like, int channels) {
    Value grid = g.reshape(tokens, g.size(like, 0), g.size(like, 2), g.size(like, 3), channels);
    return g.permute(grid, 0, 3, 1, 2);
  }
}
