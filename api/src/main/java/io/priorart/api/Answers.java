package io.priorart.api;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.RestoreEvent;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Answers by request_id (AIP-155), kept for a while, so that a client that lost the connection can
 * ask again without a second solve. Bounded in bytes: the oldest goes first.
 */
@Singleton
public final class Answers {
  private static final long MAX_BYTES = 64L << 20;

  private record Answer(
      String request, RestoreEvent.Finished finished, long sinceNanos, long bytes) {}

  private final Map<String, Answer> answers = new LinkedHashMap<>();
  private final Duration expiry;
  private long bytes;

  Answers(ServiceSettings settings) {
    expiry = settings.answerExpiry();
  }

  /**
   * Begins a request, unless it was answered before.
   *
   * @param id not empty
   * @param request hash of its content
   * @return the answer given before, or {@code null}: the caller then ends it by {@link #keep} or
   *     {@link #drop}
   * @throws PriorArtException INVALID_ARGUMENT when the id belongs to another request;
   *     ALREADY_EXISTS while the same is being solved
   */
  synchronized RestoreEvent.Finished begin(String id, String request) {
    expire();
    Answer known = answers.get(id);
    if (known == null) {
      answers.put(id, new Answer(request, null, System.nanoTime(), 0));
      return null;
    }
    if (!known.request.equals(request)) {
      throw PriorArtException.badField(
          "request_id", "was used for another request; choose a new one");
    }
    if (known.finished == null) {
      throw new PriorArtException(
          ErrorKind.ALREADY_EXISTS,
          "request_id: this request is being solved",
          Map.of("request_id", id),
          null);
    }
    return known.finished;
  }

  synchronized void keep(String id, RestoreEvent.Finished finished) {
    Answer begun = answers.remove(id);
    if (begun != null) {
      long size = finished.getSerializedSize();
      answers.put(id, new Answer(begun.request, finished, System.nanoTime(), size));
      bytes += size;
      expire();
    }
  }

  synchronized void drop(String id) {
    Answer known = answers.get(id);
    if (known != null && known.finished == null) {
      answers.remove(id);
    }
  }

  private void expire() {
    long limit = System.nanoTime() - expiry.toNanos();
    Iterator<Answer> oldestFirst = answers.values().iterator();
    while (oldestFirst.hasNext()) {
      Answer answer = oldestFirst.next();
      if (answer.finished != null && (bytes > MAX_BYTES || answer.sinceNanos - limit < 0)) {
        bytes -= answer.bytes;
        oldestFirst.remove();
      }
    }
  }
}
