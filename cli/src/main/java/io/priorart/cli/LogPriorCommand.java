package io.priorart.cli;

import ai.djl.ndarray.NDManager;
import io.priorart.models.ProximalPrior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.method.LearnedPenalty;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart model log-prior}: how likely a learned proximal network finds pictures. */
@Command(
    name = "log-prior",
    description = {
      "Evaluates the penalty R that a learned proximal network (train lpn) belongs to, at pictures:",
      "lower is likelier, -R/sigma^2 is the log-prior but for a constant. Only differences between",
      "pictures of one size mean anything. Pictures are cut to multiples of the network's stride."
    },
    mixinStandardHelpOptions = true)
final class LogPriorCommand implements Callable<Integer> {
  /** One picture's row. */
  record Row(
      String picture,
      int width,
      int height,
      double penalty,
      double penaltyPerValue,
      double logPrior,
      double residual) {}

  @Mixin private Sources model;

  @Parameters(arity = "1..*", paramLabel = "PICTURE", description = "PNG, JPEG or TIFF.")
  private List<Path> pictures;

  @Option(
      names = "--iterations",
      defaultValue = "500",
      paramLabel = "N",
      description =
          "Steps of Adam that invert the network, one evaluation each, 1 to 10000; the paper takes"
              + " 2000. Default: ${DEFAULT-VALUE}")
  private int iterations;

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  @Override
  public Integer call() {
    if (iterations < 1 || iterations > 10_000) {
      throw PriorArtException.badField("iterations", "must be 1 to 10000, was " + iterations);
    }
    model.check();
    if (!model.traits().proximal()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: "
              + model.name()
              + " is no learned proximal network (`train lpn` makes one); others know no log-prior");
    }
    List<Row> rows = new ArrayList<>();
    try (GracefulExit.Task stop = GracefulExit.begin();
        Sources open = model) {
      ProximalPrior prior = (ProximalPrior) open.get();
      for (Path file : pictures) {
        rows.add(row(prior, file, stop));
      }
    }
    if (json) {
      System.out.println(Json.text(rows));
      return 0;
    }
    System.out.printf("%12s %12s %14s %9s  %s%n", "R", "R per value", "log-prior", "residual", "");
    for (Row r : rows) {
      System.out.printf(
          Locale.ROOT,
          "%12.3f %12.6f %14.2f %9.5f  %s%n",
          r.penalty(),
          r.penaltyPerValue(),
          r.logPrior(),
          r.residual(),
          r.picture());
    }
    return 0;
  }

  private Row row(ProximalPrior prior, Path file, GracefulExit.Task stop) {
    Picture whole = PictureFiles.read(file, Limits.PIXELS);
    int width = whole.width() / prior.stride() * prior.stride();
    int height = whole.height() / prior.stride() * prior.stride();
    if (width == 0 || height == 0) {
      throw PriorArtException.badField(
          "picture", file + " must be at least " + prior.stride() + " pixels a side");
    }
    LatentDiffusionModel bound = prior.bind(height, width);
    try (NDManager manager = bound.manager().newSubManager()) {
      LearnedPenalty found =
          LearnedPenalty.at(
              bound.proximal(),
              whole
                  .part((whole.width() - width) / 2, (whole.height() - height) / 2, width, height)
                  .inColour()
                  .pixels()
                  .to(manager),
              iterations,
              () -> {
                if (stop.getAsBoolean()) {
                  throw new PriorArtException(ErrorKind.CANCELLED, "stopped");
                }
              });
      return new Row(
          file.toString(),
          width,
          height,
          found.value(),
          found.value() / (3.0 * width * height),
          found.logPrior(),
          found.residual());
    }
  }
}
