package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.Suppression;
import io.priorart.solver.VelocityCurve;
import java.util.ArrayList;
import java.util.List;

/** A {@link DiffusionPipeline} seen through pictures of one size. */
final class BoundPipeline extends BoundPrior {
  // shares of the training timesteps: the noisiest fifth sees the prompt as it is, the next is
  // optimised, as the paper's 50 steps have it
  private static final double SUPPRESSED = 0.8;
  private static final double OPTIMISED = 0.6;
  private static final double RATE = 20;
  private static final double FALL = 0.9;

  private final DiffusionPipeline pipeline;
  private final Shape latentShape;
  private final CodecCalls whole = new CodecCalls();

  /** {@code null} where the auto-encoder takes the picture as a whole. */
  private final TiledCodec tiles;

  /** What an inpainting variant sees besides; made when it is first needed. */
  private HostTensor seen;

  BoundPipeline(DiffusionPipeline pipeline, int height, int width) {
    super(pipeline.codec().channels(), height, width, pipeline.stride());
    this.pipeline = pipeline;
    int stride = pipeline.codec().stride();
    latentShape =
        new Shape(
            pipeline.codec().latentChannels(),
            paddedRows.length / stride,
            paddedColumns.length / stride);
    boolean fits = Math.max(paddedRows.length, paddedColumns.length) <= pipeline.vaeTile();
    tiles =
        pipeline.vaeTile() == 0 || fits
            ? null
            : new TiledCodec(
                whole,
                pipeline.vaeTile() / stride,
                stride,
                latentShape,
                imageShape(),
                paddedRows,
                paddedColumns);
  }

  @Override
  public NDManager manager() {
    return pipeline.manager();
  }

  @Override
  public Shape latentShape() {
    return latentShape;
  }

  @Override
  public NoiseSchedule schedule() {
    return pipeline.schedule();
  }

  @Override
  public VelocityCurve velocityErrors() {
    return pipeline.velocityErrors();
  }

  @Override
  public NDArray encode(NDArray x) {
    encode.incrementAndGet();
    requireShape("picture", x, imageShape());
    return tiles == null ? whole.encode(x, paddedRows, paddedColumns) : tiles.encode(x);
  }

  @Override
  public Linearization encodeAt(NDArray x) {
    encode.incrementAndGet();
    requireShape("picture", x, imageShape());
    return counted(
        tiles == null ? whole.encodeAt(x, paddedRows, paddedColumns) : tiles.encodeAt(x),
        encodePullback);
  }

  @Override
  public NDArray decode(NDArray z) {
    decode.incrementAndGet();
    requireShape("latent", z, latentShape);
    return tiles == null ? whole.decode(z, height(), width()) : tiles.decode(z);
  }

  @Override
  public Linearization decodeAt(NDArray z) {
    decode.incrementAndGet();
    requireShape("latent", z, latentShape);
    return counted(
        tiles == null ? whole.decodeAt(z, height(), width()) : tiles.decodeAt(z), decodePullback);
  }

  private int height() {
    return (int) imageShape().get(1);
  }

  private int width() {
    return (int) imageShape().get(2);
  }

  /** One call of the auto-encoder's scripts. */
  private final class CodecCalls implements TiledCodec.Evaluator {
    @Override
    public NDArray encode(NDArray x, long[] rows, long[] columns) {
      try (Arguments a = picked(x, rows, columns)) {
        return a.call(pipeline.codec().encoder(), "encode");
      }
    }

    @Override
    public Linearization encodeAt(NDArray x, long[] rows, long[] columns) {
      return picked(x, rows, columns).linearize(pipeline.codec().encoder(), "encode");
    }

    @Override
    public NDArray decode(NDArray z, int rows, int columns) {
      try (Arguments a = picked(z, first(rows), first(columns))) {
        return a.call(pipeline.codec().decoder(), "decode");
      }
    }

    @Override
    public Linearization decodeAt(NDArray z, int rows, int columns) {
      return picked(z, first(rows), first(columns)).linearize(pipeline.codec().decoder(), "decode");
    }

