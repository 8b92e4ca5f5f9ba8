package io.priorart.models;

import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.util.Map;

/**
 * A prior of pictures themselves: a {@link DenoisingUNet} with the identity as codec, no text.
 * Folder layout: {@code docs/design/pixel-prior.md}.
 */
public final class PixelPrior implements Prior {
  static final String CLASS_NAME = "PixelDenoiserPipeline";

  /** Noise levels of the schedule, for solvers that count in timesteps. */
  private static final int LEVELS = 1000;

  private static final String PART = "denoiser";

  private final CheckpointFolder folder;
  private final NDManager manager = ScriptModule.newManager();
  private final DenoisingUNet.Config config;
  private final NoiseSchedule schedule;
  private final ScriptModule network;
  private final Precision precision;

  PixelPrior(CheckpointFolder folder, CompileOptions options) {
    this.folder = folder;
    precision = options.precision();
    try {
      config = DenoisingUNet.Config.of(folder.config(PART));
      schedule =
          VariancePreservingSchedule.logarithmic(LEVELS, config.sigmaMin(), config.sigmaMax());
      ScriptBuilder builder = new ScriptBuilder("DenoisingUNet", options);
      DenoisingUNet net = new DenoisingUNet(config, builder.weights());
      Graph plain = builder.method("forward");
      plain.returns(evaluate(plain, net, plain.input("x"), plain.input("noise")));
      denoise(builder.method("denoise"), net);
      network =
          ScriptModule.load(
              manager, builder.build(), folder.weights(PART, "diffusion_pytorch_model"));
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  private static Value evaluate(Graph g, DenoisingUNet net, Value x, Value noise) {
    return g.toFloat32(net.forward(g, g.toCompute(x, true), noise));
  }

  /**
   * {@code denoise(x, rates, noise, rows, columns, height, width)}: rates are c_in, c_skip, c_out;
   * rows and columns pad, height and width take the picture's own back.
   */
  private static void denoise(Graph g, DenoisingUNet net) {
    Value x = g.input("x");
    Value rates = g.input("rates");
    Value noise = g.call("torch.expand", g.input("noise"), Graph.raw("[" + g.size(x, 0) + "]"));
    Value padded = g.pick(g.mul(x, g.slice(rates, 0, 0, 1)), g.input("rows"), g.input("columns"));
    Value f = g.pick(evaluate(g, net, padded, noise), g.input("height"), g.input("width"));
    g.returns(g.add(g.mul(x, g.slice(rates, 0, 1, 2)), g.mul(f, g.slice(rates, 0, 2, 3))));
  }

  @Override
  public String name() {
    return folder.name();
  }

  @Override
  public Precision precision() {
    return precision;
  }

  @Override
  public NoiseSchedule schedule() {
    return schedule;
  }

  @Override
  public long parameters() {
    return network.script().weights().stream().mapToLong(w -> w.shape().size()).sum();
  }

  @Override
  public String hash() {
    return folder.hash();
  }

  @Override
  public LatentDiffusionModel bind(int height, int width) {
    return new BoundPixelPrior(this, height, width);
  }

  DenoisingUNet.Config config() {
    return config;
  }

  NDManager manager() {
    return manager;
  }

  ScriptModule network() {
    return network;
  }

  /** There is no text encoder to cut anything. */
  @Override
  public boolean truncates(String prompt) {
    return false;
  }

  /**
   * {@inheritDoc}
   *
   * <p>Parts: {@code denoiser} (x: scaled by c_in; noise: ln(sigma)/4).
   */
  @Override
  public HostTensor trace(String part, Map<String, HostTensor> inputs) {
    if (!part.equals(PART)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "part: " + part + " is not " + PART);
    }
    HostTensor x = TraceInputs.checked(inputs, "x", 4, config.channels(), config.stride());
    HostTensor noise = TraceInputs.checked(inputs, "noise", 1, -1, 1, x.shape().get(0));
    try (NDManager scratch = manager.newSubManager()) {
      return HostTensor.of(network.call("forward", x.to(scratch), noise.to(scratch))[0]);
    }
  }

  @Override
  public void close() {
    network.close();
    manager.close();
  }
}
