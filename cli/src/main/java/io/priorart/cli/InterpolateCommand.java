package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.inversion.InvertedPicture;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart interpolate}: from one picture to another through the model's noise. */
@Command(
    name = "interpolate",
    description = "Samples pictures between two that 'priorart invert' has inverted alike.",
    mixinStandardHelpOptions = true)
final class InterpolateCommand implements Callable<Integer> {
  @Parameters(index = "0", paramLabel = "FIRST.safetensors", description = "Of 'priorart invert'.")
  private Path first;

  @Parameters(index = "1", paramLabel = "SECOND.safetensors", description = "Of 'priorart invert'.")
  private Path second;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "DIR",
      description = "Folder for 000.png, 001.png, ...; must be empty or not there.")
  private Path output;

  @Option(
      names = "--frames",
      defaultValue = "9",
      paramLabel = "N",
      description = "Pictures, both ends among them. Default: ${DEFAULT-VALUE}")
  private int frames;

  @Mixin private Sources model;

  @Option(names = "--json", description = "Print the report.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    model.check();
    model.requireText();
    model.requireFloat32(InvertCommand.FLOAT32);
    PictureInversion.requireFrames(frames);
    requireEmpty(output);
    InvertedPicture from = InvertedPicture.read("first", first);
    InvertedPicture to = InvertedPicture.read("second", second);
    try (GracefulExit.Task cancel = GracefulExit.begin();
        StepBar bar = new StepBar(output.getFileName().toString());
        Sources open = model;
        StagedFolder staged = new StagedFolder(output, null)) {
      PictureInversion.Sampled sampled =
          PictureInversion.interpolate(
              from, to, frames, open.get(), new PictureInversion.Running(bar, cancel, null));
      List<String> names = new ArrayList<>();
      for (Picture picture : sampled.pictures()) {
        String name = String.format("%03d.png", names.size());
        PictureFiles.write(picture, staged.path().resolve(name), false);
        names.add(output.resolve(name).toString());
      }
      staged.commit();
      if (json) {
        System.out.println(
            Json.text(sampled.report().withFiles(first.toString(), second.toString(), names)));
      }
    }
    return 0;
  }

  private static void requireEmpty(Path folder) throws IOException {
    if (Files.isDirectory(folder)) {
      try (var files = Files.list(folder)) {
        if (files.findAny().isEmpty()) {
          return;
        }
      }
    }
    if (Files.exists(folder)) {
      throw PriorArtException.badField(
          "output", folder + " is there and not an empty folder; choose another -o");
    }
  }
}