    private Arguments picked(NDArray x, long[] rows, long[] columns) {
      NDManager m = x.getManager();
      return new Arguments(x, m.create(rows), m.create(columns));
    }
  }

  @Override
  public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
    return denoise(z, sigma, pipeline.prediction().timestep(schedule(), sigma), conditioning);
  }

  @Override
  public NDArray denoise(NDArray z, double sigma, double timestep, Conditioning conditioning) {
    denoise.addAndGet(conditioning.guided() ? 2 : 1);
    try (Arguments a = noisy(z, sigma, timestep, conditioning)) {
      return a.call(pipeline.denoiser(), DiffusionPipeline.method(conditioning));
    }
  }

  @Override
  public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
    denoise.addAndGet(conditioning.guided() ? 2 : 1);
    double timestep = pipeline.prediction().timestep(schedule(), sigma);
    return counted(
        noisy(z, sigma, timestep, conditioning)
            .linearize(pipeline.denoiser(), DiffusionPipeline.method(conditioning)),
        denoisePullback);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Prompts in one vector, where the family takes them beside the tokens, are constants.
   */
  @Override
  public Linearization denoiseAtText(NDArray z, double sigma, Conditioning conditioning) {
    requireShape("latent", z, latentShape);
    if (conditioning.guided()) {
      throw new IllegalArgumentException("one branch has a gradient in its text, guidance has two");
    }
    if (conditioning.suppression() != null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "suppress: changes the prompt's embedding itself; not for a solver that tunes it");
    }
    denoise.incrementAndGet();
    double timestep = pipeline.prediction().timestep(schedule(), sigma);
    return counted(
        noisy(z, sigma, timestep, conditioning, conditioning.positive())
            .linearize(
                pipeline.denoiser(),
                DiffusionPipeline.method(conditioning),
                pipeline.contextIndex()),
        denoisePullback);
  }

  private Arguments noisy(NDArray z, double sigma, double t, Conditioning conditioning) {
    requireShape("latent", z, latentShape);
    if (conditioning.suppression() == null || conditioning.positive() == null) {
      return noisy(z, sigma, t, conditioning, conditioning.positive());
    }
    double share = t / schedule().trainTimesteps();
    if (share > SUPPRESSED) {
      return noisy(z, sigma, t, conditioning, conditioning.positive());
    }
    Suppression suppression = conditioning.suppression();
    if (share <= OPTIMISED || suppression.iterations() == 0) {
      return noisy(z, sigma, t, conditioning, suppression.embedding());
    }
    NDArray optimised = optimised(z, sigma, t, conditioning);
    return noisy(z, sigma, t, conditioning, optimised).owning(optimised);
  }

  /**
   * Inference-time text embedding optimisation: gradient steps by which the attention stays where
   * it is for the words to be shown, and leaves where it is for those that are not (arXiv
   * 2402.05375, equations 3 to 6). The steps are the authors' code's, 20 times a root that falls
   * with the timestep.
   */
  private NDArray optimised(NDArray z, double sigma, double t, Conditioning conditioning) {
    Conditioning plain =
        new Conditioning(conditioning.positive(), null, 1, conditioning.positivePooled(), null);
    Suppression suppression = conditioning.suppression();
    double rate = RATE * Math.sqrt(1 - FALL * (1 - t / schedule().trainTimesteps()));
    int at = pipeline.contextIndex();
    try (NDManager scratch = z.getManager().newSubManager()) {
      NDArray own = z.duplicate();
      own.attach(scratch);
      NDArray[] maps;
      denoise.incrementAndGet();
      try (Arguments a = noisy(own, sigma, t, plain, plain.positive())) {
        maps = a.callAll(pipeline.attention(), "maps");
      }
      long n = z.getShape().get(0);
      NDArray embedding = suppression.embedding().repeat(0, n);
      embedding.attach(scratch);
      for (int i = 0; i < suppression.iterations(); i++) {
        denoise.incrementAndGet();
        try (Linearization loss =
            counted(
                noisy(own, sigma, t, plain, embedding)
                    .with(maps)
                    .with(suppression.retain(), suppression.suppress())
                    .linearize(pipeline.attention(), "loss", at),
                denoisePullback)) {
          NDArray gradient = loss.pullback(loss.value().onesLike());
          embedding = embedding.sub(gradient.mul(rate));
        }
      }
      embedding.attach(z.getManager());
      return embedding;
    }
  }

  private Arguments noisy(
      NDArray z, double sigma, double t, Conditioning conditioning, NDArray positive) {
    requireSigma(sigma);
    if (conditioning.positive() == null) {
      throw PriorArtException.badField(
          "conditioning", "this checkpoint takes text; condition on \"\" for none");
    }
    NDManager m = z.getManager();
    PredictionType prediction = pipeline.prediction();
    NDArray rates =
        m.create(
            new float[] {
              (float) prediction.inputScale(sigma),
              (float) prediction.skip(sigma),
              (float) prediction.out(sigma),
              (float) conditioning.guidanceScale()
            });
    List<NDArray> owned = new ArrayList<>();
    owned.add(rates);
    owned.add(m.create(new float[] {(float) t}));
    if (pipeline.inpaints()) {
      owned.add(allToRepaint(m));
    }
    if (pipeline.takesSizes()) {
      float height = imageShape().get(1);
      float width = imageShape().get(2);
      owned.add(m.create(new float[] {height, width, 0, 0, height, width}, new Shape(1, 6)));
    }
    if (pipeline.guidanceEmbedding() > 0) {
      owned.add(guidanceEmbedding(m, conditioning.guidanceScale()));
    }
    // the arguments close what they own: the text is the caller's
    List<NDArray> text = new ArrayList<>();
    text.add(positive);
    if (pipeline.takesPooled()) {
      text.add(conditioning.positivePooled());
    }
    if (conditioning.guided()) {
      text.add(conditioning.negative());
      if (pipeline.takesPooled()) {
        text.add(conditioning.negativePooled());
      }
    }
    return new Arguments(z, owned.toArray(new NDArray[0])).with(text.toArray(new NDArray[0]));
  }

  /** A mask of ones and the latent of a picture of zeros, {@code [1, 1 + c, h, w]}. */
  private synchronized NDArray allToRepaint(NDManager target) {
    if (seen == null) {
      try (NDManager scratch = pipeline.manager().newSubManager()) {
        NDArray grey = scratch.zeros(new Shape(1).addAll(imageShape()));
        NDArray latent =
            tiles == null ? whole.encode(grey, paddedRows, paddedColumns) : tiles.encode(grey);
        NDArray mask = scratch.ones(new Shape(1, 1, latentShape.get(1), latentShape.get(2)));
        seen = HostTensor.of(mask.concat(latent, 1));
      }
    }
    return seen.to(target);
  }

  /**
   * {@code [sin, cos](1000 (w - 1) 10000^(-i/(n/2 - 1)))}, the embedding of a guidance scale w that
   * latent consistency models are trained with (Meng et al., "On Distillation of Guided Diffusion
   * Models", CVPR 2023, arXiv 2210.03142; Luo et al. 2023, arXiv 2310.04378).
   */
  private NDArray guidanceEmbedding(NDManager target, double guidanceScale) {
    int width = pipeline.guidanceEmbedding();
    int half = width / 2;
    float[] embedding = new float[width];
    for (int i = 0; i < half; i++) {
      double angle = 1000 * (guidanceScale - 1) * Math.pow(10000, -i / (half - 1.0));
      embedding[i] = (float) Math.sin(angle);
      embedding[half + i] = (float) Math.cos(angle);
    }
    return target.create(embedding, new Shape(1, width));
  }

  @Override
  public Conditioning condition(NDManager manager, Prompt prompt) {
    return pipeline.condition(manager, prompt);
  }
}
