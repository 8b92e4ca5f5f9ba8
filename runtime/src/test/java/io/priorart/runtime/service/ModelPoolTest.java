package io.priorart.runtime.service;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.models.ModelInspection;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class ModelPoolTest {
  @Test
  void aModelIsOpenedOnceAndTheUnusedAreClosed() throws Exception {
    // bfloat16 and float32 of it at a time, not two of each
    try (ModelPool pool = new ModelPool(List.of("bundled"), 6 * parameters(), 0)) {
      String name = pool.named("");
      assertEquals(List.of(name), pool.names());
      assertTrue(pool.opened(name).isEmpty());
      ExecutorService threads = Executors.newFixedThreadPool(4);
      List<Future<ModelPool.Lease>> asked = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        asked.add(threads.submit(() -> pool.lease("", Precision.BFLOAT16)));
      }
      Prior first = asked.get(0).get().pipeline();
      for (Future<ModelPool.Lease> lease : asked) {
        assertSame(first, lease.get().pipeline());
      }
      threads.shutdown();
      try (ModelPool.Lease other = pool.lease(name, Precision.FLOAT32)) {
        assertNotSame(first, other.pipeline());
        assertEquals(Precision.FLOAT32, other.pipeline().precision());
        PriorArtException full =
            assertThrows(PriorArtException.class, () -> pool.lease(name, Precision.FLOAT16));
        assertEquals(ErrorKind.RESOURCE_EXHAUSTED, full.kind());
        for (Future<ModelPool.Lease> lease : asked) {
          lease.get().close();
        }
        // nobody uses the first any more
        pool.lease(name, Precision.FLOAT16).close();
        assertSame(other.pipeline(), pool.opened(name).orElseThrow());
        try (ModelPool.Lease again = pool.lease(name, Precision.BFLOAT16)) {
          assertNotSame(first, again.pipeline());
        }
      }
    }
  }

  private static long parameters() {
    return ModelInspection.of(ModelSource.of(Checkpoints.resolve("bundled", false))).parameters();
  }

  @Test
  void aModelThatDoesNotFitIsRefusedBeforeItIsOpened() {
    try (ModelPool pool = new ModelPool(List.of("bundled"), 1000, 0)) {
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> pool.lease("", Precision.FLOAT32));
      assertEquals(ErrorKind.RESOURCE_EXHAUSTED, e.kind());
      assertTrue(e.getMessage().contains("MB"), e.getMessage());
      assertTrue(pool.opened(pool.named("")).isEmpty());
    }
  }

  @Test
  void unknownModelsAreToldWithTheNearest() {
    try (ModelPool pool = new ModelPool(List.of("bundled"), 1, 0)) {
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> pool.lease("latent-v", Precision.FLOAT32));
      assertEquals(ErrorKind.NOT_FOUND, e.kind());
      assertTrue(e.getMessage().contains(pool.named("")), e.getMessage());
    }
    assertThrows(PriorArtException.class, () -> new ModelPool(List.of("/nowhere"), 1, 0));
    assertThrows(PriorArtException.class, () -> new ModelPool(List.of("bundled", "bundled"), 1, 0));
    assertThrows(PriorArtException.class, () -> new ModelPool(List.of(), 1, 0));
  }
}
