package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.bench.CaptionBench;
import io.priorart.runtime.bench.Contender;
import io.priorart.runtime.bench.QualityTask;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart bench captions}: whether a prior reads. */
@Command(
    name = "captions",
    description = {
      "Counts how often a picture's caption lowers the error of its restoration, against no",
      "caption and against another picture's, with equal seeds."
    },
    mixinStandardHelpOptions = true)
final class BenchCaptionsCommand implements Callable<Integer> {
  @Option(
      names = "--pictures",
      required = true,
      paramLabel = "DIR",
      description = "PNG pictures with captions in .txt files beside them.")
  private Path pictures;

  @Option(
      names = "--count",
      defaultValue = "100",
      paramLabel = "N",
      description =
          "How many, spread over the names; 0 for all. Of pictures with one caption the first counts."
              + " Default: ${DEFAULT-VALUE}")
  private int count;

  @Option(
      names = "--task",
      defaultValue = "super-resolution:factor=16@0.01",
      paramLabel = "T",
      description = "OPERATOR[+OPERATOR...]@SIGMA. Default: ${DEFAULT-VALUE}")
  private String task;

  @Option(
      names = "--solver",
      defaultValue = "prox-diffusion",
      paramLabel = "S",
      description =
          "See 'priorart solvers'; S*K is the mean of K samples. Default: ${DEFAULT-VALUE}")
  private String solver;

  @Option(
      names = "--preset",
      defaultValue = Restorer.USUAL_PRESET,
      paramLabel = "paper|fast",
      description = "The solver's parameters. Default: ${DEFAULT-VALUE}")
  private String preset;

  @Option(names = "--param", paramLabel = "k=v", description = "A parameter of the solver.")
  private Map<String, String> parameters = new LinkedHashMap<>();

  @Option(
      names = "--guidance-scale",
      defaultValue = "1",
      paramLabel = "G",
      description = "Of the runs with a caption. Default: ${DEFAULT-VALUE}")
  private double guidanceScale;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of everything that is drawn. Default: ${DEFAULT-VALUE}")
  private long seed;

  @Mixin private Sources model;

  @Option(names = "--json", description = "Print every run and the counts.")
  private boolean json;

  @Override
  public Integer call() {
    model.check();
    model.requireText();
    CaptionBench.Plan plan =
        new CaptionBench.Plan(
            pictures,
            count,
            QualityTask.parse(task),
            Contender.parse(solver),
            preset,
            parameters,
            guidanceScale,
            seed);
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      CaptionBench.Result result =
          CaptionBench.run(
              plan,
              model,
              cancel,
              r ->
                  System.err.printf(
                      Locale.ROOT,
                      "%s  none %.2f  caption %.2f  other %.2f dB  (%s)%n",
                      r.picture(),
                      r.empty(),
                      r.captioned(),
                      r.other(),
                      r.caption()));
      if (json) {
        System.out.println(Json.text(result));
      } else {
        System.out.printf(
            Locale.ROOT,
            """
            caption against none:    better for %d of %d (p = %.3g), %.3f dB against %.3f
            caption against another: better for %d of %d (p = %.3g), %.3f dB against %.3f
            """,
            result.better(),
            result.runs().size(),
            result.pBetter(),
            result.meanCaptioned(),
            result.meanEmpty(),
            result.betterThanOther(),
            result.runs().size(),
            result.pBetterThanOther(),
            result.meanCaptioned(),
            result.meanOther());
      }
    }
    return 0;
  }
}
