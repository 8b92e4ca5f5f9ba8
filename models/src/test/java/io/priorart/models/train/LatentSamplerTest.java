package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What the latent denoiser's batches are cut from. */
class LatentSamplerTest {
  /** Every value is {@code 1000 id + 100 row + column}, so that a crop says where it is from. */
  private static DiffusionTraining.Latent latent(int id, int height, int width) {
    float[] values = new float[height * width];
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        values[y * width + x] = 1000 * id + 100 * y + x;
      }
    }
    return new DiffusionTraining.Latent(1, height, width, values, new long[] {id});
  }

  @Test
  void smallPicturesAreDrawnAtTheirOwnSizeAndAsOftenAsLargeOnes() {
    LatentSampler sampler =
        new LatentSampler(
            List.of(latent(1, 9, 9), latent(2, 8, 7), latent(3, 5, 12), latent(4, 5, 1)), 8, 2);
    assertEquals(3, sampler.size());
    NoiseSource random = new NoiseSource(1);
    Map<Long, Integer> seen = new HashMap<>();
    for (int k = 0; k < 600; k++) {
      LatentSampler.Batch batch = sampler.draw(2, random);
      long id = batch.pictures().get(0).ids()[0];
      assertEquals(List.of(8, 8, 4).get((int) id - 1), batch.height());
      assertEquals(List.of(8, 6, 8).get((int) id - 1), batch.width());
      assertEquals(2 * batch.height() * batch.width(), batch.values().length);
      int plane = batch.height() * batch.width();
      for (int i = 0; i < 2; i++) {
        assertEquals(id, batch.pictures().get(i).ids()[0]);
        float first = batch.values()[i * plane];
        assertEquals(1000 * id, first, 500);
        assertEquals(first + 1, batch.values()[i * plane + 1]);
        assertEquals(first + 100, batch.values()[i * plane + batch.width()]);
      }
      seen.merge(id, 1, Integer::sum);
    }
    seen.values().forEach(n -> assertEquals(200, n, 60));
    assertFalse(LatentSampler.fits(5, 1, 8, 2));
    assertTrue(LatentSampler.fits(2, 99, 8, 2));
  }

  @Test
  void saysHowLargeAPictureMustBe() {
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> new LatentSampler(List.of(latent(1, 7, 40)), 32, 4));
    assertEquals("data: no picture is at least 8 latent pixels wide and high", e.getMessage());
  }
}
