package io.priorart.cli;

import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.MachineSpeed;
import io.priorart.runtime.MeasuredPresets;
import io.priorart.runtime.bench.PresetBench;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart bench presets}: what --budget chooses by. */
@Command(
    name = "presets",
    description = {
      "Measures what solvers reach in how much time, at several numbers of steps, on tuning",
      "pictures: the table that restore --budget chooses by. The one that PriorArt comes with is",
      "runtime/src/main/resources/io/priorart/runtime/measured-presets.json."
    },
    mixinStandardHelpOptions = true)
final class BenchPresetsCommand implements Callable<Integer> {
  @Option(
      names = "--tuning",
      paramLabel = "DIR",
      description = "PNG pictures of one square size. Default: testdata/pictures/tuning")
  private Path tuning = Checkpoints.home().resolve("testdata/pictures/tuning");

  @Option(
      names = "--keep",
      paramLabel = "FILE",
      description =
          "Table whose figures of other kinds of priors are kept, their seconds scaled to this"
              + " machine as restore --budget scales them.")
  private Path keep;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "FILE",
      description = "The table, .json.")
  private Path output;

  @Option(names = "--force", description = "Overwrite the table.")
  private boolean force;

  @Mixin private Sources model;

  @Override
  public Integer call() {
    model.check();
    if (MeasuredPresets.kind(model.traits()) == null) {
      throw PriorArtException.badField("model", "has one solver; there is nothing to choose");
    }
    PictureFiles.requireWritable(output, force);
    List<Picture> pictures = pictures();
    List<MeasuredPresets.Entry> kept = kept();
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      Prior prior = open.get();
      MeasuredPresets found =
          PresetBench.run(
              pictures,
              prior,
              kept,
              cancel,
              e ->
                  System.err.printf(
                      Locale.ROOT,
                      "%-17s %-14s %-10s %3d steps  %6.2f dB  %7.2f s%n",
                      e.task(),
                      e.solver(),
                      e.preset(),
                      e.steps(),
                      e.psnr(),
                      e.seconds()));
      Json.write(found, output, force);
    }
    return 0;
  }

  private List<Picture> pictures() {
    List<Picture> pictures = new ArrayList<>();
    for (Path file : PictureFiles.pngFiles(tuning)) {
      Picture picture = PictureFiles.read(file, Limits.PIXELS);
      if (picture.width() != picture.height()
          || !pictures.isEmpty() && picture.width() != pictures.get(0).width()) {
        throw PriorArtException.badField(
            "tuning", file + " must be as wide as high, as the others");
      }
      pictures.add(picture);
    }
    if (pictures.isEmpty()) {
      throw PriorArtException.badField("tuning", tuning + " holds no .png pictures");
    }
    return pictures;
  }

  private List<MeasuredPresets.Entry> kept() {
    if (keep == null) {
      return List.of();
    }
    return MeasuredPresets.read(keep).scaledTo(MachineSpeed.seconds()).entries();
  }
}
