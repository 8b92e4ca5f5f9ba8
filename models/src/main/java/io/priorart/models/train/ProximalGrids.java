package io.priorart.models.train;

import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.ConvexPotential;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import java.util.List;

/** Noisy at the network's level, after one proximal step, and the picture itself. */
final class ProximalGrids implements TrainingGrids {
  private static final int PICTURES = 4;
  private static final long SEED = 0;

  private final double sigma;
  private final Script script;
  private final HostTensor truth;

  ProximalGrids(
      ConvexPotential.Config config,
      List<TrainingPicture> pictures,
      int patch,
      CompileOptions compile) {
    sigma = config.sigma();
    truth = TrainingGrids.middles(pictures, patch, PICTURES);
    ScriptBuilder builder = new ScriptBuilder("ConvexPotential", compile);
    ConvexPotential net = new ConvexPotential(config, builder.weights());
    Graph g = builder.method("proximal");
    g.returns(net.proximal(g, g.toCompute(g.input("x"), true), false));
    script = builder.build();
  }

  @Override
  public List<Drawing> draw(Trainer trainer) {
    int n = (int) truth.shape().get(0);
    int side = (int) truth.shape().get(2);
    float[] noisy = new NoiseSource(SEED).normal(truth.shape()).values();
    for (int i = 0; i < noisy.length; i++) {
      noisy[i] = truth.values()[i] + (float) (sigma * noisy[i]);
    }
    PictureGrid grid = new PictureGrid(3, n, side, side);
    grid.column(0, noisy);
    try (ScriptModule module = trainer.averaged(script);
        NDManager scratch = module.manager().newSubManager();
        TensorScope scope = new TensorScope()) {
      grid.column(
          1,
          module.callWithGradients("proximal", scratch.create(noisy, truth.shape()))[0]
              .toFloatArray());
    }
    grid.column(2, truth.values());
    return List.of(new Drawing("denoised", grid, List.of()));
  }
}
