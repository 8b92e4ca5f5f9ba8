package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import java.util.ArrayList;
import java.util.List;

/**
 * A convex function of pictures whose gradient is a learned proximal operator (Fang et al., "What's
 * in a Prior? Learned Proximal Networks for Inverse Problems", ICLR 2024, arXiv 2310.14344): an
 * input-convex convolutional network (Amos et al., ICML 2017, arXiv 1609.07152)
 *
 * <pre>
 *   z_1 = s(V_0 x + b_0),   z_{k+1} = s(W_k z_k + V_k P_k x + b_k),
 *   psi(x) = sum over positions of w^T z_L + alpha/2 ||x||^2,   f(x) = grad psi(x)
 * </pre>
 *
 * with {@code W_k, w >= 0}, {@code s(t) = log(1 + exp(beta t))/beta} and {@code P_k} the mean over
 * squares of pixels. A sum of convex functions of windows, it takes pictures of any size that is a
 * multiple of {@link Config#stride} and stays convex; the paper's ends in a layer for 128x128
 * pixels alone.
 */
public final class ConvexPotential {
  /** Ends the names of the weights that must not be negative. */
  public static final String NON_NEGATIVE = "convex.weight";

  /**
   * @param channels of a picture
   * @param width of every layer
   * @param levels how often the size is halved, each time followed by a layer that keeps it
   * @param beta sharpness of the softplus
   * @param alpha strong convexity
   * @param sigma noise that {@code f} was trained to take away, standard deviations on [-1,1]
   */
  public record Config(
      int channels, int width, int levels, double beta, double alpha, double sigma) {
    /** Reads {@code config.json}. */
    public static Config of(ConfigNode c) {
      c.requireDefault("_class_name", "ConvexPotential");
      Config config =
          new Config(
              c.integer("channels", 3, 3, 3),
              c.integer("width", 64, 1, 4096),
              c.integer("levels", 3, 1, 8),
              c.number("beta", 100),
              c.number("alpha", 1e-6),
              c.number("sigma", 0.2));
      requireWithin(c, "beta", config.beta, 1e-3, 1e6);
      requireWithin(c, "alpha", config.alpha, 0, 1e3);
      requireWithin(c, "sigma", config.sigma, 1e-4, 1e3);
      return config;
    }

    private static void requireWithin(
        ConfigNode c, String key, double value, double least, double most) {
      if (!(value >= least && value <= most)) {
        throw c.bad(key, "must be " + least + " to " + most + ", was " + value);
      }
    }

    /** Pixels that a picture's side must be a multiple of. */
    public int stride() {
      return 1 << levels;
    }
  }

  /** Beyond {@code beta t} of this the softplus is the identity. */
  private static final double LINEAR_FROM = 20;

  private final Config config;
  private final Conv2d convIn;
  private final List<Conv2d> convex = new ArrayList<>();
  private final List<Conv2d> skip = new ArrayList<>();
  private final Conv2d convOut;

  public ConvexPotential(Config config, WeightNames names) {
    this.config = config;
    int width = config.width();
    convIn = Conv2d.same3x3(names.at("conv_in"), config.channels(), width);
    for (int k = 0; k < 2 * config.levels(); k++) {
      WeightNames layer = names.at("layers").at(k);
      int stride = k % 2 == 0 ? 2 : 1;
      convex.add(new Conv2d(layer.at("convex"), width, width, 3, stride, 1, false));
      skip.add(Conv2d.same3x3(layer.at("skip"), config.channels(), width));
    }
    convOut = new Conv2d(names.at("conv_out").at("convex"), width, 1, 1, 1, 0, false);
  }

  /**
   * {@code psi}.
   *
   * @param x {@code [N, 3, H, W]} in compute type and layout, sides multiples of the stride
   * @return float32 {@code [N]}
   */
  public Value potential(Graph g, Value x) {
    Value z = softplus(g, convIn.forward(g, x));
    Value small = x;
    for (int k = 0; k < convex.size(); k++) {
      if (k % 2 == 0) {
        small = g.call("torch.avg_pool2d", small, Graph.raw("[2, 2]"));
      }
      z = softplus(g, g.add(convex.get(k).forward(g, z), skip.get(k).forward(g, small)));
    }
    Value windows = sum(g, convOut.forward(g, z));
    Value squares = sum(g, g.mul(x, x));
    return g.add(windows, g.mul(squares, config.alpha() / 2));
  }

  /**
   * {@code f(x) = grad psi(x)}.
   *
   * @param differentiable whether it can be differentiated itself
   * @return {@code [N, 3, H, W]} float32
   */
  public Value proximal(Graph g, Value x, boolean differentiable) {
    Value leaf = g.call("torch.requires_grad_", g.call("torch.clone", x), true);
    Value total = g.call("torch.sum", potential(g, leaf));
    return g.toFloat32(g.gradient(total, leaf, differentiable));
  }

  private Value softplus(Graph g, Value x) {
    return g.call("torch.softplus", x, config.beta(), LINEAR_FROM);
  }

  private static Value sum(Graph g, Value x) {
    return g.call("torch.sum", x, Graph.raw("[1, 2, 3]"), false);
  }
}
