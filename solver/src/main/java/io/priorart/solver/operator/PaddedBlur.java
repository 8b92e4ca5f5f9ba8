package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.TensorScope;

/**
 * Convolution with a boundary other than periodic: {@code A = S F P}, where {@code P} extends the
 * picture by what the kernel reaches, {@code F} convolves periodically on that larger grid, and
 * {@code S} cuts the picture's own place out. The adjoint is {@code P^T F^T S^T}, factor by factor.
 */
final class PaddedBlur extends IterativeOperator {
  private final Shape shape;
  private final Axis vertical;
  private final Axis horizontal;
  private final Transfer transfer;

  /**
   * How one side is extended.
   *
   * @param size pixels of the side
   * @param before pixels added before it
   * @param grid pixels of the extended side, zero beyond the kernel's reach
   * @param extension 0/1 matrix {@code [grid, size]}
   */
  private record Axis(int size, int before, int grid, float[] extension) {
    static Axis of(int size, int kernel, int centre, Boundary boundary) {
      int before = kernel - 1 - centre;
      int extended = Math.addExact(size, kernel - 1);
      int grid = smooth(extended);
      float[] extension = new float[Math.multiplyExact(grid, size)];
      for (int t = 0; t < extended; t++) {
        extension[t * size + boundary.index(t - before, size)] = 1;
      }
      return new Axis(size, before, grid, extension);
    }

    /** The least number from n on without prime factors above 5: a fast size to transform. */
    private static int smooth(int n) {
      for (int candidate = n; ; candidate++) {
        int rest = candidate;
        for (int prime : new int[] {2, 3, 5}) {
          while (rest % prime == 0) {
            rest /= prime;
          }
        }
        if (rest == 1) {
          return candidate;
        }
      }
    }

    NDArray extension(NDManager manager) {
      return manager.create(extension, new Shape(grid, size));
    }

    int after() {
      return grid - size - before;
    }
  }

  PaddedBlur(Kernel kernel, Shape shape, Boundary boundary) {
    this.shape = shape;
    vertical =
        Axis.of(Math.toIntExact(shape.get(1)), kernel.height(), kernel.centreRow(), boundary);
    horizontal =
        Axis.of(Math.toIntExact(shape.get(2)), kernel.width(), kernel.centreColumn(), boundary);
    transfer = new Transfer(kernel, vertical.grid, horizontal.grid);
  }

  @Override
  public Shape imageShape() {
    return shape;
  }

  @Override
  public Shape measurementShape() {
    return shape;
  }

  @Override
  public NDArray apply(NDArray x) {
    Tensors.require("x", x, shape);
    NDManager manager = x.getManager();
    NDIndex place =
        new NDIndex(
            "..., {}:{}, {}:{}",
            vertical.before,
            vertical.before + vertical.size,
            horizontal.before,
            horizontal.before + horizontal.size);
    return TensorScope.only(
        () -> {
          NDArray extended =
              vertical
                  .extension(manager)
                  .matMul(x)
                  .matMul(horizontal.extension(manager).transpose());
          return transfer.filter(extended, transfer.forward(manager)).get(place).duplicate();
        });
  }

  @Override
  public NDArray adjoint(NDArray y) {
    Tensors.require("y", y, shape);
    NDManager manager = y.getManager();
    return TensorScope.only(
        () -> {
          NDArray placed =
              y.pad(
                  new Shape(
                      horizontal.before, horizontal.after(), vertical.before, vertical.after()),
                  0);
          NDArray spread = transfer.filter(placed, transfer.backward(manager, power -> 1));
          return vertical
              .extension(manager)
              .transpose()
              .matMul(spread)
              .matMul(horizontal.extension(manager));
        });
  }
}
