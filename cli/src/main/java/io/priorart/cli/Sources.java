package io.priorart.cli;

import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Checkpoints;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.method.Sampling;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/** The model of a command: opened when first asked for, closed with the command. */
final class Sources implements Supplier<Prior>, AutoCloseable {
  @Option(
      names = "--model",
      defaultValue = Checkpoints.BUNDLED,
      paramLabel = "bundled|DIR|FILE",
      description = {
        "Bundled checkpoint's name, a folder in the diffusers layout (docs/design/pixel-prior.md",
        "for priors of pictures themselves), or a Stable Diffusion .safetensors file.",
        "Default: ${DEFAULT-VALUE}, one that fits the task"
      })
  private String model;

  @Option(
      names = "--variant",
      paramLabel = "NAME",
      description = "Which of the folder's files to take, as fp16 for model.fp16.safetensors.")
  private String variant;

  @Option(
      names = "--vae",
      paramLabel = "DIR|FILE",
      description = "Auto-encoder to use instead of the model's own, TAESD's included.")
  private Path vae;

  @Option(
      names = "--lora",
      paramLabel = "FILE[:SCALE]",
      description =
          "LoRA to merge, in diffusers' or kohya's layout; may be repeated. Scale: 1 as trained")
  private List<String> loras = List.of();

  @Option(
      names = "--vae-tile",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "Let the auto-encoder work in overlapping tiles of N pixels a side, for pictures that take too much"
              + " memory. 0 is the whole picture. Default: ${DEFAULT-VALUE}")
  private int vaeTile;

  @Option(
      names = "--precision",
      defaultValue = "auto",
      paramLabel = "P",
      description =
          "Arithmetic of the networks: auto, float32, bfloat16, float16; auto takes bfloat16 where the CPU is faster with it."
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

  /** That the networks must run in float32, which then is what {@code auto} means. */
  void requireFloat32(String why) {
    if (precision == Precision.AUTO) {
      precision = Precision.FLOAT32;
    }
    if (precision != Precision.FLOAT32) {
      throw PriorArtException.badField("precision", why + "; leave it out or say float32");
    }
  }

  /** This, of {@code name} instead of {@code --model} where it is not {@code null}. */
  Sources named(String name) {
    if (name != null) {
      model = name;
    }
    return this;
  }

  /** What is to be opened. */
  ModelSource source() {
    return new ModelSource(
        Checkpoints.resolve(model, text),
        variant,
        vae,
        loras.stream().map(ModelSource.Lora::parse).toList(),
        vaeTile);
  }

  /** Refuses what only a process of its own can change of a model. */
  void requireUnchanged(String why) {
    if (variant != null || vae != null || !loras.isEmpty() || vaeTile != 0) {
      throw PriorArtException.badField("model", "--variant, --vae, --lora and --vae-tile " + why);
    }
  }

  /** What the model is; opens nothing. */
  PriorTraits traits() {
    return ModelFamilies.traits(source());
  }

  /** How the model is sampled; opens nothing. */
  Sampling sampling(String scheduler) {
    return ModelFamilies.sampling(source(), scheduler);
  }

  /** Evaluations of a sample unless told otherwise. */
  int sampleSteps() {
    return ModelFamilies.sampleSteps(source());
  }

  @Override
  public Prior get() {
    if (pipeline == null) {
      pipeline = ModelFamilies.load(source(), CompileOptions.AUTO.withPrecision(precision));
    }
    return pipeline;
  }

  void check() {
    if (!device.equals("cpu")) {
      throw PriorArtException.badField(
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
    return precision.resolve().name().toLowerCase(Locale.ROOT);
  }

  @Override
  public void close() {
    if (pipeline != null) {
      pipeline.close();
    }
  }
}
