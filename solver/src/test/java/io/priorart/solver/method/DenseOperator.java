package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import java.util.Arrays;

/** A matrix as an operator: everything by explicit inverses in double, then applied in float32. */
class DenseOperator implements LinearOperator {
  private final Shape image;
  private final Shape measured;
  private final double[][] a;
  private final double[][] at;
  private final double[][] gram;

  /** Of the weight asked for last: a batch is taken one by one, all with the same. */
  private double stepGamma = Double.NaN;

  private double[][] step;

  /**
   * @param a one row per measurement, of full row rank
   */
  DenseOperator(Shape image, Shape measured, double[][] a) {
    this.image = image;
    this.measured = measured;
    this.a = a;
    at = Matrices.transpose(a);
    gram = Matrices.times(a, at);
  }

  @Override
  public Shape imageShape() {
    return image;
  }

  @Override
  public Shape measurementShape() {
    return measured;
  }

  @Override
  public NDArray apply(NDArray x) {
    return Maps.linear(x, a, measured);
  }

  @Override
  public NDArray adjoint(NDArray y) {
    return Maps.linear(y, at, image);
  }

  /** The rows have full rank and are well conditioned, so nothing is truncated. */
  @Override
  public NDArray pseudoInverse(NDArray y, double rcond) {
    return Maps.linear(y, Matrices.times(at, Matrices.inverse(gram)), image);
  }

  @Override
  public NDArray proximal(NDArray x, NDArray y, double gamma) {
    // x + gamma A^T (I + gamma A A^T)^-1 (y - A x)
    if (gamma != stepGamma) {
      double[][] system = Matrices.plus(Matrices.diagonal(a.length, i -> 1), gamma, gram);
      step = Matrices.times(at, Matrices.inverse(system));
      stepGamma = gamma;
    }
    return x.add(Maps.linear(y.sub(apply(x)), step, image).mul(gamma));
  }

  @Override
  public double norm() {
    double[] v = new double[a[0].length];
    Arrays.fill(v, 1);
    double norm = 0;
    for (int i = 0; i < 1000; i++) {
      v = Matrices.times(at, Matrices.times(a, v));
      norm = Math.sqrt(Matrices.dot(v, v));
      v = Matrices.scaled(v, 1 / norm);
    }
    return Math.sqrt(norm);
  }

  /** Matrices on batches of tensors. */
  static final class Maps {
    private Maps() {}

    /** {@code [N, in...]} to {@code [N, out...]} by {@code m}. */
    static NDArray linear(NDArray x, double[][] m, Shape out) {
      NDManager manager = x.getManager();
      long n = x.getShape().get(0);
      NDArray transposed =
          manager.create(Matrices.flat(Matrices.transpose(m)), new Shape(m[0].length, m.length));
      return x.reshape(n, -1).matMul(transposed).reshape(new Shape(n).addAll(out));
    }
  }
}
