package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.Prompt;
import io.priorart.solver.method.FinalDataStep;
import io.priorart.solver.operator.Identity;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Counted light, from the measurement to the verdict. */
class PoissonNoiseTest {
  private static final int SIDE = 96;

  @TempDir private Path dir;

  private static Picture flat(double intensity) {
    float[] values = new float[3 * SIDE * SIDE];
    Arrays.fill(values, (float) (2 * intensity - 1));
    return new Picture(new HostTensor(new Shape(1, 3, SIDE, SIDE), values), 32, null);
  }

  private static Degrader.Degraded degraded(double intensity, double peak, String operator) {
    List<OperatorRequest> operators =
        List.of(
            new OperatorRequest(
                operator, operator.equals("inpainting") ? Map.of("random", 0.5) : Map.of()));
    return Degrader.degrade(flat(intensity), operators, new Noise.Poisson(peak), 3, 32);
  }

  @Test
  void meanAndVarianceAreThoseOfCounts() {
    for (double peak : new double[] {1, 20, 1000}) {
      for (double intensity : new double[] {0, 0.1, 0.9}) {
        float[] y = degraded(intensity, peak, "identity").measurement().pixels().values();
        double sum = 0;
        double squares = 0;
        for (float v : y) {
          double v01 = (v + 1) / 2;
          double counts = v01 * peak;
          assertEquals(Math.rint(counts), counts, 1e-3);
          sum += v01;
          squares += (v01 - intensity) * (v01 - intensity);
        }
        double variance = intensity / peak;
        assertEquals(intensity, sum / y.length, 5 * Math.sqrt(variance / y.length) + 1e-6);
        assertEquals(variance, squares / y.length, 0.06 * variance + 1e-9);
      }
    }
  }

  @Test
  void whatIsMissingIsNotCounted() {
    Degrader.Degraded d = degraded(0.5, 10, "inpainting");
    HostTensor mask = (HostTensor) d.problem().operators().get(0).parameters().get("mask");
    for (int i = 0; i < mask.values().length; i++) {
      if (mask.values()[i] == 1) {
        assertEquals(0, d.measurement().pixels().values()[i]);
      }
    }
  }

  @Test
  void theProblemFileKeepsThePeak() {
    ProblemFile problem = degraded(0.5, 12.5, "identity").problem();
    problem.write(dir.resolve("p.json"), false);
    assertEquals(new Noise.Poisson(12.5), ProblemFile.read(dir.resolve("p.json")).noise());
    PriorArtException e = assertThrows(PriorArtException.class, () -> new Noise.Poisson(0.5));
    assertTrue(e.getMessage().startsWith("poisson: must be 1 to 1000000"), e.getMessage());
  }

  /** The truth itself is consistent with its counts, and a solve tells what it took. */
  @Test
  void theVerdictKnowsTheNoise() {
    Degrader.Degraded d = degraded(0.4, 25, "identity");
    try (NDManager manager = ScriptModule.newManager()) {
      Shape shape = new Shape(3, SIDE, SIDE);
      Problem problem =
          new Problem(new Identity().on(shape), d.measurement().pixels(), new Noise.Poisson(25), 0);
      NDArray truth = flat(0.4).pixels().to(manager);
      assertEquals(1, FinalDataStep.ratio(problem, truth), 0.03);
    }
    Restorer.Request request = request(new Noise.Poisson(25), "tv");
    Restorer.Restoration restored =
        Restorer.restore(
            d.measurement(),
            request,
            () -> {
              throw new AssertionError("tv needs no model");
            },
            32,
            RestoreListener.NONE,
            Stopping.never());
    assertEquals(Math.sqrt(0.4 / 25), restored.sigma(), 2e-3);
    assertTrue(restored.samples().get(0).verdict().ratioAfter() <= 1.05);
  }

  private static Restorer.Request request(Noise noise, String solver) {
    return new Restorer.Request(
        List.of(new OperatorRequest("identity", Map.of())),
        noise,
        solver,
        "fast",
        Map.of(),
        null,
        true,
        Prompt.NONE,
        0,
        1,
        0,
        0);
  }

  /** Not each solver can weigh each pixel, but each says so. */
  @Test
  void aSolverThatTakesTheMeanVarianceWarns() {
    PictureFormat tiff = PictureFormat.of(Path.of("y.tif"));
    byte[] y = PictureFiles.encode(degraded(0.4, 25, "identity").measurement(), tiff);
    for (Noise noise : List.of(new Noise.Poisson(25), Noise.ofSigma(0.1))) {
      List<String> warnings =
          FileRestorer.restore(
                  new FileRestorer.Job("y.tif", y, request(noise, "tv"), tiff, 0, false, ""),
                  () -> null,
                  RestoreListener.NONE,
                  Stopping.never())
              .warnings();
      boolean told = warnings.stream().anyMatch(w -> w.contains("at its mean variance"));
      assertEquals(noise instanceof Noise.Poisson, told, warnings.toString());
    }
    assertTrue(Restorer.takesEvenNoise("mmps"));
    assertFalse(Restorer.takesEvenNoise("cdim"));
  }
}
