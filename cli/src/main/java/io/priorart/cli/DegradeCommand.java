package io.priorart.cli;

import io.priorart.runtime.Degrader;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.Noise;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart degrade}: makes a measurement of a picture, to try solvers on. */
@Command(
    name = "degrade",
    description = {
      "Measures a picture: applies the operators and adds noise.",
      "Writes OUT, the masks it drew, and OUT's name + .problem.json for restore --problem."
    },
    mixinStandardHelpOptions = true)
final class DegradeCommand implements Callable<Integer> {
  @Parameters(paramLabel = "IN", description = "PNG, JPEG or TIFF.")
  private Path in;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "OUT",
      description = "16-bit .png (clipped to its range), or .tif (float, not clipped).")
  private Path out;

  @Mixin private OperatorOptions operators;

  @Mixin private NoiseOptions noise;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of everything that is drawn. Default: ${DEFAULT-VALUE}")
  private long seed;

  @Option(names = "--json", description = "Print what was written, and how much was clipped.")
  private boolean json;

  @Option(names = "--force", description = "Overwrite existing files.")
  private boolean force;

  @Override
  public Integer call() {
    PictureFiles.requireWritable(out, force);
    int depth = PictureFormat.of(out).depth(32);
    Picture picture = PictureFiles.read(in, Limits.PIXELS);
    List<OperatorRequest> requests =
        operators.requests().stream().map(r -> r.resolved(Limits.PIXELS)).toList();
    Noise drawn = noise.noise() == null ? new Noise.None() : noise.noise();
    Degrader.Degraded degraded = Degrader.degrade(picture, requests, drawn, seed, depth);
    List<Path> files = Degrader.write(degraded, out, force);
    long clipped = depth == 32 ? 0 : PictureFiles.clipped(degraded.measurement());
    int samples = degraded.measurement().pixels().values().length;
    if (json) {
      Map<String, Object> report = new LinkedHashMap<>();
      report.put("files", files.stream().map(Path::toString).toList());
      report.put("clipped", clipped);
      report.put("samples", samples);
      System.out.println(Json.text(report));
    } else {
      files.forEach(System.out::println);
    }
    if (clipped > 0) {
      System.err.printf("clipped %d of %d samples; a .tif keeps them%n", clipped, samples);
    }
    return 0;
  }
}
