package io.priorart.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.PriorTraits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.method.Solvers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Each solver restores with each family that can serve it, through the launcher's command. */
class FamiliesRestoreTest {
  private static final Path HOME = Path.of(System.getProperty("priorart.home"));
  private static final List<String> FAMILIES =
      List.of("sd-two-level", "sdxl", "inpainting", "lcm", "sd3", "sd35", "ddpm");

  @TempDir private Path dir;

  private static Path model(String family) {
    return HOME.resolve("testdata/fixtures").resolve(family);
  }

  /** Odd sides, within the 28 pixels that the smallest of them takes. */
  @BeforeEach
  void damage() {
    float[] values = new float[3 * 27 * 22];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) Math.sin(0.11 * (i % 22) + 0.2 * (i / 22));
    }
    Path picture = dir.resolve("x.png");
    PictureFiles.write(
        new Picture(new HostTensor(new Shape(1, 3, 27, 22), values), 8, null), picture, false);
    run("degrade", picture, "-o", dir.resolve("y.png"), "--operator", "inpainting:random=0.5");
  }

  private static void run(Object... args) {
    assertEquals(0, Main.run(Stream.of(args).map(Object::toString).toArray(String[]::new)));
  }

  private static Stream<Arguments> pairs() {
    List<Arguments> pairs = new ArrayList<>();
    for (String family : FAMILIES) {
      PriorTraits traits = ModelFamilies.traits(ModelSource.of(model(family)));
      for (SolverMethod<?> method : Solvers.BUILT_IN) {
        Set<Need> needs = method.needs();
        if (needs.contains(Need.MODEL)
            && traits.proximal() == needs.contains(Need.PROXIMAL)
            && (traits.pixelSpace() || !needs.contains(Need.PIXEL_SPACE))
            && (traits.noiseMap() || !needs.contains(Need.NOISE_MAP))
            && (traits.fewStep() || !needs.contains(Need.FEW_STEP))
            && (traits.text() || !needs.contains(Need.TEXT))) {
          pairs.add(Arguments.of(family, method.id()));
        }
      }
    }
    assertTrue(pairs.size() > 2 * FAMILIES.size());
    return pairs.stream();
  }

  @ParameterizedTest
  @MethodSource("pairs")
  void restores(String family, String solver) throws Exception {
    Path report = dir.resolve("report.json");
    run(
        "restore",
        dir.resolve("y.png"),
        "-o",
        dir.resolve("restored.png"),
        "--model",
        model(family),
        "--problem",
        dir.resolve("y.problem.json"),
        "--solver",
        solver,
        "--steps",
        "3",
        "--report",
        report);
    JsonNode told = new ObjectMapper().readTree(Files.readAllBytes(report));
    assertEquals(solver, told.path("solver").path("name").asText(), told.toString());
    JsonNode sample = told.path("samples").get(0);
    assertTrue(sample.path("evaluations").path("denoise").asInt() > 0, sample.toString());
    assertEquals("consistent", sample.path("verdict").path("judgement").asText());
    assertEquals(0, sample.path("changed_known_pixels").asInt(-1));
  }
}
