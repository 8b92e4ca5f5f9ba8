package io.priorart.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.VelocityCurve;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code model calibrate}, and that what it writes beside a checkpoint is read with it. */
class CalibrateTest {
  private static final Path HOME = Path.of(System.getProperty("priorart.home"));
  private static final int SIDE = 16;
  private static final int PICTURES = 3;

  @TempDir private Path dir;
  private Path model;

  @BeforeEach
  void copies() throws Exception {
    Path from = HOME.resolve("testdata/fixtures/sd-two-level");
    model = dir.resolve("model");
    try (Stream<Path> files = Files.walk(from)) {
      for (Path file : files.toList()) {
        Files.copy(file, model.resolve(from.relativize(file).toString()));
      }
    }
    Files.createDirectories(dir.resolve("data"));
    for (int k = 0; k < PICTURES; k++) {
      PictureFiles.write(picture(k), dir.resolve("data/" + k + ".png"), false);
    }
  }

  private static Picture picture(int k) {
    float[] values = new float[3 * SIDE * SIDE];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) Math.sin(0.1 * (i % SIDE) + (0.2 + 0.1 * k) * (i / SIDE));
    }
    return new Picture(new HostTensor(new Shape(1, 3, SIDE, SIDE), values), 8, null);
  }

  private static int run(Object... args) {
    return Main.run(Stream.of(args).map(Object::toString).toArray(String[]::new));
  }

  private static VelocityCurve read(Path model) {
    try (Prior prior = ModelFamilies.load(model, CompileOptions.REFERENCE)) {
      return prior.bind(SIDE, SIDE).velocityErrors();
    }
  }

  /** Against other noise in a loop: many elements, so that both come close to the mean. */
  @Test
  void theCurveIsTheVelocitysError() {
    assertNull(read(model));
    assertEquals(0, run("model", "calibrate", model, "--data", dir.resolve("data")));
    VelocityCurve curve = read(model);
    assertEquals(20, curve.times().size());
    try (Prior prior = ModelFamilies.load(model, CompileOptions.REFERENCE);
        NDManager manager = prior.bind(SIDE, SIDE).manager().newSubManager()) {
      LatentDiffusionModel bound = prior.bind(SIDE, SIDE);
      Conditioning text = bound.condition(manager, Prompt.NONE);
      NoiseSource noise = new NoiseSource(77);
      for (int at : new int[] {2, 10, 18}) {
        double t = curve.times().get(at);
        double sum = 0;
        int count = 0;
        for (int k = 0; k < 4 * PICTURES; k++) {
          NDArray z0 = bound.encode(picture(k % PICTURES).pixels().to(manager));
          NDArray eps = noise.normal(manager, z0.getShape());
          NDArray z = z0.add(eps.mul(t / (1 - t)));
          float[] seen = bound.denoise(z, t / (1 - t), text).toFloatArray();
          float[] truth = z0.toFloatArray();
          for (int i = 0; i < truth.length; i++) {
            // x_t - z0 = t v
            sum += (seen[i] - truth[i]) * (seen[i] - truth[i]) / (t * t);
            count++;
          }
        }
        assertEquals(1, curve.errors().get(at) / (sum / count), 0.15, "at " + t);
      }
    }
    // what is there stays, unless told otherwise
    assertNotEquals(0, run("model", "calibrate", model, "--data", dir.resolve("data")));
    Path other = dir.resolve("other.json");
    assertEquals(
        0,
        run("model", "calibrate", model, "--data", dir.resolve("data"), "--seed", 1, "-o", other));
    assertTrue(Files.exists(other));
    assertEquals(curve, read(model));
  }

  @Test
  void aCurveThatIsNoneIsRefused() throws Exception {
    for (String bad : List.of("{}", "{\"times\": [0.1, 0.2], \"errors\": [1, \"x\"]}")) {
      Files.writeString(model.resolve("calibration.json"), bad);
      PriorArtException e = assertThrows(PriorArtException.class, () -> read(model));
      assertTrue(e.getMessage().startsWith("calibration.json: "), e.getMessage());
    }
  }

  @Test
  void pixelPriorsAreNotCalibrated() {
    Path pixels = HOME.resolve("testdata/fixtures/ddpm");
    assertNotEquals(
        0,
        run(
            "model",
            "calibrate",
            pixels,
            "--data",
            dir.resolve("data"),
            "-o",
            dir.resolve("none.json")));
    assertFalse(Files.exists(dir.resolve("none.json")));
  }
}
