package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.NoiseSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Noise levels of their own for each pixel, and the training on them. */
class NoiseMapsTest {
  private static final DenoisingUNet.Config TINY =
      new DenoisingUNet.Config(3, 2, new int[] {8, 12}, 1, 8, 0.5, 0.01, 8, true);

  @TempDir private Path dir;

  @Test
  void mapsHaveOneLevelOrTwoWithinTheirRange() {
    int size = 16;
    NoiseMaps maps = new NoiseMaps(0.01, 8, new NoiseSource(1));
    int even = 0;
    int nothingKnown = 0;
    List<Double> shares = new ArrayList<>();
    for (int i = 0; i < 2000; i++) {
      float[] map = new float[size * size + 2];
      maps.draw(size, map, 1);
      assertEquals(0, map[0] + map[map.length - 1], "outside of its place");
      Set<Float> levels = new TreeSet<>();
      for (int p = 1; p <= size * size; p++) {
        levels.add(map[p]);
        assertTrue(map[p] >= 0.0099f && map[p] <= 8.0001f);
      }
      assertTrue(levels.size() <= 2, levels::toString);
      even += levels.size() == 1 ? 1 : 0;
      if (levels.size() == 2) {
        float high = ((TreeSet<Float>) levels).last();
        assertTrue(((TreeSet<Float>) levels).first() <= 0.4f);
        nothingKnown += high == 8 ? 1 : 0;
        int missing = 0;
        for (int p = 1; p <= size * size; p++) {
          missing += map[p] == high ? 1 : 0;
        }
        shares.add(missing / (double) (size * size));
      }
    }
    assertEquals(0.4, even / 2000.0, 0.06);
    assertEquals(0.5, nothingKnown / (double) shares.size(), 0.06);
    assertTrue(shares.stream().anyMatch(s -> s > 0.93) && shares.stream().anyMatch(s -> s < 0.1));
  }

  /** Slow waves in both directions: what is missing can be told from what is around. */
  private static List<TrainingPicture> waves() {
    List<TrainingPicture> pictures = new ArrayList<>();
    for (int k = 0; k < 4; k++) {
      byte[] rgb = new byte[3 * 48 * 40];
      for (int at = 0; at < rgb.length; at++) {
        int p = at / 3;
        double wave = Math.sin(0.1 * (k + 1) * (p % 48) + 0.15 * (p / 48) + at % 3);
        rgb[at] = (byte) (128 + 100 * wave);
      }
      pictures.add(new TrainingPicture(48, 40, rgb, ""));
    }
    return pictures;
  }

  @Test
  void theDenoiserLearnsToReadTheMap() {
    NoiseSource random = new NoiseSource(4);
    Script script = DenoiserTraining.script(TINY, CompileOptions.REFERENCE);
    PatchSampler sampler = new PatchSampler(waves(), 16, random);
    Path state = dir.resolve("state.safetensors");
    try (Trainer trainer = new Trainer(script, state, random)) {
      trainer.save(state);
      SafetensorsFile before = SafetensorsFile.open(state);
      double first = 0;
      double last = 0;
      for (int i = 0; i < 700; i++) {
        float loss =
            trainer
                .step(5e-3, DenoiserTraining.batch(TINY, sampler, 4, random, trainer.manager()))[0];
        first += i < 100 ? loss / 100 : 0;
        last += i >= 600 ? loss / 100 : 0;
      }
      assertTrue(last < 0.85 * first, first + " to " + last);
      Path after = dir.resolve("after.safetensors");
      trainer.save(after);
      float[] a = before.read("ws/conv_in.weight").values();
      float[] b = SafetensorsFile.open(after).read("ws/conv_in.weight").values();
      // channels 12 to 15 of 16 carry the map
      assertNotEquals(a[12 * 9], b[12 * 9]);
    }
    // weights alone begin a new training, with moments of zero
    SafetensorsFile saved = SafetensorsFile.open(dir.resolve("after.safetensors"));
    Path fresh = dir.resolve("fresh.safetensors");
    try (Trainer trainer =
        new Trainer(script, fresh, new NoiseSource(1), name -> saved.read("ema/" + name))) {
      trainer.save(fresh);
      SafetensorsFile begun = SafetensorsFile.open(fresh);
      assertEquals(0, trainer.step());
      assertEquals(
          saved.read("ema/conv_in.weight").values()[7],
          begun.read("ws/conv_in.weight").values()[7]);
      for (float m : begun.read("m/conv_in.weight").values()) {
        assertEquals(0, m);
      }
    }
  }
}
