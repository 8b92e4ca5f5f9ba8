package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConvexPotential;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.util.Map;

/**
 * A learned proximal operator of pictures ({@link ConvexPotential}): no diffusion model, knows one
 * noise level. Folder layout: {@code docs/design/pixel-prior.md}.
 *
 * <p>It computes in float32 whatever is asked for: its output is the gradient of a network whose
 * softplus bends within a hundredth.
 */
public final class ProximalPrior extends PicturePrior {
  /** Named in the folder's {@code model_index.json}. */
  public static final String CLASS_NAME = "LearnedProximalPipeline";

  /** The network's folder. */
  public static final String PART = "proximal";

  private final ConvexPotential.Config config;
  private final NoiseSchedule schedule;
  private final ScriptModule network;

  ProximalPrior(Checkpoint checkpoint, CompileOptions options) {
    super(checkpoint, Precision.FLOAT32);
    try {
      config = ConvexPotential.Config.of(checkpoint.config(PART));
      schedule = VariancePreservingSchedule.logarithmic(2, config.sigma() / 2, config.sigma());
      CompileOptions exact = options.withPrecision(Precision.FLOAT32);
      ScriptBuilder builder = new ScriptBuilder("ConvexPotential", exact);
      ConvexPotential net = new ConvexPotential(config, builder.weights());
      proximal(builder.method("proximal"), net);
      Graph g = builder.method("potential");
      g.returns(net.potential(g, g.toCompute(g.input("x"), true)));
      TensorSource weights = checkpoint.weights(PART);
      network = ScriptModule.load(manager(), builder.build(), weights);
      requireConvex(weights);
    } catch (RuntimeException e) {
      manager().close();
      throw e;
    }
  }

  /** What the network promises holds only with weights of this sign. */
  private void requireConvex(TensorSource weights) {
    try (NDManager scratch = manager().newSubManager()) {
      requireConvex(weights, scratch);
    }
  }

  private static void requireConvex(TensorSource weights, NDManager scratch) {
    for (String name : weights.shapes().keySet()) {
      if (name.endsWith(ConvexPotential.NON_NEGATIVE)) {
        for (float w : weights.read(scratch, name).values()) {
          if (!(w >= 0)) {
            throw new PriorArtException(
                ErrorKind.INVALID_ARGUMENT,
                weights.name() + ": " + name + " must not be negative, holds " + w);
          }
        }
      }
    }
  }

  /**
   * {@code proximal(x, rows, columns, height, width)}: rows and columns pad, height and width take
   * the picture's own back. That is no longer a gradient at the borders of a padded picture.
   */
  private static void proximal(Graph g, ConvexPotential net) {
    Value x = g.toCompute(g.pick(g.input("x"), g.input("rows"), g.input("columns")), true);
    g.returns(g.pick(net.proximal(g, x, false), g.input("height"), g.input("width")));
  }

  static PriorTraits traits(Checkpoint checkpoint) {
    ConvexPotential.Config.of(checkpoint.config(PART));
    return TRAITS;
  }

  private static final PriorTraits TRAITS = new PriorTraits(true, false, false, false, true);

  @Override
  public PriorTraits traits() {
    return TRAITS;
  }

  /** Of its one level and half of it, for what wants a range. */
  @Override
  public NoiseSchedule schedule() {
    return schedule;
  }

  /** Pixels that a picture's sides must be multiples of for a potential. */
  public int stride() {
    return config.stride();
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
   * <p>Parts: {@code proximal} (x; gives psi(x)).
   */
  @Override
  public HostTensor trace(String part, Map<String, HostTensor> inputs) {
    if (!part.equals(PART)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "part: " + part + " is not " + PART);
    }
    HostTensor x = TraceInputs.checked(inputs, "x", 4, config.channels(), config.stride());
    try (NDManager scratch = manager().newSubManager()) {
      return HostTensor.of(network.call("potential", x.to(scratch))[0]);
    }
  }

  /** This seen through pictures of one size. */
  private final class Bound extends BoundPictures implements LearnedProximal {
    Bound(int height, int width) {
      super(ProximalPrior.this, config.channels(), height, width, config.stride());
    }

    @Override
    public NDManager manager() {
      return ProximalPrior.this.manager();
    }

    @Override
    public LearnedProximal proximal() {
      return this;
    }

    @Override
    public double sigma() {
      return config.sigma();
    }

    @Override
    public NDArray apply(NDArray x) {
      requireShape("picture", x, imageShape());
      denoise.incrementAndGet();
      NDManager m = x.getManager();
      try (Arguments a =
          new Arguments(
              x,
              m.create(paddedRows),
              m.create(paddedColumns),
              m.create(first(imageShape().get(1))),
              m.create(first(imageShape().get(2))))) {
        return a.callWithGradients(network, "proximal");
      }
    }

    /**
     * {@inheritDoc}
     *
     * @throws PriorArtException FAILED_PRECONDITION for a size that would be padded
     */
    @Override
    public NDArray potential(NDArray x) {
      requireShape("picture", x, imageShape());
      int stride = config.stride();
      if (imageShape().get(1) % stride != 0 || imageShape().get(2) % stride != 0) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION,
            "size: must be multiples of "
                + stride
                + " pixels for a potential, was "
                + imageShape().get(2)
                + "x"
                + imageShape().get(1));
      }
      denoise.incrementAndGet();
      try (Arguments a = new Arguments(x)) {
        return a.call(network, "potential");
      }
    }

    @Override
    public NDArray denoise(NDArray x, double sigma, Conditioning conditioning) {
      throw noDenoiser();
    }

    @Override
    public Linearization denoiseAt(NDArray x, double sigma, Conditioning conditioning) {
      throw noDenoiser();
    }

    private PriorArtException noDenoiser() {
      return new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: "
              + name()
              + " is a learned proximal operator, not a denoiser of any noise level");
    }
  }
}
