package io.priorart.runtime.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.operator.Identity;
import io.priorart.solver.operator.Inpainting;
import org.junit.jupiter.api.Test;

class OpenCvDenoisingTest {
  private static final int SIDE = 48;
  private static final Shape SHAPE = new Shape(3, SIDE, SIDE);
  private static final OperatorKind.Drawn IDENTITY =
      Identity.KIND.factory().create(new Identity(), SHAPE, new NoiseSource(0));

  /** Stripes that repeat: what non-local means is for. Colours keep their places. */
  @Test
  void findsWhatRepeats() {
    float[] truth = new float[3 * SIDE * SIDE];
    float[] noisy = new float[truth.length];
    float[] noise = new NoiseSource(1).normal(new Shape(truth.length)).values();
    for (int i = 0; i < truth.length; i++) {
      int channel = i / (SIDE * SIDE);
      truth[i] = (i % SIDE / 4 % 2 == 0 ? 0.5f : -0.5f) * (channel - 1) + 0.2f * channel;
      noisy[i] = truth[i] + 0.2f * noise[i];
    }
    float[] x = solve(noisy, IDENTITY, new OpenCvDenoising.Spec(1, false));
    assertTrue(error(x, truth) < 0.25 * error(noisy, truth), "error " + error(x, truth));
    // stripes of equal lightness differ in colour alone, where the filter is coarser
    float[] lab = solve(noisy, IDENTITY, new OpenCvDenoising.Spec(0.3, true));
    assertTrue(error(lab, truth) < 0.8 * error(noisy, truth), "error " + error(lab, truth));
    float[] untouched = solve(noisy, IDENTITY, new OpenCvDenoising.Spec(0.01, false));
    assertEquals(0, error(untouched, noisy), 0.01, "next to no strength leaves the picture");
  }

  @Test
  void restoresNothingElse() {
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                solve(
                    new float[3 * SIDE * SIDE],
                    Inpainting.KIND
                        .factory()
                        .create(new Inpainting(null, null, "0,0,4,4"), SHAPE, new NoiseSource(0)),
                    new OpenCvDenoising.Spec(1, false)));
    assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
  }

  private static double error(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += Math.pow(a[i] - b[i], 2);
    }
    return sum / a.length;
  }

  private static float[] solve(float[] y, OperatorKind.Drawn operator, OpenCvDenoising.Spec spec) {
    Problem problem =
        new Problem(
            operator.operator(),
            new HostTensor(new Shape(1).addAll(SHAPE), y),
            new Noise.Gaussian(0.1),
            0);
    try (NDManager manager = ScriptModule.newManager()) {
      return new OpenCvDenoising(spec)
          .solve(problem, null, SolveContext.of(manager, 0))
          .toFloatArray();
    }
  }
}
