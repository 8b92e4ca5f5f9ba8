package io.priorart.runtime.inversion;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.CompileOptions;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.MemoryBudget;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveListener;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Sampling from noise that was found, and what is refused before it runs. */
class PictureInversionTest {
  private static final int SIDE = 16;
  private static final int STEPS = 3;
  private static final PictureInversion.Running RUNNING =
      new PictureInversion.Running(SolveListener.NONE, () -> false, null);

  private static Prior prior() {
    Path fixture = Checkpoints.home().resolve("testdata/fixtures/sd-two-level");
    return ModelFamilies.load(fixture, CompileOptions.REFERENCE);
  }

  private static InvertedPicture noise(Prior prior, long seed, Prompt prompt, Shape nulls) {
    NoiseSource random = new NoiseSource(seed);
    Shape latent = new Shape(1).addAll(prior.bind(SIDE, SIDE).latentShape());
    return new InvertedPicture(
        random.normal(latent),
        nulls == null ? List.of() : Collections.nCopies(STEPS, random.normal(nulls)),
        prior.hash(),
        "rnri",
        STEPS,
        prompt,
        SIDE,
        SIDE);
  }

  private static void assertSame(Picture wanted, Picture found) {
    assertArrayEquals(wanted.pixels().values(), found.pixels().values(), 0.01f);
  }

  /** The second prompt is its own negative, so that one branch says it all; the first is not. */
  @Test
  void betweenTwoGuidedPicturesBothEndsAreTheirOwn() {
    try (Prior prior = prior()) {
      InvertedPicture cat = noise(prior, 1, new Prompt("a photo of a cat", "", 4), null);
      InvertedPicture empty = noise(prior, 2, new Prompt("", "", 4), null);
      Picture ofCat = PictureInversion.edit(cat, cat.prompt(), prior, RUNNING).pictures().get(0);
      Picture ofNone =
          PictureInversion.edit(empty, empty.prompt(), prior, RUNNING).pictures().get(0);
      List<Picture> there = PictureInversion.interpolate(cat, empty, 3, prior, RUNNING).pictures();
      assertSame(ofCat, there.get(0));
      assertSame(ofNone, there.get(2));
      List<Picture> back = PictureInversion.interpolate(empty, cat, 2, prior, RUNNING).pictures();
      assertSame(ofNone, back.get(0));
      assertSame(ofCat, back.get(1));
    }
  }

  @Test
  void embeddingsOfAnotherSizeAreRefused() {
    try (Prior prior = prior()) {
      InvertedPicture wrong = noise(prior, 1, new Prompt("", "", 4), new Shape(1, 5, 3));
      for (PriorArtException e :
          List.of(
              assertThrows(
                  PriorArtException.class,
                  () -> PictureInversion.edit(wrong, new Prompt("cat", "", 4), prior, RUNNING)),
              assertThrows(
                  PriorArtException.class,
                  () -> PictureInversion.interpolate(wrong, wrong, 2, prior, RUNNING)))) {
        assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
        assertTrue(e.getMessage().contains("has an embedding of (1, 5, 3)"), e.getMessage());
      }
    }
  }

  @Test
  void aProximalOperatorIsRefusedBeforeItIsOpened() {
    PictureInversion.Request request =
        new PictureInversion.Request(new Prompt("", "", 1), "rnri", "fast", Map.of(), null);
    PriorTraits proximal = new PriorTraits(true, false, false, false, true);
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> PictureInversion.requireFit(request, proximal));
    assertTrue(e.getMessage().startsWith("model: "), e.getMessage());
  }

  @Test
  void whatDoesNotFitIntoMemoryIsRefusedWithTheFigures() {
    MemoryBudget.require(1, true, 0);
    for (PriorArtException e :
        List.of(
            assertThrows(PriorArtException.class, () -> MemoryBudget.require(1L << 40, false, 0)),
            assertThrows(
                PriorArtException.class, () -> MemoryBudget.require(1, false, 1L << 50)))) {
      assertEquals(ErrorKind.RESOURCE_EXHAUSTED, e.kind());
    }
  }
}
