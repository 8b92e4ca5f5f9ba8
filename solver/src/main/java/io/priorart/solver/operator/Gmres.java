package io.priorart.solver.operator;

import static io.priorart.solver.operator.ConjugateGradient.dot;
import static io.priorart.solver.operator.ConjugateGradient.perPicture;
import static io.priorart.solver.operator.ConjugateGradient.relative;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import io.priorart.solver.TensorScope;
import java.util.function.UnaryOperator;

/**
 * GMRES for {@code M u = b}, {@code M} not symmetric (Y. Saad and M. Schultz, SIAM J. Sci. Stat.
 * Comput. 7, 1986): of all {@code u} that {@code b, M b, M^2 b, ...} span the one of the smallest
 * {@code ||b - M u||}, which therefore never grows. Computed as generalised conjugate residuals (S.
 * Eisenstat, H. Elman and M. Schultz, SIAM J. Numer. Anal. 20, 1983), which are the same where
 * {@code M + M^T} is positive definite, and stand still where it is not. Keeps two arrays an
 * iteration. The pictures of a batch are separate systems, solved side by side; each stops on its
 * own.
 *
 * @param tolerance stops a picture at {@code ||b - M u|| <= tolerance ||b||}, more than 0
 * @param maxIterations stops all, converged or not; at least 1
 */
public record Gmres(double tolerance, int maxIterations) {
  /** Of {@code M p}: what is left of its square behind rounding tells no direction. */
  private static final double LEAST = 1e-10;

  public Gmres {
    ConjugateGradient.requireBounds(tolerance, maxIterations);
  }

  /**
   * Solves {@code M u = b} from zero.
   *
   * @see ConjugateGradient#solve(UnaryOperator, NDArray, Runnable)
   */
  public ConjugateGradient.Result solve(
      UnaryOperator<NDArray> operator, NDArray b, Runnable checkpoint) {
    int[] iterations = new int[1];
    double[] reached = new double[1];
    NDArray value =
        TensorScope.only(
            () -> {
              NDArray u = b.zerosLike();
              NDArray r = b.duplicate();
              double[] scale = dot(b, b);
              double[] squared = scale;
              NDList directions = new NDList();
              NDList images = new NDList(); // M times those, orthonormal in each picture
              while ((reached[0] = relative(squared, scale)) > tolerance
                  && iterations[0] < maxIterations) {
                checkpoint.run();
                NDArray p = r.duplicate();
                NDArray q = TensorScope.only(() -> operator.apply(p).duplicate());
                try (TensorScope step = new TensorScope()) {
                  double[] whole = dot(q, q);
                  for (int j = 0; j < images.size(); j++) {
                    double[] along = dot(q, images.get(j));
                    q.subi(images.get(j).mul(perPicture(along, q)));
                    p.subi(directions.get(j).mul(perPicture(along, p)));
                  }
                  double[] length = dot(q, q);
                  double[] normal = new double[scale.length];
                  for (int n = 0; n < normal.length; n++) {
                    // A picture that has converged stands still while the others go on.
                    boolean open = squared[n] > tolerance * tolerance * scale[n];
                    normal[n] = open && length[n] > LEAST * whole[n] ? 1 / Math.sqrt(length[n]) : 0;
                  }
                  p.muli(perPicture(normal, p));
                  q.muli(perPicture(normal, q));
                  double[] along = dot(q, r);
                  u.addi(p.mul(perPicture(along, p)));
                  r.subi(q.mul(perPicture(along, q)));
                  squared = dot(r, r);
                }
                directions.add(p);
                images.add(q);
                iterations[0]++;
              }
              return u;
            });
    return new ConjugateGradient.Result(value, iterations[0], reached[0]);
  }
}
