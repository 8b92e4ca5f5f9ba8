package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import org.junit.jupiter.api.Test;

class GuidanceTest {
  /** {@code f / ||g||^2} is 0.2 for (3, 4) with f = 5, 4 for (0, 0.5) with f = 1. */
  @Test
  void aStepIsNoLongerThanPolyaks() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray g = manager.create(new float[] {3, 4, 0, 0.5f, 0, 0, 1, 0}, new Shape(4, 2));
      double[] f = {5, 1, 0, 0};
      assertArrayEquals(
          new float[] {0.6f, 0.8f, 0, 1, 0, 0, 0, 0},
          Guidance.step(g, f, 2, true).toFloatArray(),
          1e-6f,
          "bounded, long enough, nowhere to go, at the noise");
      assertArrayEquals(
          new float[] {6, 8, 0, 1, 0, 0, 2, 0}, Guidance.step(g, f, 2, false).toFloatArray());
    }
  }
}
