package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.Conditioning;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/** A {@link DiffusionPipeline} seen through pictures of one size. */
final class BoundPipeline implements LatentDiffusionModel {
  private final DiffusionPipeline pipeline;
  private final Shape imageShape;
  private final Shape latentShape;
  private final long[] paddedRows;
  private final long[] paddedColumns;
  private final AtomicLong denoise = new AtomicLong();
  private final AtomicLong denoisePullback = new AtomicLong();
  private final AtomicLong encode = new AtomicLong();
  private final AtomicLong encodePullback = new AtomicLong();
  private final AtomicLong decode = new AtomicLong();
  private final AtomicLong decodePullback = new AtomicLong();
  private final AtomicLong nanos = new AtomicLong();

  BoundPipeline(DiffusionPipeline pipeline, int height, int width) {
    if (height < 1 || width < 1) {
      throw PriorArtException.badField("size", "must be positive, was " + width + "x" + height);
    }
    this.pipeline = pipeline;
    imageShape = new Shape(pipeline.vae().inChannels(), height, width);
    paddedRows = reflected(height, pipeline.stride());
    paddedColumns = reflected(width, pipeline.stride());
    int stride = pipeline.vae().stride();
    latentShape =
        new Shape(
            pipeline.vae().latentChannels(),
            paddedRows.length / stride,
            paddedColumns.length / stride);
  }

  /**
   * Indices 0..size-1, continued by reflection about the last one to a multiple of {@code stride}.
   */
  private static long[] reflected(int size, int stride) {
    long[] indices = new long[(size + stride - 1) / stride * stride];
    int period = Math.max(1, 2 * (size - 1));
    for (int i = 0; i < indices.length; i++) {
      int phase = i % period;
      indices[i] = phase < size ? phase : period - phase;
    }
    return indices;
  }

  private static long[] first(long count) {
    long[] indices = new long[Math.toIntExact(count)];
    for (int i = 0; i < indices.length; i++) {
      indices[i] = i;
    }
    return indices;
  }

  @Override
  public NDManager manager() {
    return pipeline.manager();
  }

  @Override
  public Shape imageShape() {
    return imageShape;
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
  public NDArray encode(NDArray x) {
    encode.incrementAndGet();
    try (Arguments a = picture(x)) {
      return a.call(pipeline.encoder(), "encode");
    }
  }

  @Override
  public Linearization encodeAt(NDArray x) {
    encode.incrementAndGet();
    Arguments a = picture(x);
    return a.linearize(pipeline.encoder(), "encode", encodePullback);
  }

  private Arguments picture(NDArray x) {
    requireShape("picture", x, imageShape);
    NDManager m = x.getManager();
    return new Arguments(x, m.create(paddedRows), m.create(paddedColumns));
  }

  @Override
  public NDArray decode(NDArray z) {
    decode.incrementAndGet();
    try (Arguments a = latent(z)) {
      return a.call(pipeline.decoder(), "decode");
    }
  }

  @Override
  public Linearization decodeAt(NDArray z) {
    decode.incrementAndGet();
    return latent(z).linearize(pipeline.decoder(), "decode", decodePullback);
  }

  private Arguments latent(NDArray z) {
    requireShape("latent", z, latentShape);
    NDManager m = z.getManager();
    return new Arguments(z, m.create(first(imageShape.get(1))), m.create(first(imageShape.get(2))));
  }

  @Override
  public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
    denoise.addAndGet(conditioning.guided() ? 2 : 1);
    try (Arguments a = noisy(z, sigma, conditioning)) {
      return a.call(pipeline.unet(), method(conditioning));
    }
  }

  @Override
  public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
    denoise.addAndGet(conditioning.guided() ? 2 : 1);
    return noisy(z, sigma, conditioning)
        .linearize(pipeline.unet(), method(conditioning), denoisePullback);
  }

  private static String method(Conditioning conditioning) {
    return conditioning.guided() ? "denoise_guided" : "denoise";
  }

  private Arguments noisy(NDArray z, double sigma, Conditioning conditioning) {
    requireShape("latent", z, latentShape);
    if (!(sigma > 0 && sigma < 1e6)) {
      throw PriorArtException.badField("sigma", "must be more than 0, was " + sigma);
    }
    if (conditioning.positive() == null) {
      throw PriorArtException.badField(
          "conditioning", "this checkpoint takes text; condition on \"\" for none");
    }
    NDManager m = z.getManager();
    PredictionType prediction = pipeline.prediction();
    NDArray rates =
        m.create(
            new float[] {
              (float) (1 / Math.sqrt(1 + sigma * sigma)),
              (float) prediction.skip(sigma),
              (float) prediction.out(sigma),
              (float) conditioning.guidanceScale()
            });
    NDArray timestep = m.create(new float[] {(float) schedule().timestep(sigma)});
    // the arguments close what they own: the text is the caller's
    return conditioning.guided()
        ? new Arguments(z, rates, timestep).with(conditioning.positive(), conditioning.negative())
        : new Arguments(z, rates, timestep).with(conditioning.positive());
  }

  @Override
  public Conditioning condition(
      NDManager manager, String prompt, String negativePrompt, double guidanceScale) {
    return pipeline.condition(manager, prompt, negativePrompt, guidanceScale);
  }

  @Override
  public EvaluationCounts counts() {
    return new EvaluationCounts(
        denoise.get(),
        denoisePullback.get(),
        encode.get(),
        encodePullback.get(),
        decode.get(),
        decodePullback.get(),
        nanos.get() * 1e-9);
  }

  private <T> T timed(Supplier<T> evaluation) {
    long begin = System.nanoTime();
    try {
      return evaluation.get();
    } finally {
      nanos.addAndGet(System.nanoTime() - begin);
    }
  }

  private static void requireShape(String what, NDArray x, Shape expected) {
    Shape shape = x.getShape();
    if (shape.dimension() != 4 || !shape.slice(1).equals(expected)) {
      throw new IllegalArgumentException(
          what + " is " + shape + ", this model takes [N] and " + expected);
    }
  }

  /** A call's arguments; owns all but the first and those added by {@link #with}. */
  private final class Arguments implements AutoCloseable {
    private final NDArray[] owned;
    private NDArray[] all;

    Arguments(NDArray first, NDArray... owned) {
      this.owned = owned;
      all = new NDArray[owned.length + 1];
      all[0] = first;
      System.arraycopy(owned, 0, all, 1, owned.length);
    }

    Arguments with(NDArray... more) {
      NDArray[] longer = java.util.Arrays.copyOf(all, all.length + more.length);
      System.arraycopy(more, 0, longer, all.length, more.length);
      all = longer;
      return this;
    }

    NDArray call(ScriptModule module, String method) {
      return timed(() -> module.call(method, all)[0]);
    }

    Linearization linearize(ScriptModule module, String method, AtomicLong pullbacks) {
      Linearization inner;
      try {
        inner = timed(() -> module.linearize(method, 0, all));
      } catch (RuntimeException e) {
        close();
        throw e;
      }
      return new Linearization() {
        @Override
        public NDArray value() {
          return inner.value();
        }

        @Override
        public NDArray pullback(NDArray cotangent) {
          pullbacks.incrementAndGet();
          return timed(() -> inner.pullback(cotangent));
        }

        @Override
        public void close() {
          inner.close();
          Arguments.this.close();
        }
      };
    }

    @Override
    public void close() {
      for (NDArray array : owned) {
        array.close();
      }
    }
  }
}
