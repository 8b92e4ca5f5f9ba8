package io.priorart.cli;

import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.Machine;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.bench.RobustnessBench;
import io.priorart.runtime.bench.RobustnessBench.Run;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.method.Verdict.Judgement;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart bench robustness}: how often solvers fail. */
@Command(
    name = "robustness",
    description = {
      "Restores many small crops with every solver that the model serves, over tasks and seeds, and",
      "counts what fails, is not finite or is not judged consistent. Prints a table in Markdown.",
      "Every run is kept in the results file; the same command after an interruption goes on."
    },
    mixinStandardHelpOptions = true)
final class BenchRobustnessCommand implements Callable<Integer> {
  @Option(
      names = "--pictures",
      paramLabel = "DIR",
      description = "PNG pictures to cut from. Default: testdata/pictures/heldout")
  private Path pictures = Checkpoints.home().resolve("testdata/pictures/heldout");

  @Option(
      names = "--runs",
      defaultValue = "200",
      paramLabel = "N",
      description = "Runs a solver. Default: ${DEFAULT-VALUE}")
  private int runs;

  @Option(
      names = "--side",
      defaultValue = "64",
      paramLabel = "N",
      description = "Side of the crops. Default: ${DEFAULT-VALUE}")
  private int side;

  @Option(
      names = "--solver",
      paramLabel = "S",
      description = "See 'priorart solvers'; all that the model serves when none is named.")
  private List<String> solvers = List.of();

  @Option(
      names = "--preset",
      defaultValue = Restorer.USUAL_PRESET,
      paramLabel = "paper|fast",
      description = "Of the solvers. Default: ${DEFAULT-VALUE}")
  private String preset;

  @Option(
      names = "--results",
      defaultValue = "bench-robustness.jsonl",
      paramLabel = "FILE",
      description = "Where runs are kept. Default: ${DEFAULT-VALUE}")
  private Path results;

  @Mixin private Sources model;

  @Option(names = "--json", description = "Print every run.")
  private boolean json;

  @Override
  public Integer call() {
    model.check();
    List<SolverMethod<?>> chosen = chosen();
    RobustnessBench.Plan plan =
        new RobustnessBench.Plan(read(), chosen, preset, runs, side, results);
    List<Run> all;
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      Prior prior = open.get();
      all =
          RobustnessBench.run(
              plan,
              prior,
              Machine.revision(),
              cancel,
              r -> {
                if (r.failure() != null) {
                  System.err.printf(
                      "%s, run %d, %s: %s%n",
                      r.key().solver(), r.key().number(), r.key().task(), r.failure());
                }
              });
    }
    if (json) {
      System.out.println(Json.text(all));
    } else {
      print(all);
    }
    return 0;
  }

  private List<SolverMethod<?>> chosen() {
    if (!solvers.isEmpty()) {
      List<SolverMethod<?>> named = new ArrayList<>();
      solvers.forEach(s -> named.add(Restorer.SOLVERS.byId(s)));
      return named;
    }
    List<SolverMethod<?>> serving = new ArrayList<>();
    for (SolverMethod<?> method : Restorer.SOLVERS.list()) {
      if (method.needs().contains(Need.MODEL) && Restorer.fits(method.id(), model.traits())) {
        serving.add(method);
      }
    }
    return serving;
  }

  private List<Picture> read() {
    List<Picture> all =
        PictureFiles.pngFiles(pictures).stream()
            .map(f -> PictureFiles.read(f, Limits.PIXELS).inColour())
            .toList();
    if (all.isEmpty()) {
      throw PriorArtException.badField("pictures", pictures + " holds no .png pictures");
    }
    return all;
  }

  private static void print(List<Run> all) {
    Map<String, List<Run>> bySolver = new LinkedHashMap<>();
    all.forEach(r -> bySolver.computeIfAbsent(r.key().solver(), s -> new ArrayList<>()).add(r));
    System.out.println(
        "| solver | runs | failed | consistent | below the noise | ratio before, median | PSNR dB | evaluations |"
            + " pullbacks | seconds | networks' share | operators' share |");
    System.out.println("|" + " --- |".repeat(12));
    bySolver.forEach(
        (solver, runs) -> {
          List<Run> sound = runs.stream().filter(r -> r.failure() == null).toList();
          System.out.printf(
              Locale.ROOT,
              "| `%s` | %d | %d | %.1f %% | %.1f %% | %.2f | %.2f | %.1f | %.1f | %.2f | %.0f %% | %.0f %% |%n",
              solver,
              runs.size(),
              runs.size() - sound.size(),
              share(runs, Judgement.CONSISTENT),
              share(runs, Judgement.OVERFITTED),
              median(sound, Run::ratioBefore),
              mean(sound, Run::psnr),
              mean(sound, r -> r.evaluations().forwards()),
              mean(sound, r -> r.evaluations().total() - r.evaluations().forwards()),
              mean(sound, Run::seconds),
              100 * mean(sound, r -> r.evaluations().seconds() / r.seconds()),
              100 * mean(sound, r -> r.operatorSeconds() / r.seconds()));
        });
  }

  private static double share(List<Run> runs, Judgement judgement) {
    return 100.0 * runs.stream().filter(r -> r.judgement() == judgement).count() / runs.size();
  }

  private static double mean(List<Run> runs, ToDoubleFunction<Run> value) {
    return runs.stream().mapToDouble(value).average().orElse(Double.NaN);
  }

  private static double median(List<Run> runs, ToDoubleFunction<Run> value) {
    double[] sorted = runs.stream().mapToDouble(value).sorted().toArray();
    return sorted.length == 0 ? Double.NaN : sorted[sorted.length / 2];
  }
}
