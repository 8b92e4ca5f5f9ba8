package io.priorart.cli;

import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.inversion.InversionReport;
import io.priorart.runtime.inversion.InvertedPicture;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart edit}: a picture's noise, sampled with other words. */
@Command(
    name = "edit",
    description = {
      "Inverts a picture with the words that describe it, and samples from its noise with others.",
      "What the words leave open stays as it was."
    },
    mixinStandardHelpOptions = true)
final class EditCommand implements Callable<Integer> {
  @Parameters(
      paramLabel = "IMAGE|NOISE.safetensors",
      description =
          "PNG, JPEG or TIFF; or what 'priorart invert' wrote, with its prompt and method.")
  private Path input;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "OUT",
      description = "File to write.")
  private Path output;

  @Option(
      names = "--edit-prompt",
      required = true,
      paramLabel = "T",
      description = "What the picture is to show.")
  private String editPrompt;

  @Option(
      names = "--edit-negative-prompt",
      paramLabel = "T",
      description = "What it is not to show. Default: --negative-prompt")
  private String editNegativePrompt;

  @Option(
      names = "--edit-guidance-scale",
      paramLabel = "G",
      description = "Guidance of the edit. Default: --guidance-scale")
  private Double editGuidanceScale;

  @Option(
      names = "--noise",
      paramLabel = "NOISE.safetensors",
      description = "Also write the picture's noise.")
  private Path noise;

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
    model.requireFloat32(InvertCommand.FLOAT32);
    PictureFiles.requireWritable(output, force);
    PictureFormat.of(output);
    if (noise != null) {
      PictureFiles.requireWritable(noise, force);
    }
    boolean inverted = input.toString().endsWith(".safetensors");
    InvertedPicture before = inverted ? InvertedPicture.read("input", input) : null;
    if (inverted && !text.prompt().isNone()) {
      throw PriorArtException.badField(
          "prompt", input + " tells the words that it was inverted with; leave them out");
    }
    if (inverted && !how.isUsual()) {
      throw PriorArtException.badField(
          "method", input + " is inverted already; leave --method, --preset, --param, --steps out");
    }
    PictureInversion.Request request = how.request(text.prompt());
    edit(request.prompt()).check();
    Picture picture = null;
    if (!inverted) {
      PictureInversion.check(request);
      PictureInversion.requireFit(request, model.traits());
      picture = PictureFiles.read(input, Limits.PIXELS);
    }
    try (GracefulExit.Task cancel = GracefulExit.begin();
        StepBar bar = new StepBar(input.getFileName().toString());
        Sources open = model) {
      Prior prior = open.get();
      text.warn(prior);
      PromptOptions.warn(prior, "edit-prompt", editPrompt);
      PromptOptions.warn(prior, "edit-negative-prompt", editNegativePrompt);
      PictureInversion.Running running = new PictureInversion.Running(bar, cancel, null);
      InversionReport report = null;
      if (!inverted) {
        PictureInversion.Inverted found = PictureInversion.invert(picture, request, prior, running);
        before = found.found();
        report = found.report();
      }
      PictureInversion.Sampled edited =
          PictureInversion.edit(before, edit(before.prompt()), prior, running);
      if (noise != null) {
        before.write(noise, force);
      }
      PictureFiles.write(edited.pictures().get(0), output, force);
      report = report == null ? edited.report() : report.then(edited.report());
      if (json) {
        String kept = noise == null ? null : noise.toString();
        System.out.println(
            Json.text(report.withFiles(input.toString(), kept, List.of(output.toString()))));
      } else if (report.reconstruction() != null) {
        System.out.println(InvertCommand.summary(report));
      }
    }
    return 0;
  }

  private Prompt edit(Prompt source) {
    return new Prompt(
        editPrompt,
        editNegativePrompt != null ? editNegativePrompt : source.negative(),
        editGuidanceScale != null ? editGuidanceScale : source.guidanceScale(),
        source.suppress(),
        source.suppressIterations());
  }
}
