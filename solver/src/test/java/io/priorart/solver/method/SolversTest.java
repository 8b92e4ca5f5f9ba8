package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolverMethod;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SolversTest {
  private static final SolverMethod<Interpolation.Spec> EXTRA =
      new SolverMethod<>(
          "opencv-telea",
          "From another module",
          List.of(),
          Set.of(),
          Interpolation.Spec.class,
          Map.of("fast", new Interpolation.Spec(), "paper", new Interpolation.Spec()),
          spec -> Interpolation.BICUBIC.create().apply(spec));

  @Test
  void findsByNameAndSuggestsTheNearest() {
    Solvers solvers = new Solvers(List.of(EXTRA));
    assertSame(EXTRA, solvers.byId("opencv-telea"));
    assertSame(ReSample.METHOD, solvers.byId("resample"));
    assertSame(solvers.defaultMethod(), solvers.list().get(0));
    assertEquals(Solvers.BUILT_IN.size() + 1, solvers.list().size());
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> solvers.byId("prox-difusion"));
    assertEquals(ErrorKind.NOT_FOUND, e.kind());
    assertEquals("prox-diffusion", e.details().get("nearest"));
    assertThrows(IllegalArgumentException.class, () -> new Solvers(List.of(EXTRA, EXTRA)));
  }

  /** Every preset can be described and passes the bounds that its record documents. */
  @Test
  void everyPresetIsInBounds() {
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      checkPresets(method);
    }
  }

  private static <P extends Record> void checkPresets(SolverMethod<P> method) {
    for (P preset : method.presets().values()) {
      ParameterSchema<P> schema = ParameterSchema.of(method.spec());
      assertEquals(preset, schema.bind("", schema.values(preset), method.defaults()));
      method.create().apply(preset);
    }
  }

  @Test
  void nonsenseIsRefusedByName() {
    assertBad("zeta", () -> new ProxDiffusion(new ProxDiffusion.Spec(20, 1.5, 15, 0.03, true)));
    assertBad("endSigma", () -> new ProxDiffusion.Spec(20, 1, 0.5, 0.9, true));
    assertBad("steps", () -> new Dps(new Dps.Spec(0, 1, false)));
    assertBad("zeta", () -> new Dps(new Dps.Spec(10, Double.NaN, false)));
    assertBad("rcond", () -> new PseudoInverse(new PseudoInverse.Spec(1)));
    assertBad("rcond", () -> new Mcg(new Mcg.Spec(100, 1, 1, false)));
    assertBad("tau", () -> new Daps.Spec(40, 1, 50, 0.2, 0, 1e-9, 100, 0.02, 0.02));
    assertBad("stepSize", () -> new Daps.Spec(40, 1, 50, 2, 0, 0, 100, 0.02, 0.02));
    assertBad("until", () -> new Treg.Spec(50, 3, 0.04, 0, 0.3, 0));
    assertBad("strength", () -> new TotalVariation(new TotalVariation.Spec(0, 10)));
    assertBad("contrast", () -> new Wiener(new Wiener.Spec(2, 0, 10, false)));
    assertBad(
        "gamma",
        () -> new ReSample(new ReSample.Spec(100, 10, 0, 500, 40, 1e-2, 5e-3, 0, 0.01, true)));
  }

  private static void assertBad(String field, Runnable action) {
    PriorArtException e = assertThrows(PriorArtException.class, action::run);
    assertEquals(field, e.details().get("field"));
  }
}
