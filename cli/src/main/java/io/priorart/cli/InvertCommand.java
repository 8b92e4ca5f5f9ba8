package io.priorart.cli;

import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.inversion.InversionReport;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart invert}: the noise that a deterministic sampler turns into a picture. */
@Command(
    name = "invert",
    description = {
      "Finds the noise that the model's deterministic sampler turns into a picture, and says how",
      "near the way back comes. 'priorart edit' and 'priorart interpolate' go on from it."
    },
    mixinStandardHelpOptions = true)
final class InvertCommand implements Callable<Integer> {
  static final String FLOAT32 = "inversions run in float32";

  @Parameters(paramLabel = "IMAGE", description = "PNG, JPEG or TIFF.")
  private Path input;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "NOISE.safetensors",
      description = "File to write.")
  private Path output;

  @Option(
      names = "--reconstruction",
      paramLabel = "OUT",
      description = "Also write the picture that the noise gives.")
  private Path reconstruction;

  @Mixin private InversionOptions how;

  @Mixin private PromptOptions text;

  @Mixin private Sources model;

  @Option(names = "--json", description = "Print the report.")
  private boolean json;

  @Option(names = "--force", description = "Overwrite existing files.")
  private boolean force;

  @Override
  public Integer call() {
    model.check();
    model.requireText();
    model.requireFloat32(FLOAT32);
    PictureFiles.requireWritable(output, force);
    if (!output.toString().endsWith(".safetensors")) {
      throw PriorArtException.badField("output", "must end in .safetensors, was " + output);
    }
    if (reconstruction != null) {
      PictureFiles.requireWritable(reconstruction, force);
      PictureFormat.of(reconstruction);
    }
    PictureInversion.Request request = how.request(text.prompt());
    PictureInversion.check(request);
    PictureInversion.requireFit(request, model.traits());
    Picture picture = PictureFiles.read(input, Limits.PIXELS);
    try (GracefulExit.Task cancel = GracefulExit.begin();
        StepBar bar = new StepBar(input.getFileName().toString());
        Sources open = model) {
      Prior prior = open.get();
      text.warn(prior);
      PictureInversion.Inverted inverted =
          PictureInversion.invert(
              picture, request, prior, new PictureInversion.Running(bar, cancel, null));
      inverted.found().write(output, force);
      if (reconstruction != null) {
        PictureFiles.write(inverted.reconstruction(), reconstruction, force);
      }
      InversionReport report =
          inverted
              .report()
              .withFiles(
                  input.toString(),
                  output.toString(),
                  reconstruction == null ? List.of() : List.of(reconstruction.toString()));
      if (json) {
        System.out.println(Json.text(report));
      } else {
        System.out.println(summary(report));
      }
    }
    return 0;
  }

  /** How near the way back comes, in a line. */
  static String summary(InversionReport report) {
    return String.format(
        Locale.ROOT,
        "%s: back to %.2f dB (the auto-encoder alone %.2f dB), latent error %.1f dB, at most %d"
            + " iterations a step",
        report.method().name(),
        report.reconstruction().psnr(),
        report.reconstruction().autoencoderPsnr(),
        report.reconstruction().latentErrorDb(),
        report.steps().stream().mapToInt(InversionReport.Step::iterations).max().orElse(0));
  }
}
