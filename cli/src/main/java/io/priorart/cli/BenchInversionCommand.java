package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Limits;
import io.priorart.runtime.Report;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.inversion.InversionReport;
import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.inversion.InversionMethod;
import io.priorart.solver.inversion.Inverters;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart bench inversion}: how well each inversion comes back to its picture. */
@Command(
    name = "inversion",
    description = {
      "Inverts pictures with every method, samples from the noise, and compares: latent error in",
      "dB, PSNR of the picture and of the auto-encoder alone, evaluations, most iterations a step.",
      "null-text is inverted and sampled with --guidance-scale, the others without guidance.",
      "The prompt is 'a photo of a' and the file's name."
    },
    mixinStandardHelpOptions = true)
final class BenchInversionCommand implements Callable<Integer> {
  @Option(
      names = "--pictures",
      paramLabel = "DIR",
      description = "PNG files. Default: testdata/pictures/heldout")
  private Path pictures = Checkpoints.home().resolve("testdata/pictures/heldout");

  @Option(
      names = "--count",
      defaultValue = "24",
      paramLabel = "N",
      description = "Pictures at most. Default: ${DEFAULT-VALUE}")
  private int count;

  @Option(
      names = "--side",
      defaultValue = "0",
      paramLabel = "N",
      description = "Take the middle NxN pixels; 0 for whole pictures. Default: ${DEFAULT-VALUE}")
  private int side;

  @Option(
      names = "--steps",
      defaultValue = "20",
      paramLabel = "N",
      description = "Steps of DDIM, there and back. Default: ${DEFAULT-VALUE}")
  private int steps;

  @Option(
      names = "--guidance-scale",
      defaultValue = "7.5",
      description = "Of null-text. Default: ${DEFAULT-VALUE}")
  private double guidance;

  @Mixin private Sources model;

  @Override
  public Integer call() {
    model.check();
    model.requireText();
    model.requireFloat32("inversions are measured in float32");
    System.out.println("picture\tmethod\tlatent_db\tpsnr\tbound_psnr\tevaluations\tmost\tseconds");
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      PictureInversion.Running running =
          new PictureInversion.Running(SolveListener.NONE, cancel, null);
      for (Path file : PictureFiles.pngFiles(pictures).stream().limit(count).toList()) {
        Picture picture = middle(PictureFiles.read(file, Limits.PIXELS));
        for (InversionMethod<?> method : Inverters.BUILT_IN) {
          Prompt prompt =
              new Prompt(words(file), "", method.needs().contains(Need.TEXT) ? guidance : 1);
          PictureInversion.Request request =
              new PictureInversion.Request(prompt, method.id(), "fast", Map.of(), steps);
          print(
              file.getFileName().toString(),
              PictureInversion.invert(picture, request, open.get(), running).report());
        }
      }
    }
    return 0;
  }

  private void print(String picture, InversionReport report) {
    Report.Evaluations e = report.evaluations();
    // what the way back and the auto-encoder take is no part of the method
    long guided = report.conditioning().guidanceScale() == 1 ? 1 : 2;
    long evaluations = e.denoise() - guided * steps + e.denoisePullback();
    System.out.printf(
        Locale.ROOT,
        "%s\t%s\t%.2f\t%.2f\t%.2f\t%d\t%d\t%.1f%n",
        picture,
        report.method().name(),
        report.reconstruction().latentErrorDb(),
        report.reconstruction().psnr(),
        report.reconstruction().autoencoderPsnr(),
        evaluations,
        report.steps().stream().mapToInt(InversionReport.Step::iterations).max().orElse(0),
        report.seconds().invert());
  }

  private Picture middle(Picture picture) {
    int w = picture.width();
    int h = picture.height();
    if (side == 0) {
      return picture;
    }
    if (side < 1 || side > Math.min(w, h)) {
      throw PriorArtException.badField("side", "must be 0 to " + Math.min(w, h) + ", was " + side);
    }
    return picture.part((w - side) / 2, (h - side) / 2, side, side);
  }

  private static String words(Path file) {
    return "a photo of a " + file.getFileName().toString().replace(".png", "").replace('-', ' ');
  }
}
