package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import java.util.List;
import java.util.Map;

/**
 * A diffusion model of pictures themselves in diffusers' layout: {@code UNet2DModel} and a
 * scheduler (Ho et al., NeurIPS 2020, arXiv 2006.11239), the identity as codec, no text.
 */
final class PixelDiffusion extends PicturePrior {
  static final List<String> CLASS_NAMES = List.of("DDPMPipeline", "DDIMPipeline");

  private static final String PART = "unet";

  private final UNet2DConditionModel.Config config;
  private final PriorTraits traits;
  private final PredictionType prediction;
  private final NoiseSchedule schedule;
  private final ScriptModule network;

  PixelDiffusion(Checkpoint checkpoint, CompileOptions options) {
    super(checkpoint, options.precision());
    try {
      ConfigNode c = checkpoint.config(PART);
      c.requireDefault("_class_name", "UNet2DModel");
      config = UNet2DConditionModel.Config.unconditional(c);
      if (config.inChannels() != config.outChannels()) {
        throw c.bad(
            "out_channels",
            "must be in_channels: a network that learnt its variance is not supported");
      }
      ConfigNode scheduler =
          checkpoint.config(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG);
      traits = traits(checkpoint);
      prediction = PredictionType.of(scheduler);
      schedule = DiffusionPipeline.schedule(scheduler);
      network = ScriptModule.load(manager(), script(options), checkpoint.weights(PART));
    } catch (RuntimeException e) {
      manager().close();
      throw e;
    }
  }

  /**
   * {@code forward(sample, timestep)}, the network alone; {@code denoise(x, rates, timestep, rows,
   * columns, height, width)}: rates are input scale, skip and out; rows and columns pad, height and
   * width take the picture's own back.
   */
  private Script script(CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("UNet2DModel", options);
    UNet2DConditionModel net = new UNet2DConditionModel(config, builder.weights());
    Graph plain = builder.method("forward");
    Value sample = plain.toCompute(plain.input("sample"), true);
    plain.returns(plain.toFloat32(net.forward(plain, sample, plain.input("timestep"), null)));
    Graph g = builder.method("denoise");
    Value x = g.input("x");
    Value rates = g.input("rates");
    Value timestep = g.input("timestep");
    Value padded = g.pick(x, g.input("rows"), g.input("columns"));
    Value scaled = g.mul(padded, g.slice(rates, 0, 0, 1));
    Value predicted = g.self("forward", List.of(scaled, timestep));
    Value clean =
        g.add(g.mul(padded, g.slice(rates, 0, 1, 2)), g.mul(predicted, g.slice(rates, 0, 2, 3)));
    g.returns(g.pick(clean, g.input("height"), g.input("width")));
    return builder.build();
  }

  static PriorTraits traits(Checkpoint checkpoint) {
    return new PriorTraits(true, false, false, DiffusionPipeline.fewStep(checkpoint));
  }

  @Override
  public PriorTraits traits() {
    return traits;
  }

  @Override
  public NoiseSchedule schedule() {
    return schedule;
  }

  @Override
  ScriptModule network() {
    return network;
  }

  @Override
  public LatentDiffusionModel bind(int height, int width) {
    return new Bound(height, width);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Parts: {@code unet} (sample, timestep).
   */
  @Override
  public HostTensor trace(String part, Map<String, HostTensor> inputs) {
    if (!part.equals(PART)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "part: " + part + " is not " + PART);
    }
    HostTensor sample =
        TraceInputs.checked(inputs, "sample", 4, config.inChannels(), config.stride());
    HostTensor timestep = TraceInputs.checked(inputs, "timestep", 1, -1, 1);
    try (NDManager scratch = manager().newSubManager()) {
      return HostTensor.of(network.call("forward", sample.to(scratch), timestep.to(scratch))[0]);
    }
  }

  /** This seen through pictures of one size. */
  private final class Bound extends BoundPictures {
    Bound(int height, int width) {
      super(PixelDiffusion.this, config.inChannels(), height, width, config.stride());
    }

    @Override
    public NDManager manager() {
      return PixelDiffusion.this.manager();
    }

    @Override
    public NDArray denoise(NDArray x, double sigma, Conditioning conditioning) {
      return denoise(x, sigma, prediction.timestep(schedule, sigma), conditioning);
    }

    @Override
    public NDArray denoise(NDArray x, double sigma, double timestep, Conditioning conditioning) {
      denoise.incrementAndGet();
      try (Arguments a = noisy(x, sigma, timestep)) {
        return a.call(network, "denoise");
      }
    }

    @Override
    public Linearization denoiseAt(NDArray x, double sigma, Conditioning conditioning) {
      denoise.incrementAndGet();
      return counted(
          noisy(x, sigma, prediction.timestep(schedule, sigma)).linearize(network, "denoise"),
          denoisePullback);
    }

    private Arguments noisy(NDArray x, double sigma, double timestep) {
      requireShape("picture", x, imageShape());
      requireSigma(sigma);
      NDManager m = x.getManager();
      float[] rates = {
        (float) prediction.inputScale(sigma),
        (float) prediction.skip(sigma),
        (float) prediction.out(sigma)
      };
      return new Arguments(
          x,
          m.create(rates),
          m.create(new float[] {(float) timestep}),
          m.create(paddedRows),
          m.create(paddedColumns),
          m.create(first(imageShape().get(1))),
          m.create(first(imageShape().get(2))));
    }
  }
}
