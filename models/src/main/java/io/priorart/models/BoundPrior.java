package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.PriorArtException;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/** What every {@link Prior} bound to a picture size shares: its shape, padding and counters. */
abstract class BoundPrior implements LatentDiffusionModel {
  final AtomicLong denoise = new AtomicLong();
  final AtomicLong denoisePullback = new AtomicLong();
  final AtomicLong encode = new AtomicLong();
  final AtomicLong encodePullback = new AtomicLong();
  final AtomicLong decode = new AtomicLong();
  final AtomicLong decodePullback = new AtomicLong();
  private final AtomicLong nanos = new AtomicLong();
  private final Shape imageShape;
  final long[] paddedRows;
  final long[] paddedColumns;

  /**
   * @param stride that a padded picture's sides are multiples of
   */
  BoundPrior(int channels, int height, int width, int stride) {
    if (height < 1 || width < 1) {
      throw PriorArtException.badField("size", "must be positive, was " + width + "x" + height);
    }
    imageShape = new Shape(channels, height, width);
    paddedRows = reflected(height, stride);
    paddedColumns = reflected(width, stride);
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

  static long[] first(long count) {
    long[] indices = new long[Math.toIntExact(count)];
    for (int i = 0; i < indices.length; i++) {
      indices[i] = i;
    }
    return indices;
  }

  @Override
  public final Shape imageShape() {
    return imageShape;
  }

  static void requireSigma(double sigma) {
    if (!(sigma > 0 && sigma < 1e6)) {
      throw PriorArtException.badField("sigma", "must be more than 0, was " + sigma);
    }
  }

  @Override
  public final EvaluationCounts counts() {
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

  static void requireShape(String what, NDArray x, Shape expected) {
    Shape shape = x.getShape();
    if (shape.dimension() != 4 || !shape.slice(1).equals(expected)) {
      throw new IllegalArgumentException(
          what + " is " + shape + ", this model takes [N] and " + expected);
    }
  }

  /** A linearisation whose pullbacks are counted. */
  static Linearization counted(Linearization inner, AtomicLong pullbacks) {
    return Linearization.of(
        inner.value(),
        cotangent -> {
          pullbacks.incrementAndGet();
          return inner.pullback(cotangent);
        },
        inner::close);
  }

  /** A call's arguments; owns all but the first and those added by {@link #with}. */
  final class Arguments implements AutoCloseable {
    private NDArray[] owned;
    private NDArray[] all;

    Arguments(NDArray first, NDArray... owned) {
      this.owned = owned;
      all = new NDArray[owned.length + 1];
      all[0] = first;
      System.arraycopy(owned, 0, all, 1, owned.length);
    }

    Arguments with(NDArray... more) {
      NDArray[] longer = Arrays.copyOf(all, all.length + more.length);
      System.arraycopy(more, 0, longer, all.length, more.length);
      all = longer;
      return this;
    }

    /** Closes these, too. */
    Arguments owning(NDArray... more) {
      NDArray[] longer = Arrays.copyOf(owned, owned.length + more.length);
      System.arraycopy(more, 0, longer, owned.length, more.length);
      owned = longer;
      return this;
    }

    NDArray[] callAll(ScriptModule module, String method) {
      return timed(() -> module.call(method, all));
    }

    NDArray call(ScriptModule module, String method) {
      return timed(() -> module.call(method, all)[0]);
    }

    /** {@link #call} of a method that differentiates inside the script. */
    NDArray callWithGradients(ScriptModule module, String method) {
      return timed(() -> module.callWithGradients(method, all)[0]);
    }

    /** Takes the arguments along: they close with it. */
    Linearization linearize(ScriptModule module, String method) {
      return linearize(module, method, 0);
    }

    /** In argument {@code wrt}. */
    Linearization linearize(ScriptModule module, String method, int wrt) {
      Linearization inner;
      try {
        inner = timed(() -> module.linearize(method, wrt, all));
      } catch (RuntimeException e) {
        close();
        throw e;
      }
      return Linearization.of(
          inner.value(),
          cotangent -> timed(() -> inner.pullback(cotangent)),
          () -> {
            inner.close();
            Arguments.this.close();
          });
    }

    @Override
    public void close() {
      for (NDArray array : owned) {
        array.close();
      }
    }
  }
}
