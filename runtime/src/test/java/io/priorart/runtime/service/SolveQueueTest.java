package io.priorart.runtime.service;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SolveQueueTest {
  private static final PriorArtException WHY =
      new PriorArtException(ErrorKind.CANCELLED, "for the test");

  /** Runs until released or stopped; writes down what happened to it. */
  private static final class Work implements SolveQueue.Task {
    private final CountDownLatch started = new CountDownLatch(1);
    private final CountDownLatch release = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    private final List<Integer> positions = new CopyOnWriteArrayList<>();
    private volatile PriorArtException abandoned;
    private volatile boolean stopped;
    private volatile boolean interrupted;

    @Override
    public void run(SolveQueue.Ticket ticket, BooleanSupplier stop) {
      started.countDown();
      try {
        release.await();
      } catch (InterruptedException e) {
        interrupted = true;
      }
      stopped = stop.getAsBoolean();
      ended.countDown();
    }

    @Override
    public void abandoned(PriorArtException reason) {
      abandoned = reason;
      ended.countDown();
    }

    @Override
    public void moved(int position) {
      positions.add(position);
    }
  }

  private static SolveQueue.Place submit(SolveQueue queue, Work work) {
    return queue.submit(work, work.positions::add);
  }

  @Test
  void tasksBeyondSlotsWaitInOrderAndHearTheirPosition() throws Exception {
    try (SolveQueue queue = new SolveQueue(2, 3)) {
      List<Work> works = new ArrayList<>();
      List<Integer> places = new ArrayList<>();
      for (int i = 0; i < 5; i++) {
        works.add(new Work());
        places.add(submit(queue, works.get(i)).position());
        if (i < 2) {
          works.get(i).started.await();
        }
      }
      assertEquals(List.of(0, 0, 1, 2, 3), places);
      assertEquals(2, queue.busy());
      assertEquals(3, queue.waiting());
      works.get(1).release.countDown();
      works.get(2).started.await();
      works.get(0).release.countDown();
      works.get(3).started.await();
      assertEquals(1, works.get(4).started.getCount());
      assertEquals(1, queue.waiting());
      assertEquals(List.of(3, 2, 1), works.get(4).positions);
      works.forEach(w -> w.release.countDown());
    }
  }

  @Test
  void aFullQueueSaysWhenToComeBack() throws Exception {
    try (SolveQueue queue = new SolveQueue(1, 1)) {
      Work running = new Work();
      submit(queue, running);
      running.started.await();
      submit(queue, new Work());
      PriorArtException e = assertThrows(PriorArtException.class, () -> submit(queue, new Work()));
      assertEquals(ErrorKind.RESOURCE_EXHAUSTED, e.kind());
      assertTrue(Long.parseLong(e.details().get("retry_after_seconds")) >= 1);
    }
  }

  @Test
  void aQueueWithoutRoomStillFillsItsSlots() {
    try (SolveQueue queue = new SolveQueue(2, 0)) {
      assertEquals(0, submit(queue, new Work()).position());
      assertEquals(0, submit(queue, new Work()).position());
      assertThrows(PriorArtException.class, () -> submit(queue, new Work()));
    }
  }

  @Test
  void cancellingStopsWhatRunsAndDropsWhatWaits() throws Exception {
    try (SolveQueue queue = new SolveQueue(1, 2)) {
      Work running = new Work();
      SolveQueue.Place first = submit(queue, running);
      running.started.await();
      Work waiting = new Work();
      SolveQueue.Place second = submit(queue, waiting);
      Work last = new Work();
      submit(queue, last);

      second.ticket().cancel(WHY);
      assertSame(WHY, waiting.abandoned);
      assertEquals(List.of(2, 1), last.positions);
      assertNull(running.abandoned);

      first.ticket().cancel(WHY);
      running.ended.await();
      assertTrue(running.interrupted && running.stopped);
      assertSame(WHY, first.ticket().reason());
      last.started.await();
      last.release.countDown();
      last.ended.await();
      assertFalse(last.interrupted || last.stopped);
      first.ticket().cancel(WHY); // ended long ago: nothing happens
    }
  }

  @Test
  void aLateCancelDoesNotReachTheNextTask() throws Exception {
    try (SolveQueue queue = new SolveQueue(1, 100)) {
      AtomicInteger disturbed = new AtomicInteger();
      for (int i = 0; i < 200; i++) {
        Work quick = new Work();
        quick.release.countDown();
        SolveQueue.Ticket ticket = submit(queue, quick).ticket();
        Work next = new Work();
        submit(queue, next);
        ticket.cancel(WHY);
        next.started.await();
        assertFalse(next.ended.await(1, TimeUnit.MILLISECONDS));
        next.release.countDown();
        next.ended.await();
        disturbed.addAndGet(next.interrupted ? 1 : 0);
      }
      assertEquals(0, disturbed.get());
    }
  }

  @Test
  void drainingLetsTasksEndAndCancelsTheLate() throws Exception {
    SolveQueue queue = new SolveQueue(1, 5);
    Work slow = new Work();
    submit(queue, slow);
    slow.started.await();
    Work waiting = new Work();
    submit(queue, waiting);
    Thread drain = new Thread(() -> queue.drain(Duration.ofMillis(300)));
    drain.start();
    drain.join();
    assertTrue(slow.stopped);
    assertEquals(ErrorKind.UNAVAILABLE, waiting.abandoned.kind());
    PriorArtException e = assertThrows(PriorArtException.class, () -> submit(queue, new Work()));
    assertEquals(ErrorKind.UNAVAILABLE, e.kind());

    SolveQueue quick = new SolveQueue(1, 5);
    Work good = new Work();
    submit(quick, good);
    good.started.await();
    Thread patient = new Thread(() -> quick.drain(Duration.ofSeconds(50)));
    patient.start();
    good.release.countDown();
    patient.join();
    assertFalse(good.stopped);
  }
}
