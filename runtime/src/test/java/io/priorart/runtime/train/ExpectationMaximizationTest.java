package io.priorart.runtime.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.train.DenoiserTraining;
import io.priorart.models.train.TrainingListener;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Laps of drawing and training on a network small enough to watch. */
class ExpectationMaximizationTest {
  private static final int SIDE = 24;

  @TempDir private Path dir;
  private final List<String> notes = new ArrayList<>();

  @BeforeEach
  void damage() throws Exception {
    Files.createDirectories(dir.resolve("data"));
    Files.createDirectories(dir.resolve("held"));
    for (int k = 0; k < 3; k++) {
      Picture clean = waves(k);
      Degrader.Degraded degraded =
          Degrader.degrade(
              clean,
              List.of(new OperatorRequest("inpainting", Map.of("random", 0.5))),
              Noise.ofSigma(0.01),
              k,
              32);
      Degrader.write(degraded, dir.resolve("data/" + k + ".tif"), false);
    }
    PictureFiles.write(waves(7), dir.resolve("held/a.png"), false);
  }

  private static Picture waves(int k) {
    float[] v = new float[3 * SIDE * SIDE];
    for (int i = 0; i < v.length; i++) {
      v[i] = (float) (0.8 * Math.sin(0.2 * (k + 1) * (i % SIDE) + 0.1 * (i / SIDE % SIDE)));
    }
    return new Picture(new HostTensor(new Shape(1, 3, SIDE, SIDE), v), 8, null);
  }

  private ExpectationMaximization em(int laps, BooleanSupplier stop) {
    TrainingListener listener =
        new TrainingListener() {
          @Override
          public void report(Progress progress) {}

          @Override
          public void note(String text) {
            notes.add(text);
          }
        };
    Duration lap = Duration.ofMillis(400);
    return new ExpectationMaximization(
        new ExpectationMaximization.Plan(
            List.of(dir.resolve("data")),
            List.of(dir.resolve("held")),
            laps,
            lap,
            3,
            1,
            new DenoisingUNet.Config(3, 2, new int[] {8, 12}, 1, 8, 0.5, 0.01, 8, true),
            new DenoiserTraining.Options(16, 4, 5e-3, lap, 1),
            dir.resolve("out"),
            dir.resolve("state")),
        stop,
        listener);
  }

  @Test
  void lapsAreKeptAndTheLastBecomesTheCheckpoint() throws Exception {
    assertFalse(em(3, () -> Files.exists(dir.resolve("state/lap-1"))).run(), "stopped in lap 1");
    assertTrue(Files.exists(dir.resolve("state/lap-0/model_index.json")));
    assertFalse(Files.exists(dir.resolve("state/lap-1/model_index.json")));
    assertFalse(Files.exists(dir.resolve("out")));
    byte[] first =
        Files.readAllBytes(dir.resolve("state/lap-0/denoiser/diffusion_pytorch_model.safetensors"));
    notes.clear();
    assertTrue(em(3, () -> false).run());
    assertTrue(notes.stream().noneMatch(n -> n.startsWith("lap 0")), notes::toString);
    assertEquals(
        3, notes.stream().filter(n -> n.startsWith("lap 2: drew")).count(), notes::toString);
    assertEquals(4, Files.readAllLines(dir.resolve("state/laps.csv")).size());
    assertTrue(
        java.util.Arrays.equals(
            first,
            Files.readAllBytes(
                dir.resolve("state/lap-0/denoiser/diffusion_pytorch_model.safetensors"))));
    try (Prior prior = ModelFamilies.load(dir.resolve("out"), CompileOptions.REFERENCE)) {
      assertTrue(prior.traits().noiseMap());
    }
    PriorArtException e = assertThrows(PriorArtException.class, () -> em(1, () -> false).run());
    assertTrue(e.getMessage().startsWith("out: ") && e.getMessage().contains("exists"));
  }

  @Test
  void everyProblemNeedsItsPicture() throws Exception {
    Files.delete(dir.resolve("data/1.tif"));
    PriorArtException e = assertThrows(PriorArtException.class, () -> em(1, () -> false).run());
    assertTrue(e.getMessage().contains("1.problem.json has no picture"), e.getMessage());
    for (int k = 0; k < 3; k++) {
      Files.delete(dir.resolve("data/" + k + ".problem.json"));
    }
    e = assertThrows(PriorArtException.class, () -> em(1, () -> false).run());
    assertTrue(e.getMessage().startsWith("data: no .problem.json"), e.getMessage());
  }
}
