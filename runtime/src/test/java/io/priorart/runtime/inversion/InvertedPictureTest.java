package io.priorart.runtime.inversion;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The file of an inversion, and the way between two. */
class InvertedPictureTest {
  @TempDir private Path dir;

  private static HostTensor normal(long seed, long... shape) {
    return new NoiseSource(seed).normal(new Shape(shape));
  }

  private static InvertedPicture picture() {
    return new InvertedPicture(
        normal(1, 1, 4, 3, 2),
        List.of(normal(2, 1, 5, 8), normal(3, 1, 5, 8)),
        "abc",
        "null-text",
        2,
        new Prompt("a \"cat\"", "ünsharp", 7.5, "hat", 3),
        21,
        17);
  }

  private static void assertSame(InvertedPicture wanted, InvertedPicture found) {
    assertEquals(wanted.prompt(), found.prompt());
    assertEquals(wanted.model(), found.model());
    assertEquals(wanted.method(), found.method());
    assertEquals(wanted.steps(), found.steps());
    assertEquals(wanted.width(), found.width());
    assertEquals(wanted.height(), found.height());
    assertEquals(wanted.shape(), found.shape());
    assertArrayEquals(wanted.noise().values(), found.noise().values());
    assertEquals(wanted.nulls().size(), found.nulls().size());
    for (int i = 0; i < wanted.nulls().size(); i++) {
      assertEquals(wanted.nulls().get(i).shape(), found.nulls().get(i).shape());
      assertArrayEquals(wanted.nulls().get(i).values(), found.nulls().get(i).values());
    }
  }

  @Test
  void thereAndBack() {
    Path file = dir.resolve("noise.safetensors");
    picture().write(file, false);
    assertSame(picture(), InvertedPicture.read("input", file));
    assertSame(picture(), InvertedPicture.decode("noise", picture().encode()));
    PriorArtException e = assertThrows(PriorArtException.class, () -> picture().write(file, false));
    assertTrue(e.getMessage().contains("noise.safetensors"), e.getMessage());
  }

  private PriorArtException refused(Map<String, HostTensor> tensors, Map<String, String> changed) {
    Path file = dir.resolve("bad.safetensors");
    Map<String, String> meta = new LinkedHashMap<>();
    meta.put("model", "abc");
    meta.put("method", "rnri");
    meta.put("steps", "2");
    meta.put("prompt", "");
    meta.put("negative_prompt", "");
    meta.put("guidance_scale", "1.0");
    meta.put("suppress", "");
    meta.put("suppress_iterations", "0");
    meta.put("width", "8");
    meta.put("height", "8");
    meta.putAll(changed);
    meta.values().removeIf(v -> v.equals("absent"));
    SafetensorsWriter.write(file, tensors, meta, false);
    return assertThrows(PriorArtException.class, () -> InvertedPicture.read("noise", file));
  }

  @Test
  void saysWhatIsWrongWithAFile() throws Exception {
    Map<String, HostTensor> good = Map.of("noise", normal(1, 1, 4, 2, 2));
    assertTrue(refused(good, Map.of("model", "absent")).getMessage().contains("no inverted"));
    assertTrue(refused(Map.of("z", normal(1, 2)), Map.of()).getMessage().contains("no inverted"));
    assertTrue(refused(good, Map.of("prompt", "absent")).getMessage().contains("prompt"));
    assertEquals(
        "noise: steps must be 1.0 to 1000.0, was 0",
        refused(good, Map.of("steps", "0")).getMessage());
    assertTrue(refused(good, Map.of("guidance_scale", "NaN")).getMessage().contains("guidance"));
    assertTrue(refused(good, Map.of("width", "wide")).getMessage().contains("width"));
    HostTensor infinite = new HostTensor(new Shape(1, 1, 1, 1), new float[] {Float.NaN});
    assertTrue(refused(Map.of("noise", infinite), Map.of()).getMessage().contains("not finite"));
    Map<String, HostTensor> three = new LinkedHashMap<>(good);
    three.put("null.0", normal(1, 1, 2, 2));
    assertTrue(refused(three, Map.of()).getMessage().contains("1 embeddings for 2 steps"));
    byte[] half = java.util.Arrays.copyOf(picture().encode(), 300);
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> InvertedPicture.decode("noise", half));
    assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
    assertTrue(!e.getMessage().contains("/"), e.getMessage());
    try (var files = Files.list(dir)) {
      assertEquals(1, files.count());
    }
  }

  @Test
  void betweenTwoNoisesLiesNoiseOfTheSameSize() {
    HostTensor a = normal(1, 1, 4, 40, 40);
    HostTensor b = normal(2, 1, 4, 40, 40);
    assertArrayEquals(a.values(), PictureInversion.between(a, b, 0).values(), 1e-6f);
    assertArrayEquals(b.values(), PictureInversion.between(a, b, 1).values(), 1e-6f);
    for (double t : new double[] {0.25, 0.5, 0.9}) {
      double square = 0;
      for (float v : PictureInversion.between(a, b, t).values()) {
        square += (double) v * v;
      }
      // the straight line between would have 0.5 in the middle
      assertEquals(1, square / a.values().length, 0.04);
    }
    // no plane is told by a noise and itself
    assertArrayEquals(a.values(), PictureInversion.between(a, a, 0.3).values(), 1e-6f);
  }
}
