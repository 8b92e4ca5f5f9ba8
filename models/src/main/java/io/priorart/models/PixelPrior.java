package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
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
import java.util.Objects;
import java.util.stream.Stream;

/**
 * A prior of pictures themselves: a {@link DenoisingUNet} with the identity as codec, no text.
 * Folder layout: {@code docs/design/pixel-prior.md}.
 */
public final class PixelPrior extends PicturePrior {
  static final String CLASS_NAME = "PixelDenoiserPipeline";

  /** Noise levels of the schedule, for solvers that count in timesteps. */
  private static final int LEVELS = 1000;

  private static final String PART = "denoiser";

  private final DenoisingUNet.Config config;
  private final NoiseSchedule schedule;
  private final ScriptModule network;

  PixelPrior(Checkpoint checkpoint, CompileOptions options) {
    super(checkpoint, options.precision());
    try {
      config = DenoisingUNet.Config.of(checkpoint.config(PART));
      schedule =
          VariancePreservingSchedule.logarithmic(LEVELS, config.sigmaMin(), config.sigmaMax());
      ScriptBuilder builder = new ScriptBuilder("DenoisingUNet", options);
      DenoisingUNet net = new DenoisingUNet(config, builder.weights());
      forward(builder.method("forward"), net);
      denoise(builder.method("denoise"), net);
      network = ScriptModule.load(manager(), builder.build(), checkpoint.weights(PART));
    } catch (RuntimeException e) {
      manager().close();
      throw e;
    }
  }

  private void forward(Graph g, DenoisingUNet net) {
    Value x = g.input("x");
    Value noise = g.input("noise");
    Value map = config.noiseMap() ? g.input("map") : null;
    Value levels = map == null ? null : g.toCompute(map, true);
    g.returns(g.toFloat32(net.forward(g, g.toCompute(x, true), noise, levels)));
  }

  /**
   * {@code denoise(x, sigma, rows, columns, height, width)}: sigma is {@code [1, 1, 1, 1]}, or
   * {@code [1 or N, 1, H, W]} for a network with a noise map; rows and columns pad, height and
   * width take the picture's own back.
   */
  private void denoise(Graph g, DenoisingUNet net) {
    Value x = g.input("x");
    Value sigma = g.input("sigma");
    Value rows = g.input("rows");
    Value columns = g.input("columns");
    Value levels = config.noiseMap() ? g.pick(sigma, rows, columns) : sigma;
    DenoisingUNet.Preconditioning at = net.precondition(g, g.pick(x, rows, columns), levels);
    Value f =
        g.self(
            "forward",
            Stream.of(at.input(), at.noise(), at.map()).filter(Objects::nonNull).toList());
    Value clean = g.add(at.base(), g.mul(at.out(), f));
    g.returns(g.pick(clean, g.input("height"), g.input("width")));
  }

  static PriorTraits traits(Checkpoint checkpoint) {
    return traits(DenoisingUNet.Config.of(checkpoint.config(PART)));
  }

  private static PriorTraits traits(DenoisingUNet.Config config) {
    return new PriorTraits(true, false, config.noiseMap(), false);
  }

  @Override
  public PriorTraits traits() {
    return traits(config);
  }

  @Override
  public NoiseSchedule schedule() {
    return schedule;
  }

  @Override
  public LatentDiffusionModel bind(int height, int width) {
    return new BoundPixelPrior(this, height, width);
  }

  DenoisingUNet.Config config() {
    return config;
  }

  @Override
  ScriptModule network() {
    return network;
  }

  /**
   * {@inheritDoc}
   *
   * <p>Parts: {@code denoiser} (x: filled and scaled by c_in; noise: ln(sigma)/4, of the smallest
   * level where the network takes a noise map; then also map: distance of each pixel's ln(sigma)/4
   * from it).
   */
  @Override
  public HostTensor trace(String part, Map<String, HostTensor> inputs) {
    if (!part.equals(PART)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "part: " + part + " is not " + PART);
    }
    HostTensor x = TraceInputs.checked(inputs, "x", 4, config.channels(), config.stride());
    HostTensor noise = TraceInputs.checked(inputs, "noise", 1, -1, 1, x.shape().get(0));
    try (NDManager scratch = manager().newSubManager()) {
      NDList all = new NDList(x.to(scratch), noise.to(scratch));
      if (config.noiseMap()) {
        Shape s = x.shape();
        Shape each = new Shape(s.get(0), 1, s.get(2), s.get(3));
        all.add(TraceInputs.exactly(inputs, "map", each).to(scratch));
      }
      return HostTensor.of(network.call("forward", all.toArray(new NDArray[0]))[0]);
    }
  }
}
