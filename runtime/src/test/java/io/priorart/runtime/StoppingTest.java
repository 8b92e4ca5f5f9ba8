package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveEvent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a restoration gives that is stopped on its way, counted in steps instead of seconds. */
class StoppingTest {
  @TempDir private Path dir;
  private int steps;
  private final List<String> warnings = new ArrayList<>();

  private final RestoreListener counting =
      new RestoreListener() {
        @Override
        public void on(SolveEvent event) {
          steps += event instanceof SolveEvent.Step ? 1 : 0;
        }

        @Override
        public void warning(String message) {
          warnings.add(message);
        }
      };

  private Restorer.Restoration restore(Stopping stopping) {
    return restore(1, stopping);
  }

  private Restorer.Restoration restore(int samples, Stopping stopping) {
    HostTensor pixels = new NoiseSource(1).normal(new Shape(1, 3, 8, 8));
    Restorer.Request request =
        new Restorer.Request(
            List.of(new OperatorRequest("identity", Map.of())),
            Noise.ofSigma(0.1),
            "tv",
            "fast",
            Map.of(),
            null,
            true,
            Prompt.NONE,
            0,
            samples,
            0,
            0);
    steps = 0;
    return Restorer.restore(
        new Picture(pixels, 8, null), request, () -> null, 8, counting, stopping);
  }

