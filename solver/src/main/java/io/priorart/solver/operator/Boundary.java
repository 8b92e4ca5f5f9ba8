package io.priorart.solver.operator;

/**
 * What a blur sees beyond a picture's edge. Each extends {@code a b c d} endlessly, however large
 * the kernel.
 */
public enum Boundary {
  /** Half-sample symmetric, the edge pixel repeated: {@code d c b a | a b c d | d c b a}. */
  REFLECT {
    @Override
    int index(int i, int n) {
      int m = Math.floorMod(i, 2 * n);
      return m < n ? m : 2 * n - 1 - m;
    }
  },
  /** Periodic: {@code a b c d | a b c d | a b c d}. */
  CIRCULAR {
    @Override
    int index(int i, int n) {
      return Math.floorMod(i, n);
    }
  },
  /** The edge pixel repeated: {@code a a a a | a b c d | d d d d}. */
  REPLICATE {
    @Override
    int index(int i, int n) {
      return Math.max(0, Math.min(n - 1, i));
    }
  };

  /** Which of the {@code n} pixels stands at position {@code i}, any integer. */
  abstract int index(int i, int n);
}
