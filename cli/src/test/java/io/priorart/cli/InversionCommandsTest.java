package io.priorart.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.inversion.InvertedPicture;
import io.priorart.solver.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * {@code invert}, {@code edit} and {@code interpolate} as a user types them, on tiny checkpoints.
 */
class InversionCommandsTest {
  private static final Path FIXTURES =
      Path.of(System.getProperty("priorart.home")).resolve("testdata/fixtures");
  private static final Path MODEL = FIXTURES.resolve("sd-two-level");

  @TempDir private Path dir;

  @BeforeEach
  void paint() {
    for (int k = 0; k < 2; k++) {
      float[] values = new float[3 * 27 * 22];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) Math.sin(0.11 * (i % 22) * (1 + k) + 0.2 * (i / 22));
      }
      PictureFiles.write(
          new Picture(new HostTensor(new Shape(1, 3, 27, 22), values), 8, null),
          file("x" + k + ".png"),
          false);
    }
  }

  private Path file(String name) {
    return dir.resolve(name);
  }

  private Cli invert(int picture, String noise, Object... more) {
    Object[] args = {
      "invert", file("x" + picture + ".png"), "-o", file(noise), "--model", MODEL, "--json"
    };
    return Cli.run(Stream.concat(Stream.of(args), Stream.of(more)).toArray());
  }

  private double psnr(String a, String b) {
    Picture first = PictureFiles.read(file(a), 1000);
    return Comparison.of(first, PictureFiles.read(file(b), 1000), null).psnr();
  }

  /** With the bundled checkpoint: a random network has no way back. */
  @Test
  void aPictureComesBackByItsOwnWordsAndChangesByOthers() throws IOException {
    JsonNode report =
        Cli.run(
                "invert",
                file("x0.png"),
                "-o",
                file("noise.safetensors"),
                "--model",
                "bundled",
                "--json",
                "--prompt",
                "a wave",
                "--steps",
                "6",
                "--param",
                "iterations=8",
                "--reconstruction",
                file("back.png"))
            .json();
    assertEquals("rnri", report.path("method").path("name").asText());
    assertEquals("float32", report.path("model").path("precision").asText());
    assertEquals(6, report.path("steps").size());
    double error = report.path("reconstruction").path("latent_error_db").asDouble();
    assertTrue(error < -18, "latent error " + error);
    assertEquals(
        report.path("reconstruction").path("psnr").asDouble(), psnr("x0.png", "back.png"), 1e-6);
    InvertedPicture noise = InvertedPicture.read("noise", file("noise.safetensors"));
    assertEquals(22, noise.width());
    assertEquals(27, noise.height());

    Object[] edit = {"edit", file("noise.safetensors"), "--model", "bundled", "--json", "-o"};
    Cli.run(
            Stream.concat(Stream.of(edit), Stream.of(file("same.png"), "--edit-prompt", "a wave"))
                .toArray())
        .json();
    assertEquals(Double.POSITIVE_INFINITY, psnr("same.png", "back.png"));
    Cli.run(
            Stream.concat(Stream.of(edit), Stream.of(file("other.png"), "--edit-prompt", "a brick"))
                .toArray())
        .json();
    assertTrue(psnr("other.png", "back.png") < 60);
    Cli cut =
        Cli.run(
            Stream.concat(
                    Stream.of(edit),
                    Stream.of(file("cut.png"), "--edit-prompt", "a brick ".repeat(40)))
                .toArray());
    assertEquals(0, cut.code(), cut.err());
    assertTrue(
        cut.err().contains("--edit-prompt is longer than the text encoder reads"), cut.err());

    JsonNode whole =
        Cli.run(
                "edit",
                file("x0.png"),
                "--prompt",
                "a wave",
                "--edit-prompt",
                "a brick",
                "--steps",
                "6",
                "--param",
                "iterations=8",
                "--model",
                "bundled",
                "-o",
                file("whole.png"),
                "--noise",
                file("kept.safetensors"),
                "--json")
            .json();
    assertEquals("a brick", whole.path("edit").path("prompt").asText());
    assertEquals(file("kept.safetensors").toString(), whole.path("noise").asText());
    assertEquals(Double.POSITIVE_INFINITY, psnr("whole.png", "other.png"));
    assertTrue(Files.isRegularFile(file("kept.safetensors")));
  }

  @Test
  void tunedEmbeddingsTravelWithTheNoise() throws IOException {
    JsonNode report =
        invert(0, "noise.safetensors", "--prompt", "a cat", "--guidance-scale", "3", "--steps", "4")
            .json();
    assertEquals("null-text", report.path("method").path("name").asText());
    assertEquals(4, InvertedPicture.read("noise", file("noise.safetensors")).nulls().size());
    JsonNode edited =
        Cli.run(
                "edit",
                file("noise.safetensors"),
                "--model",
                MODEL,
                "--edit-prompt",
                "a hat",
                "--edit-guidance-scale",
                "4",
                "-o",
                file("edited.png"),
                "--json")
            .json();
    assertEquals(4, edited.path("edit").path("guidance_scale").asDouble());
    assertEquals(8, edited.path("evaluations").path("denoise").asInt());
  }

  @Test
  void betweenTwoPicturesLieOthers() throws IOException {
    for (int k = 0; k < 2; k++) {
      invert(k, k + ".safetensors", "--steps", "4", "--reconstruction", file("back" + k + ".png"))
          .json();
    }
    JsonNode report =
        Cli.run(
                "interpolate",
                file("0.safetensors"),
                file("1.safetensors"),
                "--frames",
                "3",
                "--model",
                MODEL,
                "-o",
                file("frames"),
                "--json")
            .json();
    assertEquals(3, report.path("outputs").size());
    assertTrue(psnr("frames/000.png", "back0.png") > 45);
    assertTrue(psnr("frames/002.png", "back1.png") > 45);
    assertTrue(psnr("frames/001.png", "back0.png") < 45);
    Cli again =
        Cli.run(
            "interpolate",
            file("0.safetensors"),
            file("1.safetensors"),
            "--model",
            MODEL,
            "-o",
            file("frames"));
    assertEquals(2, again.code());
    assertTrue(again.err().contains("not an empty folder"), again.err());
  }

  @ParameterizedTest
  @CsvSource({
    "sdxl, fixed-point-inversion",
    "lcm, fixed-point-inversion",
    "lcm, rnri",
    "ddpm, fixed-point-inversion",
    "inpainting, fixed-point-inversion",
    "sd3, fixed-point-inversion",
  })
  void otherFamiliesAreInvertedToo(String family, String method) throws IOException {
    JsonNode report =
        Cli.run(
                "invert",
                file("x0.png"),
                "-o",
                file("n.safetensors"),
                "--model",
                FIXTURES.resolve(family),
                "--steps",
                "3",
                "--method",
                method,
                "--json")
            .json();
    assertTrue(Double.isFinite(report.path("reconstruction").path("latent_error_db").asDouble()));
  }

  @Test
  void badInputIsNamedAndNothingIsWritten() throws IOException {
    refused("rnri", "invert", file("x0.png"), "-o", file("n.safetensors"), "--method", "rnrj");
    refused("steps", "invert", file("x0.png"), "-o", file("n.safetensors"), "--steps", "0");
    refused(".safetensors", "invert", file("x0.png"), "-o", file("n.png"));
    refused(
        "float32",
        "invert",
        file("x0.png"),
        "-o",
        file("n.safetensors"),
        "--precision",
        "bfloat16");
    refused(
        "understands text",
        "invert",
        file("x0.png"),
        "-o",
        file("n.safetensors"),
        "--model",
        FIXTURES.resolve("ddpm"),
        "--method",
        "null-text");
    refused("frames", "interpolate", file("a"), file("b"), "-o", file("c"), "--frames", "1");
    refused(
        "no such file", "edit", file("a.safetensors"), "--edit-prompt", "b", "-o", file("c.png"));
    assertFalse(Files.exists(file("n.safetensors")));
    invert(0, "n.safetensors", "--steps", "2").json();
    refused("exists", "invert", file("x0.png"), "-o", file("n.safetensors"));
    refused(
        "another model",
        "edit",
        file("n.safetensors"),
        "--edit-prompt",
        "b",
        "-o",
        file("c.png"),
        "--model",
        FIXTURES.resolve("lcm"));
    refused(
        "tells the words",
        "edit",
        file("n.safetensors"),
        "--prompt",
        "a",
        "--edit-prompt",
        "b",
        "-o",
        file("c.png"));
    refused(
        "is inverted already",
        "edit",
        file("n.safetensors"),
        "--method",
        "nonsense",
        "--edit-prompt",
        "b",
        "-o",
        file("c.png"));
    assertFalse(Files.exists(file("c.png")));
  }

  private static void refused(String words, Object... args) {
    Object[] all = args;
    if (Stream.of(args).noneMatch("--model"::equals)) {
      all = Stream.concat(Stream.of(args), Stream.of("--model", MODEL)).toArray();
    }
    Cli result = Cli.run(all);
    assertEquals(2, result.code(), result.err());
    assertTrue(result.err().contains(words), result.err());
  }
}
