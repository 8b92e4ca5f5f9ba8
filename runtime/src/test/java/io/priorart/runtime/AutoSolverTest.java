package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** {@link AutoSolver}: the task decides, and what the caller named stays. */
class AutoSolverTest {
  private static Restorer.Request request(
      String operator, String solver, String preset, Map<String, ?> parameters, int samples) {
    return request(operator, solver, preset, parameters, samples, Prompt.NONE);
  }

  private static Restorer.Request request(
      String operator,
      String solver,
      String preset,
      Map<String, ?> parameters,
      int samples,
      Prompt prompt) {
    return new Restorer.Request(
        List.of(new OperatorRequest(operator, Map.of())),
        Noise.ofSigma(0.01),
        solver,
        preset,
        parameters,
        null,
        true,
        prompt,
        0,
        samples,
        0,
        0);
  }

  private static final PriorTraits LATENT = new PriorTraits(false, true, false, false);
  private static final PriorTraits FEW_STEP = new PriorTraits(false, true, false, true);
  private static final PriorTraits PIXELS = new PriorTraits(true, false, false, false);
  private static final PriorTraits MAPS = new PriorTraits(true, false, true, false);

  private static String chosen(String operator, String preset, int samples, PriorTraits prior) {
    AutoSolver.Choice choice =
        AutoSolver.choose(request(operator, "auto", preset, Map.of(), samples), prior);
    Restorer.requireFit(choice.request(), prior);
    assertTrue(choice.reason().length() > 10);
    Restorer.check(choice.request()); // the choice exists, preset and all
    return choice.request().solver() + " " + choice.request().preset();
  }

  @Test
  void aNamedSolverHasPresetsForLatents() {
    for (String preset : List.of("fast", "paper", "exact")) {
      Restorer.Request named = request("identity", "daps", preset, Map.of(), 1);
      assertEquals(preset, AutoSolver.choose(named, PIXELS).request().preset());
      String own = Map.of("fast", "latent", "paper", "latent-paper", "exact", "exact").get(preset);
      assertEquals(own, AutoSolver.choose(named, LATENT).request().preset());
      assertEquals("", AutoSolver.choose(named, LATENT).reason());
    }
  }

  @Test
  void theTaskDecides() {
    assertEquals("dpir fast", chosen("super-resolution", "fast", 1, PIXELS));
    assertEquals("mcg fast", chosen("grayscale", "fast", 1, PIXELS));
    assertEquals("detail", preset("fast", "gaussian-blur"));
    assertEquals("fast", preset("fast", "gaussian-blur", "super-resolution"));
    assertEquals("fast", preset("fast", "motion-blur"));
    assertEquals("fast", preset("fast", "identity"));
    assertEquals("inpainting", preset("fast", "gaussian-blur", "inpainting"));
    assertEquals("paper", preset("paper", "gaussian-blur"));
    assertEquals("dpir inpainting", chosen("inpainting", "fast", 1, PIXELS));
    assertEquals("dpir paper", chosen("inpainting", "paper", 1, PIXELS));
    assertEquals("diffpir fast", chosen("inpainting", "fast", 3, PIXELS));
    assertEquals("prox-diffusion fast", chosen("inpainting", "fast", 1, LATENT));
    assertEquals("prox-diffusion paper", chosen("super-resolution", "paper", 3, LATENT));
    assertEquals("latino fast", chosen("super-resolution", "fast", 1, FEW_STEP));
  }

  @Test
  void missingPixelsAreSampledByThePriorItselfIfItCan() {
    assertEquals("dpir inpainting", chosen("inpainting", "fast", 1, MAPS));
    assertEquals("rad fast", chosen("inpainting", "fast", 4, MAPS));
    assertEquals("rad paper", chosen("inpainting", "paper", 4, MAPS));
    assertEquals("diffpir fast", chosen("identity", "fast", 4, MAPS));
    assertEquals("diffpir fast", chosen("super-resolution", "fast", 4, MAPS));
  }

  private static PriorArtException unfit(String solver, PriorTraits prior) {
    return assertThrows(
        PriorArtException.class,
        () -> Restorer.requireFit(request("inpainting", solver, "fast", Map.of(), 1), prior));
  }

  /** Before any network is read: the prior is never asked for, or never bound. */
  @Test
  void whatDoesNotFitIsRefusedBeforeANetworkRuns() {
    assertTrue(unfit("dpir", LATENT).getMessage().startsWith("solver: dpir needs a pixel-space"));
    assertTrue(unfit("rad", PIXELS).getMessage().startsWith("solver: rad needs a prior"));
    assertTrue(unfit("latino", LATENT).getMessage().startsWith("solver: latino needs"));
    Prompt suppressing = new Prompt("a cat with a hat", "", 1, "hat", 4);
    for (String solver : List.of("p2l", "latino-pro")) {
      Restorer.Request tuned = request("inpainting", solver, "fast", Map.of(), 1, suppressing);
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> Restorer.requireFit(tuned, FEW_STEP));
      assertTrue(e.getMessage().startsWith("suppress: "), e.getMessage());
    }
    assertDoesNotThrow(
        () ->
            Restorer.requireFit(
                request("inpainting", "latino", "fast", Map.of(), 1, suppressing), FEW_STEP));
    assertDoesNotThrow(
        () -> Restorer.requireFit(request("inpainting", "latino", "fast", Map.of(), 1), FEW_STEP));
    assertDoesNotThrow(
        () -> Restorer.requireFit(request("inpainting", "tv", "fast", Map.of(), 1), PIXELS));
    Prior latent =
        (Prior)
            Proxy.newProxyInstance(
                Prior.class.getClassLoader(),
                new Class<?>[] {Prior.class},
                (proxy, method, arguments) -> {
                  assertEquals("traits", method.getName());
                  return LATENT;
                });
    HostTensor grey = new HostTensor(new Shape(1, 3, 8, 8), new float[192]);
    for (String solver : List.of("dpir", "diffpir", "rad", "latino")) {
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () ->
                  Restorer.restore(
                      new Picture(grey, 8, null),
                      request("identity", solver, "fast", Map.of(), 1),
                      () -> latent,
                      8,
                      RestoreListener.NONE,
                      Stopping.never()));
      assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
      assertEquals("solver", e.details().get("field"));
    }
    PriorArtException mask =
        assertThrows(
            PriorArtException.class,
            () ->
                Restorer.restore(
                    new Picture(grey, 8, null),
                    request("super-resolution", "rad", "fast", Map.of(), 1),
                    () -> fail("the prior was asked for"),
                    8,
                    RestoreListener.NONE,
                    Stopping.never()));
    assertTrue(mask.getMessage().startsWith("operators: rad"), mask.getMessage());
  }

  @Test
  void whatIsNamedStays() {
    Restorer.Request named = request("inpainting", "dpir", "fast", Map.of("steps", 3), 1);
    AutoSolver.Choice choice = AutoSolver.choose(named, PIXELS);
    assertEquals(named, choice.request());
    assertEquals("", choice.reason());
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                AutoSolver.choose(
                    request("inpainting", "auto", "fast", Map.of("zeta", 0.3), 1), PIXELS));
    assertTrue(e.getMessage().startsWith("solver: is auto"), e.getMessage());
  }

  private static String preset(String asked, String... operators) {
    List<OperatorRequest> task =
        Arrays.stream(operators).map(o -> new OperatorRequest(o, Map.of())).toList();
    return AutoSolver.preset("dpir", task, asked);
  }
}
