package io.priorart.solver;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.time.Duration;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * One solve's surroundings: its seeded noise, its manager, progress, and the reasons to stop. Used
 * by one thread.
 */
public final class SolveContext {
  private final NDManager manager;
  private final Conditioning conditioning;
  private final long seed;
  private final NoiseSource noise;
  private final SolveListener listener;
  private final BooleanSupplier cancelled;
  private final long deadlineNanos;
  private final boolean hasDeadline;

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
        new NoiseSource(seed),
        listener,
        cancelled,
        budget == null ? 0 : System.nanoTime() + budget.toNanos(),
        budget != null);
  }

  private SolveContext(
      NDManager manager,
      Conditioning conditioning,
      long seed,
      NoiseSource noise,
      SolveListener listener,
      BooleanSupplier cancelled,
      long deadlineNanos,
      boolean hasDeadline) {
    this.manager = manager;
    this.conditioning = conditioning;
    this.seed = seed;
    this.noise = noise;
    this.listener = listener;
    this.cancelled = cancelled;
    this.deadlineNanos = deadlineNanos;
    this.hasDeadline = hasDeadline;
  }

  /** This with its noise from elsewhere. */
  public SolveContext withNoise(NoiseSource other) {
    return new SolveContext(
        manager, conditioning, seed, other, listener, cancelled, deadlineNanos, hasDeadline);
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

  public NoiseSource noise() {
    return noise;
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
      throw new PriorArtException(ErrorKind.DEADLINE_EXCEEDED, "the solve's time budget ran out");
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

  /**
   * Offers the current clean picture {@code [1, 3, H, W]} as a preview, if anyone wants this
   * step's.
   */
  public void preview(int step, NDArray image) {
    if (listener.wantsPreview(step)) {
      listener.on(new SolveEvent.Preview(step, HostTensor.of(image)));
    }
  }
}
