package io.priorart.models.network;

import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Value;
import java.util.ArrayList;
import java.util.List;

/** The attention of some of a network's layers while it is recorded, each averaged over heads. */
public final class AttentionMaps {
  private final List<Value> toText = new ArrayList<>();
  private final List<Value> toItself = new ArrayList<>();

  void add(boolean text, Value map) {
    (text ? toText : toItself).add(map);
  }

  /** Of pixels to the text's tokens, {@code [N, H W, L]}, averaged over layers. */
  public Value toText(Graph g) {
    return mean(g, toText);
  }

  /** Of pixels to each other, {@code [N, H W, H W]}, averaged over layers. */
  public Value toItself(Graph g) {
    return mean(g, toItself);
  }

  private static Value mean(Graph g, List<Value> maps) {
    Value sum = g.toFloat32(maps.get(0));
    for (Value map : maps.subList(1, maps.size())) {
      sum = g.add(sum, g.toFloat32(map));
    }
    return g.mul(sum, 1.0 / maps.size());
  }
}
