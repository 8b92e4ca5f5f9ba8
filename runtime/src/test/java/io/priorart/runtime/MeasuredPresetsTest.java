package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.models.PriorTraits;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MeasuredPresetsTest {
  private static final PriorTraits PIXELS = new PriorTraits(true, false, true, false);
  private static final PriorTraits LATENT = new PriorTraits(false, true, false, false);
  private static final PriorTraits PROXIMAL = new PriorTraits(true, false, false, false, true);
  private static final long PIXELS_256 = 256 * 256;

  private static MeasuredPresets.Entry entry(
      String task, String solver, int steps, boolean several, double psnr, double seconds) {
    String preset = task.equals("inpainting") && solver.equals("dpir") ? "inpainting" : "fast";
    return new MeasuredPresets.Entry("pixel", task, solver, preset, steps, several, psnr, seconds);
  }

  private static final MeasuredPresets TABLE =
      new MeasuredPresets(
          Map.of(),
          "none",
          0.1,
          256,
          List.of(
              entry("inpainting", "dpir", 8, false, 30, 1),
              entry("inpainting", "dpir", 48, false, 31, 6),
              entry("inpainting", "rad", 20, true, 29, 2),
              entry("gaussian-blur", "dpir", 8, false, 27, 1),
              entry("gaussian-blur", "dpir", 24, false, 28, 4),
              entry("identity", "dpir", 8, false, 32, 1),
              entry("identity", "dpir", 24, false, 31.5, 4)));

  private static List<OperatorRequest> task(String... names) {
    return List.of(names).stream().map(n -> new OperatorRequest(n, Map.of())).toList();
  }

  private static String best(String operator, int samples, long pixels, int seconds, double here) {
    Optional<MeasuredPresets.Fit> fit =
        TABLE.best(
            PIXELS, task(operator), samples, pixels, Duration.ofSeconds(seconds), () -> here);
    MeasuredPresets.Entry e = fit.orElseThrow().entry();
    return e.solver() + " " + e.steps() + (fit.get().within() ? "" : " too slow");
  }

  @Test
  void takesWhatReachesMostWithinTheBudget() {
    assertEquals("dpir 48", best("inpainting", 1, PIXELS_256, 20, 0.1));
    assertEquals("dpir 8", best("inpainting", 1, PIXELS_256, 5, 0.1), "a fifth is for other work");
    assertEquals("dpir 8", best("inpainting", 1, PIXELS_256, 20, 0.4), "a slower machine");
    assertEquals("dpir 48", best("inpainting", 1, PIXELS_256, 5, 0.05), "a faster one");
    assertEquals("dpir 8", best("inpainting", 1, 4 * PIXELS_256, 20, 0.1), "a larger picture");
    assertEquals("dpir 8 too slow", best("inpainting", 1, PIXELS_256, 1, 0.1));
    assertEquals("rad 20", best("inpainting", 4, PIXELS_256, 20, 0.1));
    assertEquals("rad 20 too slow", best("inpainting", 12, PIXELS_256, 20, 0.1));
    assertEquals("dpir 8", best("identity", 1, PIXELS_256, 60, 0.1), "longer is not better here");
  }

  @Test
  void anotherTaskCountsAsTheMeanOfThoseMeasured() {
    assertEquals("dpir 24", best("motion-blur", 1, PIXELS_256, 20, 0.1));
    assertEquals("dpir 8", best("motion-blur", 1, PIXELS_256, 3, 0.1));
    assertEquals("inpainting", MeasuredPresets.task(task("gaussian-blur", "inpainting")));
    assertEquals("gaussian-blur", MeasuredPresets.task(task("identity", "gaussian-blur")));
    assertEquals("identity", MeasuredPresets.task(task("identity")));
    assertEquals("other", MeasuredPresets.task(task("gaussian-blur", "super-resolution")));
  }

  @Test
  void whatWasNotMeasuredHasNoChoice() {
    Duration budget = Duration.ofSeconds(20);
    for (PriorTraits prior : new PriorTraits[] {LATENT, PROXIMAL}) {
      assertTrue(
          TABLE
              .best(
                  prior,
                  task("inpainting"),
                  1,
                  PIXELS_256,
                  budget,
                  () -> {
                    throw new AssertionError("nothing to be timed for");
                  })
              .isEmpty());
    }
    PriorTraits oneLevel = new PriorTraits(true, false, false, false);
    assertTrue(
        TABLE.best(oneLevel, task("inpainting"), 4, PIXELS_256, budget, () -> 0.1).isEmpty(),
        "rad needs a noise map");
  }

  private static Restorer.Request request(
      String solver, String preset, Integer steps, int samples) {
    return new Restorer.Request(
        task("inpainting"),
        Noise.ofSigma(0.01),
        solver,
        preset,
        Map.of(),
        steps,
        true,
        Prompt.NONE,
        0,
        samples,
        0,
        0);
  }

  /** The bundled table chooses, and only what nobody chose. */
  @Test
  void aBudgetChoosesForAuto() {
    Duration hours = Duration.ofHours(3);
    AutoSolver.Choice found =
        AutoSolver.choose(request("auto", "fast", null, 1), PIXELS, hours, () -> PIXELS_256);
    assertTrue(found.reason().startsWith("budget of 10800 s: the best measured"), found.reason());
    assertEquals("dpir", found.request().solver());
    assertTrue(found.request().steps() >= 24, "" + found.request().steps());
    Restorer.check(found.request());
    Duration none = Duration.ofMillis(1);
    AutoSolver.Choice hasty =
        AutoSolver.choose(request("auto", "fast", null, 1), PIXELS, none, () -> PIXELS_256);
    assertTrue(hasty.reason().contains("it may be cut short"), hasty.reason());
    assertTrue(hasty.request().steps() <= 8, "" + hasty.request().steps());
    for (Restorer.Request named :
        List.of(
            request("diffpir", "fast", null, 1),
            request("auto", "paper", null, 1),
            request("auto", "fast", 5, 1))) {
      assertEquals(
          AutoSolver.choose(named, PIXELS),
          AutoSolver.choose(named, PIXELS, hours, () -> PIXELS_256));
    }
  }

  private static Restorer.Request of(OperatorRequest operator, Prompt prompt) {
    return new Restorer.Request(
        List.of(operator),
        Noise.ofSigma(0.01),
        "auto",
        "fast",
        Map.of(),
        null,
        true,
        prompt,
        0,
        1,
        0,
        0);
  }

  /** Guidance makes two evaluations of one. */
  @Test
  void guidanceIsReckonedWith() {
    Duration budget = Duration.ofHours(3);
    OperatorRequest blur = new OperatorRequest("gaussian-blur", Map.of("sigma", "2"));
    String plain =
        AutoSolver.choose(of(blur, Prompt.NONE), LATENT, budget, () -> PIXELS_256).reason();
    String guided =
        AutoSolver.choose(of(blur, new Prompt("a bee", "", 4)), LATENT, budget, () -> PIXELS_256)
            .reason();
    assertEquals(2 * predicted(plain), predicted(guided), 0.11, plain + guided);
  }

  private static double predicted(String reason) {
    Matcher m = Pattern.compile("([0-9.]+) s predicted here").matcher(reason);
    assertTrue(m.find(), reason);
    return Double.parseDouble(m.group(1));
  }

  @Test
  void pixelsAreThoseThatTheOperatorsImply() {
    OperatorRequest four = new OperatorRequest("super-resolution", Map.of("factor", "4"));
    assertEquals(256 * 192, of(four, Prompt.NONE).pixels(64, 48));
    OperatorRequest blur = new OperatorRequest("gaussian-blur", Map.of("sigma", "2"));
    assertEquals(64 * 48, of(blur, Prompt.NONE).pixels(64, 48));
    OperatorRequest wrong = new OperatorRequest("super-resolution", Map.of("factor", "abc"));
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> of(wrong, Prompt.NONE).pixels(64, 48));
    assertTrue(e.getMessage().startsWith("operators[0].factor"), e.getMessage());
  }

  /** Priors and tasks that nobody measured: the usual choice, which says so. */
  @Test
  void aBudgetThatCannotChooseSaysSo() {
    AutoSolver.Choice found =
        AutoSolver.choose(
            request("auto", "fast", null, 1), PROXIMAL, Duration.ofHours(3), () -> PIXELS_256);
    assertEquals("lpn", found.request().solver());
    assertTrue(found.reason().endsWith("so the budget only cuts it short"), found.reason());
  }

  /** A prediction from the scaled table is what it was. */
  @Test
  void entriesOfAnotherMachineAreScaledToThisOne() {
    MeasuredPresets scaled = TABLE.scaledTo(2 * TABLE.speed());
    assertEquals(2 * TABLE.speed(), scaled.speed());
    for (int i = 0; i < TABLE.entries().size(); i++) {
      assertEquals(2 * TABLE.entries().get(i).seconds(), scaled.entries().get(i).seconds(), 1e-3);
      assertEquals(TABLE.entries().get(i).psnr(), scaled.entries().get(i).psnr());
    }
  }

  @Test
  void everyBundledEntryExists() {
    MeasuredPresets bundled = MeasuredPresets.bundled();
    Set<String> kinds = new HashSet<>();
    for (MeasuredPresets.Entry e : bundled.entries()) {
      kinds.add(e.prior());
      assertTrue(Restorer.SOLVERS.byId(e.solver()).presets().containsKey(e.preset()), e.toString());
      assertTrue(e.psnr() > 10 && e.seconds() > 0, e.toString());
    }
    assertEquals(Set.of("pixel", "latent", "few-step"), kinds);
    assertTrue(bundled.speed() > 0 && bundled.machine().containsKey("cpu"));
  }

  @Test
  void aFileThatIsNoTableIsRefused(@TempDir Path dir) throws Exception {
    assertEquals(
        ErrorKind.NOT_FOUND,
        assertThrows(PriorArtException.class, () -> MeasuredPresets.read(dir.resolve("none")))
            .kind());
    for (String text : List.of("{", "{}", "[]")) {
      Path file = Files.writeString(dir.resolve("bad.json"), text);
      PriorArtException e = assertThrows(PriorArtException.class, () -> MeasuredPresets.read(file));
      assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
    }
    Path file = dir.resolve("good.json");
    Json.write(TABLE, file, false);
    assertEquals(TABLE, MeasuredPresets.read(file));
    assertFalse(TABLE.entries().isEmpty());
    assertNull(MeasuredPresets.kind(PROXIMAL));
  }

  @Test
  void theMachineIsTimedOnce() {
    double first = MachineSpeed.seconds();
    assertTrue(first > 0 && first < 60, "" + first);
    assertEquals(first, MachineSpeed.seconds());
  }
}