  @Test
  void aCancelledSolveFailsUnlessItsBestIsToBeKept() {
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> restore(new Stopping(() -> steps == 5, null, false)));
    assertEquals(ErrorKind.CANCELLED, e.kind());
    Restorer.Sample sample = restore(new Stopping(() -> steps == 5, null, true)).samples().get(0);
    assertEquals(5, sample.cutShortAfter());
    assertTrue(steps < 10);
    assertEquals(0, restore(Stopping.never()).samples().get(0).cutShortAfter());
  }

  /** Without a model each sample is a batch of its own. */
  @Test
  void stoppedBetweenBatchesWhatEndedIsKept() {
    restore(Stopping.never());
    int all = steps;
    List<Restorer.Sample> begun =
        restore(3, new Stopping(() -> steps == all + 2, null, true)).samples();
    assertEquals(2, begun.size());
    assertEquals(0, begun.get(0).cutShortAfter());
    assertEquals(2, begun.get(1).cutShortAfter());
    assertEquals(1, restore(3, new Stopping(() -> steps == all, null, true)).samples().size());
    Stopping failing = new Stopping(() -> steps == all + 2, null, false);
    assertThrows(PriorArtException.class, () -> restore(3, failing));
  }

  @Test
  void aStateOfSeveralBatchesIsRefusedBeforeAnyRuns() {
    Path state = dir.resolve("solve.safetensors");
    Path fixtures = Checkpoints.home().resolve("testdata/fixtures/sd-two-level");
    try (Prior prior = ModelFamilies.load(fixtures, CompileOptions.REFERENCE)) {
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () -> solve(prior, 3, 9, new Stopping(() -> false, null, false, state)));
      assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
      assertTrue(e.getMessage().startsWith("state: "), e.getMessage());
      assertEquals(0, steps);
    }
  }

  /** Stopped after two of four steps and gone on with, a solve ends in the same pixels. */
  @Test
  void aKeptSolveGoesOnToTheSamePixels() {
    Path state = dir.resolve("solve.safetensors");
    Path fixtures = Checkpoints.home().resolve("testdata/fixtures/sd-two-level");
    try (Prior prior = ModelFamilies.load(fixtures, CompileOptions.REFERENCE)) {
      HostTensor whole = solve(prior, 3, Stopping.never());
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () -> solve(prior, 3, new Stopping(() -> steps == 3, null, false, state)));
      assertEquals(ErrorKind.CANCELLED, e.kind());
      assertTrue(Files.exists(state));
      PriorArtException other =
          assertThrows(
              PriorArtException.class,
              () -> solve(prior, 4, new Stopping(() -> false, null, false, state)));
      assertEquals(ErrorKind.FAILED_PRECONDITION, other.kind());
      assertEquals(0, steps);
      Stopping going = new Stopping(() -> false, null, false, state);
      assertEquals(whole, solve(prior, 3, going));
      assertEquals(2, steps, "steps that were left");
      assertTrue(Files.exists(state), "until the result is safe");
      going.removeState();
      assertFalse(Files.exists(state));
    }
  }

  /** What is no state of this very solve is refused by name, before any step. */
  @Test
  void aStateServesItsOwnSolveAlone() throws IOException {
    Path state = dir.resolve("solve.safetensors");
    Stopping kept = new Stopping(() -> steps == 3, null, false, state);
    Path fixtures = Checkpoints.home().resolve("testdata/fixtures/sd-two-level");
    ModelSource tiles = ModelSource.of(fixtures).tiled(64);
    try (Prior prior = ModelFamilies.load(fixtures, CompileOptions.REFERENCE);
        Prior tiled = ModelFamilies.load(tiles, CompileOptions.REFERENCE)) {
      assertThrows(PriorArtException.class, () -> enlarge(prior, 16, kept));
      byte[] right = Files.readAllBytes(state);
      refused(ErrorKind.FAILED_PRECONDITION, "another picture, size, model", tiled, 16, state);
      // a picture one pixel smaller has the same measurement, and latents of the same shape
      refused(ErrorKind.FAILED_PRECONDITION, "another picture, size, model", prior, 15, state);
      byte[] cut = Arrays.copyOf(right, right.length - 4);
      byte[] changed = right.clone();
      changed[changed.length - 2] ^= 1;
      for (byte[] wrong : new byte[][] {cut, changed, {}, "a photograph".getBytes()}) {
        Files.write(state, wrong);
        refused(ErrorKind.INVALID_ARGUMENT, "no solve's state, or damaged", prior, 16, state);
        assertArrayEquals(wrong, Files.readAllBytes(state), "and left as it was");
      }
      Path nowhere = dir.resolve("nowhere").resolve("state");
      refused(ErrorKind.NOT_FOUND, "there is no folder", prior, 16, nowhere);
    }
  }

  private void refused(ErrorKind kind, String why, Prior prior, int side, Path state) {
    Stopping stopping = new Stopping(() -> false, null, false, state);
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> enlarge(prior, side, stopping));
    assertEquals(kind, e.kind(), e.getMessage());
    assertTrue(e.getMessage().startsWith("state: "), e.getMessage());
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(0, steps);
  }

  /** A full or vanished disk costs the state, not the solve. */
  @Test
  void aStateThatCannotBeWrittenIsSaidAndTheStopStays() throws IOException {
    Path folder = Files.createDirectory(dir.resolve("disk"));
    Path fixtures = Checkpoints.home().resolve("testdata/fixtures/sd-two-level");
    BooleanSupplier vanishing =
        () -> {
          if (steps == 3) {
            folder.toFile().delete();
          }
          return steps == 3;
        };
    try (Prior prior = ModelFamilies.load(fixtures, CompileOptions.REFERENCE)) {
      Stopping stopping = new Stopping(vanishing, null, true, folder.resolve("state"));
      steps = 0;
      Restorer.Sample sample =
          Restorer.restore(picture(16), request(3, 1), () -> prior, 8, counting, stopping)
              .samples()
              .get(0);
      assertEquals(3, sample.cutShortAfter());
      assertEquals(1, warnings.size());
      assertTrue(warnings.get(0).startsWith("state: "), warnings.get(0));
    }
  }

  private HostTensor solve(Prior prior, long seed, Stopping stopping) {
    return solve(prior, seed, 1, stopping);
  }

  private HostTensor solve(Prior prior, long seed, int samples, Stopping stopping) {
    steps = 0;
    return Restorer.restore(picture(16), request(seed, samples), () -> prior, 8, counting, stopping)
        .samples()
        .get(0)
        .picture()
        .pixels();
  }

  /** A picture of half the side, doubled. */
  private void enlarge(Prior prior, int side, Stopping stopping) {
    OperatorRequest half = new OperatorRequest("super-resolution", Map.of("factor", 2));
    steps = 0;
    Restorer.restore(picture(8), request(half, 3, 1, side), () -> prior, 8, counting, stopping);
  }

  private static Picture picture(int side) {
    return new Picture(new NoiseSource(1).normal(new Shape(1, 3, side, side)), 8, null);
  }

  private static Restorer.Request request(long seed, int samples) {
    return request(new OperatorRequest("identity", Map.of()), seed, samples, 0);
  }

  private static Restorer.Request request(
      OperatorRequest operator, long seed, int samples, int side) {
    return new Restorer.Request(
        List.of(operator),
        Noise.ofSigma(0.1),
        "prox-diffusion",
        "fast",
        Map.of(),
        4,
        true,
        Prompt.NONE,
        seed,
        samples,
        side,
        side);
  }

  @Test
  void aSpentBudgetWithoutAnEstimateFails() {
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> restore(new Stopping(() -> false, Duration.ofNanos(1), true)));
    assertEquals(ErrorKind.DEADLINE_EXCEEDED, e.kind());
    assertEquals(
        0,
        restore(new Stopping(() -> false, Duration.ofHours(1), false))
            .samples()
            .get(0)
            .cutShortAfter());
  }

  @Test
  void durationsAreReadAsPeopleWriteThem() {
    assertEquals(Duration.ofMillis(1500), Stopping.duration("budget", "1.5s"));
    assertEquals(Duration.ofMillis(20), Stopping.duration("budget", "20ms"));
    assertEquals(Duration.ofMinutes(2), Stopping.duration("budget", "2m"));
    assertEquals(Duration.ofHours(1), Stopping.duration("budget", "1h"));
    for (String wrong : new String[] {"", "5", "-1s", "1e9s", "1 s", "99999999h"}) {
      assertThrows(PriorArtException.class, () -> Stopping.duration("budget", wrong), wrong);
    }
    assertThrows(PriorArtException.class, () -> new Stopping(() -> false, Duration.ZERO, false));
  }

  @Test
  void whatIsLeftIsSharedByTheBatchesThatAreLeft() {
    Stopping stopping = new Stopping(() -> false, Duration.ofSeconds(100), false);
    Duration half = stopping.share(System.nanoTime(), 2);
    assertTrue(half.toMillis() <= 50_000 && half.toMillis() > 40_000, "" + half);
    Duration spent = stopping.share(System.nanoTime() - Duration.ofHours(1).toNanos(), 2);
    assertEquals(Duration.ZERO, spent);
  }
}
