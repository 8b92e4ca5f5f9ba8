package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.PriorArtException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** {@link AutoSolver}: the task decides, and what the caller named stays. */
class AutoSolverTest {
  private static Restorer.Request request(
      String operator, String solver, String preset, Map<String, ?> parameters, int samples) {
    return new Restorer.Request(
        List.of(new OperatorRequest(operator, Map.of())),
        0.01,
        solver,
        preset,
        parameters,
        null,
        true,
        "",
        "",
        1,
        0,
        samples,
        0,
        0);
  }

  private static String chosen(String operator, String preset, int samples, boolean pixelSpace) {
    AutoSolver.Choice choice =
        AutoSolver.choose(request(operator, "auto", preset, Map.of(), samples), pixelSpace);
    assertTrue(choice.reason().length() > 10);
    Restorer.check(choice.request()); // the choice exists, preset and all
    return choice.request().solver() + " " + choice.request().preset();
  }

  @Test
  void theTaskDecides() {
    assertEquals("dpir fast", chosen("super-resolution", "fast", 1, true));
    assertEquals("dpir inpainting", chosen("inpainting", "fast", 1, true));
    assertEquals("dpir paper", chosen("inpainting", "paper", 1, true));
    assertEquals("diffpir fast", chosen("inpainting", "fast", 3, true));
    assertEquals("prox-diffusion fast", chosen("inpainting", "fast", 1, false));
    assertEquals("prox-diffusion paper", chosen("super-resolution", "paper", 3, false));
  }

  @Test
  void whatIsNamedStays() {
    Restorer.Request named = request("inpainting", "dpir", "fast", Map.of("steps", 3), 1);
    AutoSolver.Choice choice = AutoSolver.choose(named, true);
    assertSame(named, choice.request());
    assertEquals("", choice.reason());
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                AutoSolver.choose(
                    request("inpainting", "auto", "fast", Map.of("zeta", 0.3), 1), true));
    assertTrue(e.getMessage().startsWith("solver: is auto"), e.getMessage());
  }
}
