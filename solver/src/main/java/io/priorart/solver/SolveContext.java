package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * One solve's surroundings: its seeded noise, its manager, progress, what is kept of it, and the
 * reasons to stop. Used by one thread, for one solve.
 */
public final class SolveContext {
  private final NDManager manager;
  private final Conditioning conditioning;
  private final long seed;
  private final int samples;

  /** Of each sample, made when first asked for. */
  private final List<NoiseSource> noise;

  private final SolveListener listener;
  private final SolveStates states;
  private final BooleanSupplier cancelled;
  private final long deadlineNanos;
  private final boolean hasDeadline;

  private final boolean keepBest;

  private long stream = -1;
  private HostTensor best;
  private int bestStep;
  private int cutShortAfter;

  /**
   * A solve without text.
   *
   * @see #SolveContext(NDManager, Conditioning, long, SolveListener, BooleanSupplier, Duration)
   */
  public SolveContext(
      NDManager manager,
      long seed,
      SolveListener listener,
      BooleanSupplier cancelled,
      Duration budget) {
    this(manager, Conditioning.NONE, seed, listener, cancelled, budget);
  }

  /**
   * @param manager where the solve allocates; the caller closes it
   * @param conditioning what every denoiser evaluation of the solve is given, from {@link
   *     LatentDiffusionModel#condition}; lives at least as long as the solve
   * @param seed any long; 0 is a seed like any other
   * @param cancelled polled at every checkpoint
   * @param budget time from now, {@code null} for none
   */
  public SolveContext(
      NDManager manager,
      Conditioning conditioning,
      long seed,
      SolveListener listener,
      BooleanSupplier cancelled,
      Duration budget) {
    this(
        manager,
        conditioning,
        seed,
        1,
        null,
        listener,
        SolveStates.NONE,
        cancelled,
        budget == null ? 0 : System.nanoTime() + budget.toNanos(),
        budget != null,
        false);
  }

  private SolveContext(
      NDManager manager,
      Conditioning conditioning,
      long seed,
      int samples,
      NoiseSource first,
      SolveListener listener,
      SolveStates states,
      BooleanSupplier cancelled,
      long deadlineNanos,
      boolean hasDeadline,
      boolean keepBest) {
    this.manager = manager;
    this.conditioning = conditioning;
    this.seed = seed;
    this.samples = samples;
    noise = new ArrayList<>(List.of(first == null ? new NoiseSource(seed) : first));
    this.listener = listener;
    this.states = states;
    this.cancelled = cancelled;
    this.deadlineNanos = deadlineNanos;
    this.hasDeadline = hasDeadline;
    this.keepBest = keepBest;
  }

  /** This with its noise from elsewhere, for one sample. */
  public SolveContext withNoise(NoiseSource other) {
    return new SolveContext(
        manager,
        conditioning,
        seed,
        1,
        other,
        listener,
        states,
        cancelled,
        deadlineNanos,
        hasDeadline,
        keepBest);
  }

  /**
   * This for a batch of samples; sample {@code k} draws what a solve alone with {@code seed + k}
   * draws.
   */
  public SolveContext withSamples(int count) {
    return new SolveContext(
        manager,
        conditioning,
        seed,
        count,
        null,
        listener,
        states,
        cancelled,
        deadlineNanos,
        hasDeadline,
        keepBest);
  }

  /** This with its state kept between steps, or gone on from. */
  public SolveContext withStates(SolveStates kept) {
    return new SolveContext(
        manager,
        conditioning,
        seed,
        samples,
        null,
        listener,
        kept,
        cancelled,
        deadlineNanos,
        hasDeadline,
        keepBest);
  }

  /** This, with each estimate kept for {@link #bestInstead}. */
  public SolveContext keepingBest() {
    return new SolveContext(
        manager,
        conditioning,
        seed,
        samples,
        null,
        listener,
        states,
        cancelled,
        deadlineNanos,
        hasDeadline,
        true);
  }

  /** No listener, no cancellation, no deadline. */
  public static SolveContext of(NDManager manager, long seed) {
    return new SolveContext(manager, seed, SolveListener.NONE, () -> false, null);
  }

  public NDManager manager() {
    return manager;
  }

  /** The text conditioning of every denoiser evaluation. */
  public Conditioning conditioning() {
    return conditioning;
  }

  public long seed() {
    return seed;
  }

  /** How many samples are solved as one batch. */
  public int samples() {
    return samples;
  }

