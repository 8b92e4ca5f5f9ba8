package io.priorart.runtime;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames.Weight;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import java.util.ArrayList;
import java.util.List;

/**
 * How fast networks run here: the time of a fixed stack of convolutions, in the arithmetic that
 * {@code --precision auto} takes and with the threads that the engine has. Times measured on one
 * machine are scaled by it to another. Measured once a process, in about a quarter of a second.
 */
public final class MachineSpeed {
  private static final int CHANNELS = 64;
  private static final int SIDE = 128;
  private static final int LAYERS = 8;
  private static final int RUNS = 3;

  private static Double measured;

  private MachineSpeed() {}

  /** Seconds that the stack takes, the least of three runs. */
  public static synchronized double seconds() {
    if (measured == null) {
      measured = measure();
    }
    return measured;
  }

  private static double measure() {
    ScriptBuilder builder = new ScriptBuilder("MachineSpeed", CompileOptions.AUTO);
    List<Weight> layers = new ArrayList<>();
    for (int i = 0; i < LAYERS; i++) {
      layers.add(builder.weights().at(i).tensor("weight", CHANNELS, CHANNELS, 3, 3));
    }
    Graph g = builder.method("forward");
    Value x = g.toCompute(g.input("x"), true);
    for (Weight layer : layers) {
      x = g.silu(g.conv2d(x, layer, null, 1, 1));
    }
    g.returns(g.toFloat32(x));
    NoiseSource random = new NoiseSource(0);
    double least = Double.POSITIVE_INFINITY;
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule module = ScriptModule.load(manager, builder.build())) {
      NDList weights = new NDList();
      for (Weight layer : layers) {
        weights.add(random.normal(manager, layer.shape()).mul(0.05));
      }
      module.attach("ws", weights);
      NDArray picture = random.normal(manager, new Shape(1, CHANNELS, SIDE, SIDE));
      for (int run = 0; run <= RUNS; run++) {
        long begin = System.nanoTime();
        try (TensorScope scope = new TensorScope()) {
          module.call("forward", picture);
        }
        // the first run fills the engine's caches
        least = run == 0 ? least : Math.min(least, (System.nanoTime() - begin) * 1e-9);
      }
    }
    return least;
  }
}
