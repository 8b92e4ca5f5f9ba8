package io.priorart.models.train;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Noisy and denoised at three levels; for a network with a noise map also with missing pixels
 * (black) and restored by one evaluation. The picture itself is the last of its row.
 */
final class DenoiserGrids implements TrainingGrids {
  private static final int PICTURES = 4;
  private static final long SEED = 0;

  /** Noise levels on the [0,1] scale. */
  private static final double[] SIGMAS = {0.05, 0.15, 0.4};

  private static final double[] MISSING = {0.7, 0.92};
  private static final double KNOWN_SIGMA = 0.01;

  private final DenoisingUNet.Config config;
  private final Script script;
  private final HostTensor truth;

  DenoiserGrids(
      DenoisingUNet.Config config,
      List<TrainingPicture> pictures,
      int patch,
      CompileOptions compile) {
    this.config = config;
    truth = TrainingGrids.middles(pictures, patch, PICTURES);
    ScriptBuilder builder = new ScriptBuilder("DenoisingUNet", compile);
    DenoisingUNet net = new DenoisingUNet(config, builder.weights());
    Graph g = builder.method("denoise");
    DenoisingUNet.Preconditioning at = net.precondition(g, g.input("x"), g.input("sigma"));
    Value map = config.noiseMap() ? g.toCompute(at.map(), true) : null;
    Value f = g.toFloat32(net.forward(g, g.toCompute(at.input(), true), at.noise(), map));
    g.returns(g.toFloat32(g.add(at.base(), g.mul(at.out(), f))));
    script = builder.build();
  }

  @Override
  public List<Drawing> draw(Trainer trainer) {
    int n = (int) truth.shape().get(0);
    int side = (int) truth.shape().get(2);
    int plane = side * side;
    NoiseSource random = new NoiseSource(SEED);
    List<Drawing> drawings = new ArrayList<>();
    try (ScriptModule module = trainer.averaged(script)) {
      PictureGrid noisy = new PictureGrid(2 * SIGMAS.length + 1, n, side, side);
      for (int k = 0; k < SIGMAS.length; k++) {
        float[] sigma = new float[config.noiseMap() ? n * plane : n];
        Arrays.fill(sigma, (float) (2 * SIGMAS[k]));
        float[] x = noisy(random, sigma, plane);
        noisy.column(2 * k, x);
        noisy.column(2 * k + 1, denoised(module, x, sigma));
      }
      noisy.column(2 * SIGMAS.length, truth.values());
      drawings.add(new Drawing("denoised", noisy, List.of()));
      if (config.noiseMap()) {
        PictureGrid masked = new PictureGrid(2 * MISSING.length + 1, n, side, side);
        for (int k = 0; k < MISSING.length; k++) {
          draw(masked, 2 * k, MISSING[k], module, random);
        }
        masked.column(2 * MISSING.length, truth.values());
        drawings.add(new Drawing("restored", masked, List.of()));
      }
    }
    return drawings;
  }

  private void draw(
      PictureGrid grid, int column, double share, ScriptModule module, NoiseSource random) {
    int plane = (int) (truth.shape().get(2) * truth.shape().get(3));
    float most = (float) config.sigmaMax();
    float[] sigma = new float[(int) truth.shape().get(0) * plane];
    for (int i = 0; i < sigma.length; i++) {
      sigma[i] = random.uniform() < share ? most : (float) (2 * KNOWN_SIGMA);
    }
    float[] x = noisy(random, sigma, plane);
    float[] shown = x.clone();
    for (int i = 0; i < x.length; i++) {
      if (sigma[level(i, plane)] == most) {
        x[i] -= truth.values()[i];
        shown[i] = -1;
      }
    }
    grid.column(column, shown);
    grid.column(column + 1, denoised(module, x, sigma));
  }

  /** Where the level of a value of {@code [n, 3, side, side]} is. */
  private static int level(int i, int plane) {
    return i / (3 * plane) * plane + i % plane;
  }

  private float[] noisy(NoiseSource random, float[] sigma, int plane) {
    float[] x = random.normal(truth.shape()).values();
    boolean each = sigma.length > truth.shape().get(0);
    for (int i = 0; i < x.length; i++) {
      x[i] = truth.values()[i] + sigma[each ? level(i, plane) : i / (3 * plane)] * x[i];
    }
    return x;
  }

  private float[] denoised(ScriptModule module, float[] x, float[] sigma) {
    Shape s = truth.shape();
    boolean each = sigma.length > s.get(0);
    Shape levels = new Shape(s.get(0), 1, each ? s.get(2) : 1, each ? s.get(3) : 1);
    try (NDManager scratch = module.manager().newSubManager();
        TensorScope scope = new TensorScope()) {
      return module.call("denoise", scratch.create(x, s), scratch.create(sigma, levels))[0]
          .toFloatArray();
    }
  }
}
