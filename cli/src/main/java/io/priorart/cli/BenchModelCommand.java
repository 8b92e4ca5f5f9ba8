package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Json;
import io.priorart.runtime.Machine;
import io.priorart.runtime.bench.ModelBench;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart bench model}: how fast and large a checkpoint's networks are. */
@Command(
    name = "model",
    description = {
      "Loads a checkpoint and times an evaluation of its denoiser, its decoder, and the decoder",
      "with a pullback; tells the process's most memory. benchmarks/full-size compares with PyTorch."
    },
    mixinStandardHelpOptions = true)
final class BenchModelCommand implements Callable<Integer> {
  @Mixin private Sources model;

  @Option(
      names = "--measure",
      defaultValue = "all",
      paramLabel = "all|denoiser|vae|load",
      description = {
        "Everything; the denoiser, with everything loaded; the auto-encoder, loaded by itself (a",
        "latent is then eight pixels a side); loading alone. Default: ${DEFAULT-VALUE}"
      })
  private ModelBench.Part part;

  @Option(
      names = "--guided",
      description = "Evaluate the denoiser with and without the prompt, on two samples at once.")
  private boolean guided;

  @Option(
      names = "--side",
      defaultValue = "512",
      paramLabel = "N",
      description = "Of the picture in pixels. Default: ${DEFAULT-VALUE}")
  private int side;

  @Option(
      names = "--repeats",
      defaultValue = "3",
      paramLabel = "N",
      description = "Timed evaluations of each, after one that is not. Default: ${DEFAULT-VALUE}")
  private int repeats;

  @Option(names = "--json", description = "Print the figures as JSON.")
  private boolean json;

  @Override
  public Integer call() {
    model.check();
    try (GracefulExit.Task cancel = GracefulExit.begin()) {
      ModelBench.Figures figures =
          ModelBench.run(
              new ModelBench.Plan(
                  model.source(), model.choice().resolve(), part, guided, side, repeats),
              cancel);
      if (json) {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("machine", Machine.describe());
        all.put("revision", Machine.revision());
        all.put("precision", model.precision());
        all.put("figures", figures);
        System.out.println(Json.text(all));
      } else {
        print("load", figures.load(), "s");
        print("denoise", figures.denoise(), "s");
        print("decode", figures.decode(), "s");
        print("decode and pullback", figures.decodePullback(), "s");
        print("anonymous memory, loading", figures.loadAnonymous(), "MiB");
        print("anonymous memory", figures.anonymous(), "MiB");
        print("resident memory", figures.peak(), "MiB");
      }
    }
    return 0;
  }

  private static void print(String what, Double value, String unit) {
    if (value != null) {
      System.out.printf(Locale.ROOT, "%-26s %10.3f %s%n", what, value, unit);
    }
  }
}
