package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames;
import io.priorart.models.network.Layers.Conv2d;
import io.priorart.models.network.Layers.GroupNorm;
import io.priorart.models.network.Layers.Linear;

/** Residual block: norm, SiLU, 3x3 twice, with the time embedding added between. */
final class ResnetBlock2D {
  private final GroupNorm norm1;
  private final Conv2d conv1;
  private final Linear timeProjection;
  private final GroupNorm norm2;
  private final Conv2d conv2;
  private final Conv2d shortcut;

  /**
   * @param timeWidth width of the time embedding; 0 for a block without one
   */
  ResnetBlock2D(WeightNames names, int in, int out, int timeWidth, int groups, double eps) {
    norm1 = new GroupNorm(names.at("norm1"), groups, in, eps);
    conv1 = Conv2d.same3x3(names.at("conv1"), in, out);
    timeProjection = timeWidth == 0 ? null : new Linear(names.at("time_emb_proj"), timeWidth, out);
    norm2 = new GroupNorm(names.at("norm2"), groups, out, eps);
    conv2 = Conv2d.same3x3(names.at("conv2"), out, out);
    shortcut = in == out ? null : Conv2d.pointwise(names.at("conv_shortcut"), in, out);
  }

  /**
   * @param time SiLU of the time embedding, {@code [N, timeWidth]}; {@code null} for a block
   *     without one
   */
  Value forward(Graph g, Value x, Value time) {
    Value h = conv1.forward(g, g.silu(norm1.forward(g, x)));
    if (timeProjection != null) {
      h = g.add(h, g.unsqueeze(g.unsqueeze(timeProjection.forward(g, time), -1), -1));
    }
    h = conv2.forward(g, g.silu(norm2.forward(g, h)));
    return g.add(shortcut == null ? x : shortcut.forward(g, x), h);
  }
}