  /** Of the first sample, and of what all of them share. */
  public NoiseSource noise() {
    return noise(0);
  }

  /** Of sample {@code k}: that of a solve alone with {@code seed + k}. */
  public NoiseSource noise(int k) {
    while (noise.size() <= k) {
      NoiseSource next = new NoiseSource(seed + noise.size());
      if (stream >= 0) {
        next.restart(seed + noise.size(), stream);
      }
      noise.add(next);
    }
    return noise.get(k);
  }

  /** {@code [count, one...]} of standard normal values, each sample's from its own source. */
  public NDArray normal(NDManager target, int count, Shape one) {
    Shape shape = new Shape(1).addAll(one);
    if (count == 1) {
      return noise(0).normal(target, shape);
    }
    int size = Math.toIntExact(one.size());
    float[] all = new float[Math.multiplyExact(size, count)];
    for (int k = 0; k < count; k++) {
      System.arraycopy(noise(k).normal(shape).values(), 0, all, k * size, size);
    }
    return target.create(all, new Shape(count).addAll(one));
  }

  /**
   * All samples draw from stream {@code index} of their seeds from now on, so that a step draws the
   * same whether or not the solve was interrupted before it.
   */
  public void drawFromStream(long index) {
    stream = index;
    for (int k = 0; k < noise.size(); k++) {
      noise.get(k).restart(seed + k, index);
    }
  }

  /** Where the solve's state is kept. */
  public SolveStates states() {
    return states;
  }

  public SolveListener listener() {
    return listener;
  }

  /**
   * Throws when the caller has cancelled or the deadline has passed. Call it before every network
   * evaluation and inner iteration; it costs nothing.
   */
  public void checkpoint() {
    if (cancelled.getAsBoolean() || Thread.currentThread().isInterrupted()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "the solve was cancelled");
    }
    if (hasDeadline && System.nanoTime() - deadlineNanos > 0) {
      throw new PriorArtException(
          ErrorKind.DEADLINE_EXCEEDED,
          "the solve's time budget ran out"
              + (keepBest && best == null ? " before its first estimate; give it more" : ""));
    }
  }

  /**
   * Ends a step: {@link #checkpoint()}, divergence check, progress.
   *
   * @param step 1-based
   * @param totalSteps planned steps
   * @param residualRms {@code RMS(y - A x)} of the current clean estimate, internal scale
   * @throws PriorArtException {@link ErrorKind#DIVERGED} when {@code residualRms} is not finite
   */
  public void step(int step, int totalSteps, double residualRms) {
    checkpoint();
    if (!Double.isFinite(residualRms)) {
      throw new PriorArtException(
          ErrorKind.DIVERGED,
          "non-finite values at step " + step + " of " + totalSteps + "; try a smaller step size",
          Map.of("step", Integer.toString(step), "residual", Double.toString(residualRms)),
          null);
    }
    listener.on(new SolveEvent.Step(step, totalSteps, residualRms));
  }

  /** Ends a step of which no residual is known, because the picture was not decoded. */
  public void step(int step, int totalSteps) {
    checkpoint();
    listener.on(new SolveEvent.Step(step, totalSteps, Double.NaN));
  }

  /**
   * Tells of the current clean pictures, {@code [samples, C, H, W]}: the first is offered as a
   * preview, if anyone wants this step's, and all are what is left if the solve is cut short.
   */
  public void estimate(int step, NDArray pictures) {
    if (keepBest) {
      best = HostTensor.of(pictures);
      bestStep = step;
    }
    preview(step, pictures);
  }

  /** {@link #estimate} of pictures that are worse than the last ones: a preview alone. */
  public void preview(int step, NDArray pictures) {
    if (listener.wantsPreview(step)) {
      listener.on(new SolveEvent.Preview(step, HostTensor.of(pictures.get("0:1"))));
    }
  }

  /**
   * What a caller takes for a solve that stopped for {@code reason}: the last estimate, in {@link
   * #manager}; {@link #cutShortAfter} then tells its step.
   *
   * @throws PriorArtException {@code reason} itself, where no estimate was kept
   */
  public NDArray bestInstead(PriorArtException reason) {
    if (best == null) {
      throw reason;
    }
    cutShortAfter = bestStep;
    return best.to(manager);
  }

  /** The step (1-based) whose estimate {@link #bestInstead} gave; 0 where it was not asked. */
  public int cutShortAfter() {
    return cutShortAfter;
  }
}
