package io.priorart.solver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TensorScopeTest {
  @Test
  void anIterationFreesAllButItsLastResult() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray start = manager.create(new float[] {1, 2});
      List<NDArray> made = new ArrayList<>();
      NDArray last;
      try (TensorScope scope = new TensorScope()) {
        last =
            TensorScope.iterate(
                start,
                3,
                (k, at) -> {
                  NDArray twice = at.mul(2);
                  made.add(twice);
                  NDArray next = twice.add(k);
                  made.add(next);
                  return next;
                });
        // ((1 * 2 + 0) * 2 + 1) * 2 + 2
        assertArrayEquals(new float[] {12, 20}, last.toFloatArray());
        assertSame(last, made.get(5));
        for (NDArray array : made.subList(0, 5)) {
          assertThrows(IllegalStateException.class, array::toFloatArray);
        }
      }
      assertThrows(IllegalStateException.class, last::toFloatArray);
      assertArrayEquals(new float[] {1, 2}, start.toFloatArray());
    }
  }

  @Test
  void anIterationEndsWithItsArgument() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray start = manager.create(new float[] {1});
      assertSame(start, TensorScope.iterate(start, 5, (k, at) -> at));
      int[] calls = new int[1];
      try (TensorScope scope = new TensorScope()) {
        NDArray last =
            TensorScope.iterate(
                start,
                5,
                (k, at) -> {
                  calls[0]++;
                  return k == 2 ? at : at.add(1);
                });
        assertArrayEquals(new float[] {3}, last.toFloatArray());
      }
      assertEquals(3, calls[0]);
    }
  }
}
