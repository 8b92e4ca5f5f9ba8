package io.priorart.runtime.service;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;

/**
 * A bounded queue before a number of solve slots. Each slot is a thread of its own; tasks start in
 * the order in which they came. Safe for concurrent use.
 */
public final class SolveQueue implements AutoCloseable {
  /** What a slot runs. */
  public interface Task {
    /**
     * Called from the slot's thread; must not throw.
     *
     * @param stop true once the task should end; its thread is interrupted as well
     */
    void run(Ticket ticket, BooleanSupplier stop);

    /** The task will never run: it was cancelled while it waited. Must not throw. */
    void abandoned(PriorArtException reason);

    /** Others left the queue; must return at once and not throw. */
    default void moved(int position) {}
  }

  private enum State {
    WAITING,
    RUNNING,
    ENDED
  }

  /** A task's place. */
  public final class Ticket {
    private final Task task;
    private final long enqueuedNanos = System.nanoTime();
    private State state = State.WAITING;
    private Thread thread;
    private volatile PriorArtException reason;

    private Ticket(Task task) {
      this.task = task;
    }

    /**
     * Ends the task: takes it out of the queue, or stops it within one evaluation. Only the first
     * reason counts; does nothing once it has ended.
     */
    public void cancel(PriorArtException why) {
      boolean waiting;
      lock.lock();
      try {
        if (state == State.ENDED || reason != null) {
          return;
        }
        reason = why;
        waiting = state == State.WAITING;
        if (waiting) {
          state = State.ENDED;
          waitingTickets.remove(this);
          changed.signalAll();
        } else {
          thread.interrupt();
        }
      } finally {
        lock.unlock();
      }
      if (waiting) {
        task.abandoned(why);
        announce();
      }
    }

    /** Why it was cancelled; {@code null} when it was not. */
    public PriorArtException reason() {
      return reason;
    }

    /** Time it has waited. */
    public Duration waited() {
      return Duration.ofNanos(System.nanoTime() - enqueuedNanos);
    }
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final ArrayDeque<Ticket> waitingTickets = new ArrayDeque<>();
  private final Set<Ticket> running = new HashSet<>();
  private final List<Thread> threads = new ArrayList<>();
  private final int slots;
  private final int capacity;
  private boolean closing;
  private double meanSeconds = 5;

  /**
   * @param slots tasks that run at a time, at least 1
   * @param capacity tasks that may wait, 0 or more
   */
  public SolveQueue(int slots, int capacity) {
    if (slots < 1 || slots > 1024) {
      throw PriorArtException.badField("slots", "must be 1 to 1024, was " + slots);
    }
    if (capacity < 0 || capacity > 100_000) {
      throw PriorArtException.badField("queue", "must be 0 to 100000, was " + capacity);
    }
    this.slots = slots;
    this.capacity = capacity;
    for (int i = 0; i < slots; i++) {
      Thread thread = new Thread(this::serve, "solve-" + i);
      thread.setDaemon(true);
      thread.start();
      threads.add(thread);
    }
  }

  /** A ticket and how many are before it; 0 = it starts at once. */
  public record Place(Ticket ticket, int position) {}

  /**
   * Enqueues a task.
   *
   * @param accepted told the position before the task can begin
   * @throws PriorArtException RESOURCE_EXHAUSTED with the detail "retry_after_seconds" when the
   *     queue is full; UNAVAILABLE when it is closing
   */
  public Place submit(Task task, IntConsumer accepted) {
    Ticket ticket = new Ticket(task);
    lock.lock();
    try {
      if (closing) {
        throw new PriorArtException(ErrorKind.UNAVAILABLE, "the server is stopping");
      }
      int free = slots - running.size();
      if (waitingTickets.size() >= capacity + free) {
        double wait = meanSeconds * (waitingTickets.size() + 1.0) / slots;
        throw new PriorArtException(
            ErrorKind.RESOURCE_EXHAUSTED,
            "the queue is full: %d solves run and %d wait".formatted(running.size(), capacity),
            Map.of(
                "reason",
                "QUEUE_FULL",
                "retry_after_seconds",
                Long.toString(Math.max(1, Math.round(wait)))),
            null);
      }
      waitingTickets.add(ticket);
      int position = Math.max(0, waitingTickets.size() - free);
      accepted.accept(position);
      changed.signalAll();
      return new Place(ticket, position);
    } finally {
      lock.unlock();
    }
  }

  /** Tasks that wait. */
  public int waiting() {
    lock.lock();
    try {
      return Math.max(0, waitingTickets.size() - (slots - running.size()));
    } finally {
      lock.unlock();
    }
  }

  /** Tasks that run. */
  public int busy() {
    lock.lock();
    try {
      return running.size();
    } finally {
      lock.unlock();
    }
  }

  public int slots() {
    return slots;
  }

  public int capacity() {
    return capacity;
  }

  private void serve() {
    while (true) {
      Ticket ticket;
      lock.lock();
      try {
        while (waitingTickets.isEmpty()) {
          if (closing) {
            return;
          }
          changed.awaitUninterruptibly();
        }
        ticket = waitingTickets.remove();
        ticket.state = State.RUNNING;
        ticket.thread = Thread.currentThread();
        running.add(ticket);
      } finally {
        lock.unlock();
      }
      announce();
      long begin = System.nanoTime();
      try {
        ticket.task.run(ticket, () -> ticket.reason != null);
      } finally {
        lock.lock();
        try {
          ticket.state = State.ENDED;
          running.remove(ticket);
          if (ticket.reason == null) {
            meanSeconds += 0.2 * ((System.nanoTime() - begin) * 1e-9 - meanSeconds);
          }
          Thread.interrupted(); // a late cancel must not reach the next task
          changed.signalAll();
        } finally {
          lock.unlock();
        }
      }
    }
  }

  private void announce() {
    List<Ticket> waiting;
    int free;
    lock.lock();
    try {
      waiting = List.copyOf(waitingTickets);
      free = slots - running.size();
    } finally {
      lock.unlock();
    }
    for (int i = free; i < waiting.size(); i++) {
      waiting.get(i).task.moved(i - free + 1);
    }
  }

  /**
   * Refuses new tasks and waits for those it has; when the time is over, cancels the rest and waits
   * for them to end.
   *
   * @param grace how long running and waiting tasks may go on
   */
  public void drain(Duration grace) {
    long deadline = System.nanoTime() + grace.toNanos();
    List<Ticket> late = new ArrayList<>();
    lock.lock();
    try {
      closing = true;
      changed.signalAll();
      long left = deadline - System.nanoTime();
      while (left > 0 && !(running.isEmpty() && waitingTickets.isEmpty())) {
        left = changed.awaitNanos(left);
      }
      late.addAll(waitingTickets);
      late.addAll(running);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      lock.unlock();
    }
    for (Ticket ticket : late) {
      ticket.cancel(new PriorArtException(ErrorKind.UNAVAILABLE, "the server is stopping"));
    }
    try {
      for (Thread thread : threads) {
        thread.join(TimeUnit.SECONDS.toMillis(30));
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Cancels all and waits for it. */
  @Override
  public void close() {
    drain(Duration.ZERO);
  }
}
