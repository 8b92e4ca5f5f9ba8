package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.solver.NoiseSource;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Least Volume on pictures of two numbers a pixel: of four latent channels it keeps few. */
class LeastVolumeTest {
  private static final AutoencoderKL.Config TINY =
      new AutoencoderKL.Config(3, 3, new int[] {8, 8}, 1, 4, 2, false, true, true, 1, 0);

  @TempDir private Path dir;

  @Test
  void emptiesChannelsAndTheBoundKeepsTheOthersLarge() {
    double[] plain = train(0, 1);
    double[] least = train(0.005, 0.4);
    double[] unbounded = train(0.005, 1000);
    assertTrue(plain[1] > 0.5 * plain[0], "all channels are used by themselves");
    // LatentNormalization names a channel empty at a fiftieth of the largest
    assertTrue(least[1] < 0.021 * least[0], "one is enough");
    assertTrue(least[2] < 2 * plain[2], "for the same pictures");
    assertTrue(least[3] < 0.4, "and the decoder enlarges no more than it may");
    assertTrue(unbounded[3] > 2 * least[3], "as it would by itself");
    assertTrue(unbounded[0] < least[0], "for latents that only shrink");
  }

  /** Deviations of the largest channel and of the next, error, the decoder's gain. */
  private double[] train(double leastVolume, double lipschitz) {
    AutoencoderTraining.Options options =
        new AutoencoderTraining.Options(
            8,
            16,
            1e-2,
            new AutoencoderObjective(1e-6, 0, 1, true, 0, 0, 0, leastVolume, lipschitz),
            false,
            0,
            Duration.ZERO,
            1);
    NoiseSource random = new NoiseSource(1);
    Script script = AutoencoderTraining.script(TINY, options, CompileOptions.REFERENCE);
    PatchSampler sampler = new PatchSampler(List.of(picture()), 8, random);
    Path weights = dir.resolve("weights-" + leastVolume + "-" + lipschitz);
    float[] report = null;
    try (Trainer trainer = new Trainer(script, dir.resolve("none"), random)) {
      for (int i = 0; i < 400; i++) {
        report =
            trainer.step(
                1e-2 * (1 - i / 400.0),
                AutoencoderTraining.batch(TINY, options, sampler, random, trainer));
      }
      trainer.export(weights, "", name -> true);
      LatentNormalization found =
          LatentNormalization.measure(TINY, weights, () -> sampler.batch(16), trainer.manager());
      double[] sorted = found.deviation().clone();
      Arrays.sort(sorted);
      double gain = leastVolume > 0 ? report[10] : 0;
      return new double[] {sorted[3], sorted[2], report[6], gain};
    }
  }

  /** Grey, smooth: what a block of 2x2 shows is nearly one number. */
  private static TrainingPicture picture() {
    byte[] rgb = new byte[3 * 64 * 64];
    for (int at = 0; at < rgb.length; at++) {
      int p = at / 3;
      double value = Math.sin(p % 64 * 0.11) * Math.cos(p / 64 * 0.09);
      rgb[at] = (byte) Math.round(127.5 + 110 * value);
    }
    return new TrainingPicture(64, 64, rgb, "");
  }
}
