package io.priorart.cli;

import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.solver.method.Sampling;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/** The model of a command: opened when first asked for, closed with the command. */
final class Sources implements Supplier<Prior>, AutoCloseable {
  @Option(
      names = "--model",
      defaultValue = Checkpoints.BUNDLED,
      paramLabel = "bundled|DIR",
      description = {
        "Bundled checkpoint's name or a folder in the diffusers layout (docs/design/pixel-prior.md",
        "for priors of pictures themselves). Default: ${DEFAULT-VALUE}, one that fits the task"
      })
  private String model;

  @Option(
      names = "--precision",
      defaultValue = "auto",
      paramLabel = "P",
      description =
          "Arithmetic of the networks: auto, float32, bfloat16, float16; auto takes bfloat16 where the CPU has it."
              + " Default: ${DEFAULT-VALUE}")
  private Precision precision;

  @Option(
      names = "--device",
      defaultValue = "cpu",
      paramLabel = "D",
      description = "cpu is what this build carries. Default: ${DEFAULT-VALUE}")
  private String device;

  private boolean text;
  private Prior pipeline;

  /** That the bundled model must understand a prompt. */
  void requireText() {
    text = true;
  }

  /** What the model is; opens nothing. */
  PriorTraits traits() {
    return ModelFamilies.traits(Checkpoints.resolve(model, text));
  }

  /** How the model is sampled; opens nothing. */
  Sampling sampling(String scheduler) {
    return ModelFamilies.sampling(Checkpoints.resolve(model, text), scheduler);
  }

  @Override
  public Prior get() {
    if (pipeline == null) {
      pipeline =
          ModelFamilies.load(
              Checkpoints.resolve(model, text), CompileOptions.AUTO.withPrecision(precision));
    }
    return pipeline;
  }

  void check() {
    if (!device.equals("cpu")) {
      throw io.priorart.solver.PriorArtException.badField(
          "device", device + " is not available in this build; only cpu is");
    }
  }

  /** As given: a bundled checkpoint's name or a folder. */
  String name() {
    return model;
  }

  /** As given. */
  Precision choice() {
    return precision;
  }

  String precision() {
    return precision.resolve().name().toLowerCase(java.util.Locale.ROOT);
  }

  @Override
  public void close() {
    if (pipeline != null) {
      pipeline.close();
    }
  }
}
