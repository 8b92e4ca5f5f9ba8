package io.priorart.cli;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.Prior;
import io.priorart.models.engine.GracefulExit;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.method.Sampling;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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

  @Mixin private PromptOptions text;

  @Option(
      names = "--latents",
      paramLabel = "IN.safetensors",
      description =
          "Start from its tensor 'latents' [1, c, h, w], standard normal, instead of the seed; its"
              + " tensors 'noise.0', 'noise.1', ... are what the steps draw, if there are any.")
  private Path latents;

  @Option(
      names = "--scheduler",
      paramLabel = "NAME",
      description =
          "ddim, ddpm, euler, euler-ancestral, dpm-solver++, sde-dpm-solver++, lcm or"
              + " flow-match-euler, with the settings of the model's scheduler_config.json."
              + " Default: the one which that file names")
  private String scheduler;

  @Option(
      names = "--steps",
      paramLabel = "N",
      description =
          "Denoiser evaluations. Default: 50; 8 for a few-step prior, if it asks for no other number")
  private Integer steps;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of everything that is drawn. Default: ${DEFAULT-VALUE}")
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

  @Option(names = "--json", description = "Print what was drawn, and how.")
  private boolean json;

  @Option(names = "--force", description = "Overwrite an existing file.")
  private boolean force;

  @Override
  public Integer call() {
    model.check();
    model.requireText();
    PictureFiles.requireWritable(output, force);
    PictureFormat.of(output);
    Sampling sampling = model.sampling(scheduler);
    int count = steps != null ? steps : model.sampleSteps();
    Limits.requirePixels("size", width, height);
    long begin = System.nanoTime();
    try (GracefulExit.Task cancel = GracefulExit.begin();
        Sources open = model) {
      Prior pipeline = model.get();
      text.warn(pipeline);
      LatentDiffusionModel bound = pipeline.bind(height, width);
      try (NDManager manager = bound.manager().newSubManager();
          StepBar bar = new StepBar(output.getFileName().toString())) {
        SolveContext context =
            new SolveContext(
                manager, bound.condition(manager, text.prompt()), seed, bar, cancel, null);
        NDArray start = start(bound, context.noise(), manager);
        NDArray x = sampling.sample(bound, start, count, recorded(context));
        PictureFiles.write(
            PictureFiles.quantized(new Picture(HostTensor.of(x), 8, null)), output, force);
      }
      if (json) {
        print(pipeline, sampling, count, (System.nanoTime() - begin) * 1e-9);
      }
    }
    return 0;
  }

  private NDArray start(LatentDiffusionModel bound, NoiseSource random, NDManager manager) {
    Shape shape = new Shape(1).addAll(bound.latentShape());
    if (latents == null) {
      return random.normal(manager, shape);
    }
    HostTensor start = SafetensorsFile.open(latents).read("latents");
    if (!start.shape().equals(shape)) {
      throw PriorArtException.badField("latents", "are " + start.shape() + ", not " + shape);
    }
    return start.to(manager);
  }

  private SolveContext recorded(SolveContext context) {
    if (latents == null) {
      return context;
    }
    SafetensorsFile file = SafetensorsFile.open(latents);
    List<HostTensor> draws = new ArrayList<>();
    for (String name = "noise.0"; file.shapes().containsKey(name); name = "noise." + draws.size()) {
      draws.add(file.read(name));
    }
    return draws.isEmpty() ? context : context.withNoise(NoiseSource.recorded(draws));
  }

  private void print(Prior pipeline, Sampling sampling, int count, double seconds) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("output", output.toString());
    report.put(
        "model",
        Map.of("name", pipeline.name(), "sha256", pipeline.hash(), "precision", model.precision()));
    report.put("scheduler", sampling.sampler().id());
    report.put("steps", count);
    report.put("seed", seed);
    report.put("latents", latents == null ? null : latents.toString());
    report.put("prompt", text.prompt().text());
    report.put("negative_prompt", text.prompt().negative());
    report.put("guidance_scale", text.prompt().guidanceScale());
    report.put("suppress", text.prompt().suppress());
    report.put("suppress_iterations", text.prompt().suppressIterations());
    report.put("seconds", seconds);
    System.out.println(Json.text(report));
  }
}
