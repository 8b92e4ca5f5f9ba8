package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.stub.ServerCallStreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class EventStreamTest {
  /** A transport that takes what it is given and says whether its reader keeps up. */
  private static final class Transport extends ServerCallStreamObserver<String> {
    private final List<String> sent = new ArrayList<>();
    private boolean ready;
    private Runnable onReady;
    private Runnable onCancel;

    @Override
    public boolean isReady() {
      return ready;
    }

    @Override
    public void setOnReadyHandler(Runnable handler) {
      onReady = handler;
    }

    @Override
    public void setOnCancelHandler(Runnable handler) {
      onCancel = handler;
    }

    @Override
    public void onNext(String value) {
      sent.add(value);
    }

    @Override
    public void onError(Throwable t) {
      sent.add("error " + t.getMessage());
    }

    @Override
    public void onCompleted() {
      sent.add("completed");
    }

    @Override
    public boolean isCancelled() {
      return false;
    }

    @Override
    public void setCompression(String compression) {}

    @Override
    public void disableAutoInboundFlowControl() {}

    @Override
    public void request(int count) {}

    @Override
    public void setMessageCompression(boolean enable) {}
  }

  private final Transport transport = new Transport();
  private final AtomicInteger cancels = new AtomicInteger();
  private final EventStream<String> events = new EventStream<>(transport, cancels::incrementAndGet);

  @Test
  void aSlowReaderGetsTheNewestOfEachKindWhenItIsReadyAgain() {
    events.send("accepted");
    events.offer("step", "step 1");
    events.offer("preview", "preview 1");
    events.offer("step", "step 2");
    assertEquals(List.of("accepted"), transport.sent);
    transport.ready = true;
    transport.onReady.run();
    assertEquals(List.of("accepted", "preview 1", "step 2"), transport.sent);
    events.offer("step", "step 3");
    assertEquals("step 3", transport.sent.get(3));
  }

  @Test
  void theEndNeverWaitsAndNothingOlderFollowsIt() {
    events.offer("step", "step 1");
    events.send("sample");
    events.offer("step", "step 2");
    events.finish("finished");
    transport.ready = true;
    transport.onReady.run();
    events.offer("step", "step 3");
    events.send("late");
    events.fail(new IllegalStateException("late"));
    assertEquals(List.of("sample", "finished", "completed"), transport.sent);
  }

  @Test
  void afterACancelNothingIsSent() {
    events.offer("step", "step 1");
    transport.onCancel.run();
    assertEquals(1, cancels.get());
    transport.ready = true;
    transport.onReady.run();
    events.send("finished");
    events.fail(new IllegalStateException("cancelled"));
    assertTrue(transport.sent.isEmpty());
  }

  @Test
  void aFailureEndsTheCallOnce() {
    events.send("accepted");
    events.fail(new IllegalStateException("first"));
    events.fail(new IllegalStateException("second"));
    events.finish("finished");
    assertEquals(List.of("accepted", "error first"), transport.sent);
  }
}
