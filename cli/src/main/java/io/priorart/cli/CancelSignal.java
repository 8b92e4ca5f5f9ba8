package io.priorart.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Turns SIGTERM and SIGINT into a polite stop: {@link #getAsBoolean} becomes true and the JVM waits
 * until the command has let go of the networks, because leaving it inside a native call crashes it.
 * The exit code stays the signal's.
 */
final class CancelSignal implements BooleanSupplier, AutoCloseable {
  private static final long GRACE_SECONDS = 60;

  private final CountDownLatch finished = new CountDownLatch(1);
  private final Thread hook = new Thread(this::stop);
  private volatile boolean cancelled;

  CancelSignal() {
    Runtime.getRuntime().addShutdownHook(hook);
  }

  private void stop() {
    cancelled = true;
    try {
      finished.await(GRACE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public boolean getAsBoolean() {
    return cancelled;
  }

  @Override
  public void close() {
    finished.countDown();
    if (!cancelled) {
      try {
        Runtime.getRuntime().removeShutdownHook(hook);
      } catch (IllegalStateException shuttingDown) {
        // the signal came between the two lines; the hook finds the latch open
      }
    }
  }
}
