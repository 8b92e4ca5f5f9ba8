package io.priorart.api;

import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** Cancels a ticket when the client does, or when its deadline has passed. */
final class Canceller implements Runnable {
  private final Service service;
  private final AtomicReference<SolveQueue.Ticket> ticket = new AtomicReference<>();
  private final Duration deadline = CallBounds.left();
  private volatile boolean gone;

  Canceller(Service service) {
    this.service = service;
  }

  @Override
  public void run() {
    gone = true;
    if (ticket.get() != null) {
      ticket.get().cancel(new PriorArtException(ErrorKind.CANCELLED, "the client cancelled"));
    }
  }

  void follow(SolveQueue.Ticket started) {
    ticket.set(started);
    if (gone) {
      run();
    }
    if (deadline != null) {
      service
          .timer()
          .schedule(
              () ->
                  started.cancel(
                      new PriorArtException(
                          ErrorKind.DEADLINE_EXCEEDED, "the call's deadline has passed")),
              deadline.toMillis(),
              TimeUnit.MILLISECONDS);
    }
  }
}
