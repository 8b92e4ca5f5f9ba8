package io.priorart.cli;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.DiffusionPipeline;
import io.priorart.models.engine.GracefulExit;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.runtime.Limits;
import io.priorart.runtime.Sampler;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart sample}: a picture from the prior alone, to see what the model knows. */
@Command(
    name = "sample",
    description = "Draws a picture from the model without any measurement.",
    mixinStandardHelpOptions = true)
final class SampleCommand implements Callable<Integer> {
  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "OUT",
      description = "File to write.")
  private Path output;

  @Mixin private Sources model;

  @Option(names = "--prompt", defaultValue = "", paramLabel = "T")
  private String prompt;

  @Option(names = "--negative-prompt", defaultValue = "", paramLabel = "T")
  private String negativePrompt;

  @Option(
      names = "--guidance-scale",
      defaultValue = "1",
      paramLabel = "G",
      description = "Default: ${DEFAULT-VALUE}")
  private double guidanceScale;

  @Option(
      names = "--latents",
      paramLabel = "IN.safetensors",
      description =
          "Start from its tensor 'latents' [1, c, h, w], standard normal, instead of the seed.")
  private Path latents;

  @Option(
      names = "--scheduler",
      defaultValue = "ddim",
      paramLabel = "NAME",
      description = "ddim. Default: ${DEFAULT-VALUE}")
  private String scheduler;

  @Option(
      names = "--steps",
      defaultValue = "50",
      paramLabel = "N",
      description = "Default: ${DEFAULT-VALUE}")
  private int steps;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Default: ${DEFAULT-VALUE}")
  private long seed;

  @Option(
      names = "--width",
      defaultValue = "256",
      description = "Pixels. Default: ${DEFAULT-VALUE}")
  private int width;

  @Option(
      names = "--height",
      defaultValue = "256",
      description = "Pixels. Default: ${DEFAULT-VALUE}")
  private int height;

  @Option(names = "--force", description = "Overwrite an existing file.")
  private boolean force;

  @Override
  public Integer call() {
    model.check();
    PictureFiles.requireWritable(output, force);
    PictureFiles.depthFor(output, 8);
    if (!scheduler.equals("ddim")) {
      throw PriorArtException.badField("scheduler", scheduler + " is unknown; there is ddim");
    }
    Limits.requirePixels("size", width, height);
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      DiffusionPipeline pipeline = model.get();
      LatentDiffusionModel bound = pipeline.bind(height, width);
      try (NDManager manager = bound.manager().newSubManager()) {
        Shape shape = new Shape(1).addAll(bound.latentShape());
        HostTensor start =
            latents == null
                ? new NoiseSource(seed).normal(shape)
                : SafetensorsFile.open(latents).read("latents");
        if (!start.shape().equals(shape)) {
          throw PriorArtException.badField("latents", "are " + start.shape() + ", not " + shape);
        }
        NDArray x =
            Sampler.ddim(
                bound,
                start.to(manager),
                bound.condition(manager, prompt, negativePrompt, guidanceScale),
                steps,
                cancel);
        PictureFiles.write(
            PictureFiles.quantized(new Picture(HostTensor.of(x), 8, null)), output, force);
      }
    }
    return 0;
  }
}
