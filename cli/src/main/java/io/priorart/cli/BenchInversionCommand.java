package io.priorart.cli;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.inversion.DdimPath;
import io.priorart.solver.inversion.Inversion;
import io.priorart.solver.inversion.InversionMethod;
import io.priorart.solver.inversion.Inverters;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
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
      "The prompt is 'a photo of a' and the file's name. Needs --precision float32."
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
    if (model.choice().resolve() != Precision.FLOAT32) {
      throw PriorArtException.badField(
          "precision", "inversions are measured in float32; give --precision float32");
    }
    System.out.println("picture\tmethod\tlatent_db\tpsnr\tbound_psnr\tevaluations\tmost\tseconds");
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      Prior prior = open.get();
      for (Path file : files()) {
        Picture picture = PictureFiles.read(file, Limits.PIXELS);
        LatentDiffusionModel bound = prior.bind(picture.height(), picture.width());
        for (InversionMethod<?> method : Inverters.BUILT_IN) {
          try (NDManager manager = bound.manager().newSubManager()) {
            Prompt prompt =
                new Prompt(words(file), "", method.id().equals("null-text") ? guidance : 1);
            Conditioning given = bound.condition(manager, prompt);
            SolveContext context =
                new SolveContext(manager, given, 0, SolveListener.NONE, cancel, null);
            measure(file.getFileName().toString(), picture, bound, method, context);
          }
        }
      }
    }
    return 0;
  }

  private static String words(Path file) {
    return "a photo of a " + file.getFileName().toString().replace(".png", "").replace('-', ' ');
  }

  private List<Path> files() {
    try (Stream<Path> all = Files.list(pictures)) {
      return all.filter(p -> p.toString().endsWith(".png")).sorted().limit(count).toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private <P extends Record> void measure(
      String name,
      Picture picture,
      LatentDiffusionModel bound,
      InversionMethod<P> method,
      SolveContext context) {
    P spec =
        ParameterSchema.of(method.spec())
            .bind("", Map.of("steps", steps), method.presets().get("fast"));
    NDArray clean = bound.encode(picture.pixels().to(context.manager()));
    long calls = bound.counts().total();
    long begin = System.nanoTime();
    Inversion found = method.create().apply(spec).invert(bound, clean, context);
    double seconds = (System.nanoTime() - begin) * 1e-9;
    calls = bound.counts().total() - calls;
    NDArray back =
        new DdimPath(bound.schedule(), steps)
            .forward(bound, found.noise(), found.nulls(), context.conditioning(), context);
    double square = back.sub(clean).square().mean().getFloat();
    System.out.printf(
        Locale.ROOT,
        "%s\t%s\t%.2f\t%.2f\t%.2f\t%d\t%d\t%.1f%n",
        name,
        method.id(),
        10 * Math.log10(square),
        psnr(picture, bound.decode(back)),
        psnr(picture, bound.decode(clean)),
        calls,
        found.steps().stream().mapToInt(Inversion.Step::iterations).max().orElse(0),
        seconds);
  }

  private static double psnr(Picture picture, NDArray decoded) {
    Picture written = PictureFiles.quantized(new Picture(HostTensor.of(decoded), 8, null));
    return Comparison.of(picture, written, null).psnr();
  }
}
