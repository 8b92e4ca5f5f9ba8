package io.priorart.models.train;

import io.priorart.models.network.AutoencoderKL;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;

/** Networks, pictures and laps small enough for a test. */
final class TinyTraining {
  static final AutoencoderKL.Config CODEC =
      new AutoencoderKL.Config(3, 3, new int[] {4, 8}, 1, 4, 2, false, true, true, 1, 0);

  static final TrainingListener SILENT =
      new TrainingListener() {
        @Override
        public void report(Progress progress) {}

        @Override
        public void note(String text) {}
      };

  private TinyTraining() {}

  static AutoencoderTraining.Options codecOptions() {
    return new AutoencoderTraining.Options(
        16,
        4,
        5e-3,
        AutoencoderObjective.plain(1e-6, 0.5, 1, false),
        false,
        0,
        Duration.ofMinutes(5),
        1);
  }

  static DiffusionTraining.Options diffusionOptions(DiffusionTarget target) {
    return new DiffusionTraining.Options(
        new int[] {16, 32},
        1,
        4,
        16,
        1,
        600,
        8,
        2,
        1e-3,
        0.1,
        DiffusionObjective.of(target),
        Duration.ofMinutes(5),
        1);
  }

  /** Stripes of 48x40 pixels, captioned by the words and their number. */
  static List<TrainingPicture> pictures(int count, String words) {
    List<TrainingPicture> pictures = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      byte[] rgb = new byte[3 * 48 * 40];
      for (int at = 0; at < rgb.length; at++) {
        rgb[at] = (byte) (128 + 100 * Math.sin(at / 3 % 48 * 0.2 * (i + 1) + at % 3));
      }
      pictures.add(new TrainingPicture(48, 40, rgb, words + " " + i));
    }
    return pictures;
  }

  static Lap lap(Path state, Path checkpoint, Path from, int steps) {
    return new Lap(state, checkpoint, from, Duration.ofMinutes(5), after(steps), SILENT);
  }

  /** Stops a training after so many steps. */
  static BooleanSupplier after(int steps) {
    AtomicInteger polled = new AtomicInteger();
    return () -> polled.getAndIncrement() >= steps;
  }
}
