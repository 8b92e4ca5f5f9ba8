package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Linearization;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.method.Verdict.Judgement;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class FinalDataStepTest {
  private static final GaussianOracle ORACLE = new GaussianOracle(1);

  private static NDArray picture(NDManager manager, double[] x) {
    return manager.create(Matrices.floats(x), new Shape(1, 1, 4, 4));
  }

  @Test
  void movesToTheNoiseLevelAndNoFurther() {
    for (double scale : new double[] {0.2, 1, 30}) {
      try (NDManager manager = NDManager.newBaseManager()) {
        double[] start = Matrices.scaled(Matrices.normal(new SplittableRandom(4), 16), scale);
        NDArray x = picture(manager, start);
        FinalDataStep.Result result = FinalDataStep.apply(ORACLE.problem(), x);
        double[] r = Matrices.plus(ORACLE.y, -1, Matrices.times(ORACLE.a, start));
        assertEquals(
            Math.sqrt(Matrices.dot(r, r) / 8) / 0.1, result.ratioBefore(), 1e-4 * scale * 10);
        assertEquals(1, result.ratioAfter(), 6e-3);
        assertEquals(FinalDataStep.ratio(ORACLE.problem(), result.picture()), result.ratioAfter());
        // Optimality: the move is gamma A^T (y - A x'), so it lies in the row space and is the
        // least that does it.
        double[] end = GaussianOracle.samples(result.picture())[0];
        double[] residual = Matrices.plus(ORACLE.y, -1, Matrices.times(ORACLE.a, end));
        double[] expected =
            Matrices.scaled(Matrices.times(Matrices.transpose(ORACLE.a), residual), result.gamma());
        double[] move = Matrices.plus(end, -1, start);
        for (int i = 0; i < 16; i++) {
          assertEquals(expected[i], move[i], 2e-3 * scale * Math.max(1, Math.abs(move[i])));
        }
        assertEquals(
            Math.sqrt(Matrices.dot(move, move) / 16),
            FinalDataStep.distance(result.picture(), x),
            1e-4 * scale);
        assertEquals(2, manager.getManagedArrays().size(), "arrays left");
      }
    }
  }

  @Test
  void aPictureThatFitsStaysWhereItIs() {
    try (NDManager manager = NDManager.newBaseManager()) {
      double[][] at = Matrices.transpose(ORACLE.a);
      double[] exact =
          Matrices.times(
              at, Matrices.times(Matrices.inverse(Matrices.times(ORACLE.a, at)), ORACLE.y));
      NDArray x = picture(manager, exact);
      FinalDataStep.Result result = FinalDataStep.apply(ORACLE.problem(), x);
      assertEquals(0, result.gamma());
      assertEquals(0, FinalDataStep.distance(result.picture(), x));
      assertEquals(result.ratioBefore(), result.ratioAfter());
      assertTrue(result.ratioAfter() < 0.01);
      assertEquals(
          Judgement.OVERFITTED, Judgement.of(result.ratioAfter()), "fits better than the noise");
    }
  }

  @Test
  void noiseFreeProblemsAreFittedToTheirFloor() {
    try (NDManager manager = NDManager.newBaseManager()) {
      Problem problem =
          new Problem(ORACLE.operator(), ORACLE.problem().measurement(), new Noise.None(), 0);
      NDArray x = picture(manager, new double[16]);
      FinalDataStep.Result result = FinalDataStep.apply(problem, x);
      assertTrue(result.ratioBefore() > 100);
      assertEquals(1, result.ratioAfter(), 0.02);
    }
  }

  /** Half of the pixels masked: what is measured there, junk included, must not count. */
  @Test
  void unobservedEntriesDoNotCount() {
    Masked masked = new Masked();
    float[] y = new float[16];
    for (int i = 0; i < 16; i++) {
      y[i] = i % 2 == 0 ? 0.5f : 1e3f;
    }
    Problem problem =
        new Problem(masked, new HostTensor(new Shape(1, 1, 4, 4), y), new Noise.Gaussian(0.05), 0);
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray x = picture(manager, new double[16]);
      assertEquals(5, FinalDataStep.ratio(problem, x), 1e-5);
      FinalDataStep.Result result = FinalDataStep.apply(problem, x);
      // r = 0.5 / (1 + gamma) = 0.1 at gamma = 4
      assertEquals(4, result.gamma(), 0.03);
      assertEquals(0.4 / Math.sqrt(2), FinalDataStep.distance(result.picture(), x), 1e-3);
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray x = picture(manager, new double[16]);
      Problem opaque =
          new Problem(
              new NonLinear(),
              new HostTensor(new Shape(1, 1, 4, 4), new float[16]),
              new Noise.None(),
              0);
      assertKind(ErrorKind.FAILED_PRECONDITION, () -> FinalDataStep.apply(opaque, x));
      NDArray nan = x.add(Float.NaN);
      assertKind(ErrorKind.DIVERGED, () -> FinalDataStep.apply(ORACLE.problem(), nan));
    }
  }

  @Test
  void verdictsFollowTheRatioAndTheMove() {
    assertEquals(Judgement.OVERFITTED, Judgement.of(0.69));
    assertEquals(Judgement.CONSISTENT, Judgement.of(0.7));
    assertEquals(Judgement.CONSISTENT, Judgement.of(1.2));
    assertEquals(Judgement.INCONSISTENT, Judgement.of(1.21));
    assertEquals(Judgement.INCONSISTENT, Judgement.of(Double.NaN));
    assertEquals(Judgement.OVERFITTED, Verdict.of(true, 1, 0.1, 0).judgement());
    assertEquals(Judgement.CONSISTENT, Verdict.of(false, 1, 0, 0).judgement());
  }

  private static void assertKind(ErrorKind kind, Runnable action) {
    assertEquals(kind, assertThrows(PriorArtException.class, action::run).kind());
  }

  /** Keeps the even pixels. */
  private static final class Masked extends DenseOperator {
    Masked() {
      super(new Shape(1, 4, 4), new Shape(1, 4, 4), Matrices.diagonal(16, i -> i % 2 == 0 ? 1 : 0));
    }

    @Override
    public HostTensor observed() {
      float[] keep = new float[16];
      for (int i = 0; i < 16; i += 2) {
        keep[i] = 1;
      }
      return new HostTensor(new Shape(1, 4, 4), keep);
    }

    @Override
    public NDArray proximal(NDArray x, NDArray y, double gamma) {
      NDArray mask = observed().to(x.getManager());
      return x.add(y.sub(x).mul(mask).mul(gamma / (1 + gamma)));
    }
  }

  private record NonLinear() implements ForwardOperator {
    @Override
    public Shape imageShape() {
      return new Shape(1, 4, 4);
    }

    @Override
    public Shape measurementShape() {
      return new Shape(1, 4, 4);
    }

    @Override
    public NDArray apply(NDArray x) {
      return x.square();
    }

    @Override
    public Linearization at(NDArray x) {
      throw new UnsupportedOperationException();
    }
  }
}
