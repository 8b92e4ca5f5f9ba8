package io.priorart.models.engine;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.BooleanSupplier;

/**
 * How the process ends: on SIGTERM, SIGINT or {@code System.exit} running tasks are told to stop
 * and waited for, then no native call may begin, then the JVM leaves. Leaving it inside a native
 * call crashes it.
 *
 * <p>One shutdown hook does all of it, because hooks of their own would run at once and block each
 * other. The exit code stays that of the signal.
 */
public final class GracefulExit {
  private static final Duration GRACE = Duration.ofSeconds(60);

  private static final Set<Task> TASKS = ConcurrentHashMap.newKeySet();

  /** Native calls hold the read lock; the hook takes the write lock and never gives it back. */
  private static final ReentrantReadWriteLock NATIVE_CALLS = new ReentrantReadWriteLock();

  static {
    Runtime.getRuntime().addShutdownHook(new Thread(GracefulExit::stop, "graceful-exit"));
  }

  private GracefulExit() {}

  /** Something that runs and can be asked to stop; true = it should. Close it when it has ended. */
  public static final class Task implements BooleanSupplier, AutoCloseable {
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Duration grace;
    private volatile boolean stop;

    private Task(Duration grace) {
      this.grace = grace;
    }

    @Override
    public boolean getAsBoolean() {
      return stop;
    }

    @Override
    public void close() {
      TASKS.remove(this);
      ended.countDown();
    }
  }

  /** Registers the caller's task, which will end within a minute of being told to. */
  public static Task begin() {
    return begin(GRACE);
  }

  /**
   * Registers the caller's task.
   *
   * @param grace how long it may take to end after being told to; the process waits no longer
   */
  public static Task begin(Duration grace) {
    Task task = new Task(grace);
    TASKS.add(task);
    return task;
  }

  static void enterNative() {
    NATIVE_CALLS.readLock().lock();
  }

  static void leaveNative() {
    NATIVE_CALLS.readLock().unlock();
  }

  private static void stop() {
    long begin = System.nanoTime();
    for (Task task : TASKS) {
      task.stop = true;
    }
    try {
      for (Task task : TASKS) {
        long left = task.grace.toNanos() - (System.nanoTime() - begin);
        task.ended.await(left, TimeUnit.NANOSECONDS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    NATIVE_CALLS.writeLock().lock();
  }
}
