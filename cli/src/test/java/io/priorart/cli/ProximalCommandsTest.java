package io.priorart.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code train lpn} and what a learned proximal network serves, as a user types it. */
class ProximalCommandsTest {
  private static final int SIDE = 32;

  @TempDir private static Path dir;

  private static Path file(String name) {
    return dir.resolve(name);
  }

  @BeforeAll
  static void train() throws IOException {
    Files.createDirectories(file("data"));
    for (int k = 0; k < 3; k++) {
      float[] values = new float[3 * SIDE * SIDE];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) (0.8 * Math.sin(0.1 * (i % SIDE) + (0.2 + 0.1 * k) * (i / SIDE)));
      }
      PictureFiles.write(
          new Picture(new HostTensor(new Shape(1, 3, SIDE, SIDE), values), 8, null),
          file("data/" + k + ".png"),
          false);
    }
    List<String> small = List.of("--patch", "16", "--batch", "4", "--learning-rate", "1e-2");
    Cli trained =
        Cli.run(
            command(
                List.of("train", "lpn", "--data", file("data"), "-o", file("lpn")),
                List.of("--width", "8", "--levels", "2", "--minutes", "0.05"),
                small));
    assertEquals(0, trained.code(), trained.err());
    Cli resumed =
        Cli.run(
            command(
                List.of("train", "resume", "--from", file("lpn"), "--data", file("data")),
                List.of("-o", file("more"), "--minutes", "0.05"),
                small));
    assertEquals(0, resumed.code(), resumed.err());
  }

  private static Object[] command(List<?>... parts) {
    return List.of(parts).stream().flatMap(List::stream).toArray();
  }

  @Test
  void restoresByItsOwnSolverAndRefusesOthers() throws IOException {
    String operator = "inpainting:random=0.3";
    Cli degraded =
        Cli.run(
            "degrade",
            file("data/0.png"),
            "-o",
            file("d.tif"),
            "--operator",
            operator,
            "--sigma",
            0.02);
    assertEquals(0, degraded.code(), degraded.err());
    Object[] restore = {
      "restore",
      file("d.tif"),
      "--problem",
      file("d.problem.json"),
      "--model",
      file("more"),
      "--json"
    };
    JsonNode report = Cli.run(command(List.of(restore), List.of("-o", file("r.png")))).json();
    assertEquals("lpn", report.at("/solver/name").asText());
    assertEquals("inpainting", report.at("/solver/preset").asText());
    assertEquals("learned proximal operator", report.at("/solver/reason").asText());
    assertEquals("float32", report.at("/model/precision").asText());
    Cli refused =
        Cli.run(command(List.of(restore), List.of("-o", file("x.png"), "--solver", "dpir")));
    assertEquals(2, refused.code());
    assertTrue(
        refused.err().contains("dpir needs a diffusion model; this one is a learned proximal"),
        refused.err());
    Cli without =
        Cli.run(
            "restore",
            file("d.tif"),
            "--problem",
            file("d.problem.json"),
            "-o",
            file("x.png"),
            "--solver",
            "lpn");
    assertEquals(2, without.code());
    assertTrue(without.err().contains("lpn needs a learned proximal operator"), without.err());
  }

  @Test
  void evaluatesItsLogPrior() throws IOException {
    JsonNode rows =
        Cli.run(
                "model",
                "log-prior",
                "--model",
                file("more"),
                "--iterations",
                40,
                "--json",
                file("data/0.png"),
                file("data/1.png"))
            .json();
    assertEquals(2, rows.size());
    for (JsonNode row : rows) {
      double sigma = 0.2;
      assertEquals(
          row.path("log_prior").asDouble(),
          -row.path("penalty").asDouble() / (sigma * sigma),
          1e-6 * Math.abs(row.path("log_prior").asDouble()));
      assertEquals(SIDE, row.path("width").asInt());
    }
    Cli other = Cli.run("model", "log-prior", "--model", "pixel-v3", file("data/0.png"));
    assertEquals(2, other.code());
    assertTrue(other.err().contains("is no learned proximal network"), other.err());
  }

  @Test
  void isEvaluatedInspectedAndVerified() throws IOException {
    JsonNode figures =
        Cli.run("train", "eval", file("more"), "--data", file("data"), "--json").json();
    assertEquals(1, figures.at("/denoiser/denoising").size());
    assertEquals(0.1, figures.at("/denoiser/denoising/0/sigma").asDouble(), 1e-12);
    JsonNode inspected = Cli.run("model", "inspect", file("more"), "--json").json();
    assertEquals("LearnedProximalPipeline", inspected.path("family").asText());
    assertEquals("ConvexPotential", inspected.at("/parts/0/class_name").asText());
    Cli verified = Cli.run("model", "verify", file("more"));
    assertEquals(0, verified.code(), verified.err());
    Cli presets = Cli.run("bench", "presets", "--model", file("more"), "-o", file("p.json"));
    assertEquals(2, presets.code());
    assertTrue(presets.err().contains("model: has one solver"), presets.err());
  }

  @Test
  void robustnessIsCountedAndGoesOn() throws IOException {
    Object[] bench = {
      "bench",
      "robustness",
      "--model",
      file("more"),
      "--pictures",
      file("data"),
      "--side",
      16,
      "--results",
      file("runs.jsonl")
    };
    Cli first = Cli.run(command(List.of(bench), List.of("--runs", 3)));
    assertEquals(0, first.code(), first.err());
    assertTrue(first.out().contains("| `lpn` | 3 | 0 |"), first.out());
    List<String> kept = Files.readAllLines(file("runs.jsonl"));
    assertEquals(3, kept.size());
    JsonNode runs = Cli.run(command(List.of(bench), List.of("--runs", 5, "--json"))).json();
    assertEquals(5, runs.size());
    assertEquals(kept, Files.readAllLines(file("runs.jsonl")).subList(0, 3));
    assertEquals("super-resolution:factor=4@0.01", runs.at("/2/key/task").asText());
    assertTrue(runs.at("/2/failure").isNull());
    assertTrue(runs.at("/2/psnr").asDouble() > 5);
    Files.writeString(file("bad.jsonl"), "{\n");
    Object[] bad = bench.clone();
    bad[bad.length - 1] = file("bad.jsonl");
    Cli damaged = Cli.run(bad);
    assertEquals(2, damaged.code());
    assertTrue(damaged.err().contains("is no file of this benchmark"), damaged.err());
  }
}
