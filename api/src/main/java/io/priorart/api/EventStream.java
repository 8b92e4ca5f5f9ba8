package io.priorart.api;

import io.grpc.stub.ServerCallStreamObserver;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A call's answers, sent from any thread without ever waiting for the reader. What must arrive is
 * handed to the transport at once; of what may be missed, a slow reader gets the newest of each
 * kind when it is ready again. Safe for concurrent use.
 *
 * @param <T> the answer
 */
final class EventStream<T> {
  private final ServerCallStreamObserver<T> out;
  private final Map<Object, T> newest = new LinkedHashMap<>();
  private boolean ended;

  /** Takes over the observer's handlers; to be made before the service method returns. */
  EventStream(ServerCallStreamObserver<T> out, Runnable onCancel) {
    this.out = out;
    out.setOnCancelHandler(
        () -> {
          synchronized (this) {
            ended = true;
            newest.clear();
          }
          onCancel.run();
        });
    out.setOnReadyHandler(this::flush);
  }

  /** Sends what must arrive; what was kept back is overtaken by it and dropped. */
  synchronized void send(T event) {
    if (!ended) {
      newest.clear();
      out.onNext(event);
    }
  }

  /**
   * Sends what may be missed.
   *
   * @param kind what replaces what
   */
  synchronized void offer(Object kind, T event) {
    if (ended) {
      return;
    }
    newest.remove(kind);
    newest.put(kind, event);
    flush();
  }

  /** Whether the reader keeps up. */
  synchronized boolean ready() {
    return !ended && out.isReady();
  }

  private synchronized void flush() {
    while (!ended && out.isReady() && !newest.isEmpty()) {
      Object oldest = newest.keySet().iterator().next();
      out.onNext(newest.remove(oldest));
    }
  }

  /** Ends a good call. */
  synchronized void finish(T last) {
    send(last);
    if (!ended) {
      ended = true;
      out.onCompleted();
    }
  }

  /** Ends a call that failed. */
  synchronized void fail(Throwable status) {
    if (!ended) {
      ended = true;
      newest.clear();
      out.onError(status);
    }
  }
}
