package io.priorart.models;

import io.priorart.models.engine.CompileOptions;
import io.priorart.models.network.ConfigNode;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.method.Sampler;
import io.priorart.solver.method.Sampling;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.function.Function;

/** The kinds of checkpoint that open, by the {@code _class_name} of their index. */
public final class ModelFamilies {
  private record Family(Function<Checkpoint, PriorTraits> traits, Loader load) {}

  /** Opens a checkpoint; {@code vaeTile} as in {@link ModelSource}. */
  private interface Loader {
    Prior load(Checkpoint checkpoint, CompileOptions options, int vaeTile);
  }

  private static final Map<String, Family> FAMILIES = new TreeMap<>();

  static {
    add(DiffusionPipeline.CLASS_NAMES, DiffusionPipeline::traits, DiffusionPipeline::new);
    add(PixelDiffusion.CLASS_NAMES, PixelDiffusion::traits, untiled(PixelDiffusion::new));
    add(List.of(PixelPrior.CLASS_NAME), PixelPrior::traits, untiled(PixelPrior::new));
    add(List.of(ProximalPrior.CLASS_NAME), ProximalPrior::traits, untiled(ProximalPrior::new));
  }

  /** Of a family without an auto-encoder. */
  private static Loader untiled(BiFunction<Checkpoint, CompileOptions, Prior> load) {
    return (checkpoint, options, vaeTile) -> {
      if (vaeTile != 0) {
        throw PriorArtException.badField(
            "vae-tile", checkpoint.name() + " has no auto-encoder; leave it out");
      }
      return load.apply(checkpoint, options);
    };
  }

  private static void add(
      List<String> classNames, Function<Checkpoint, PriorTraits> traits, Loader load) {
    classNames.forEach(name -> FAMILIES.put(name, new Family(traits, load)));
  }

  static final String SCHEDULER = "scheduler";
  static final String SCHEDULER_CONFIG = "scheduler_config.json";

  /** Key of {@link #sampleSteps}. */
  public static final String STEPS = "_num_inference_steps";

  private ModelFamilies() {}

  /**
   * What a checkpoint is, by its configuration alone.
   *
   * @throws PriorArtException as {@link #load}
   */
  public static PriorTraits traits(ModelSource source) {
    return traits(Checkpoint.open(source));
  }

  static PriorTraits traits(Checkpoint checkpoint) {
    return family(checkpoint).traits().apply(checkpoint);
  }

  /** {@link #load(ModelSource, CompileOptions)} of a model as it is. */
  public static Prior load(Path path, CompileOptions options) {
    return load(ModelSource.of(path), options);
  }

  /**
   * Loads a checkpoint.
   *
   * @throws PriorArtException NOT_FOUND, INVALID_ARGUMENT or FAILED_PRECONDITION naming the file
   *     and the defect
   */
  public static Prior load(ModelSource source, CompileOptions options) {
    Prior loaded = read(source, options);
    // the memory that weights passed through stays resident until Java collects it
    System.gc();
    return loaded;
  }

  private static Prior read(ModelSource source, CompileOptions options) {
    Checkpoint checkpoint = Checkpoint.open(source);
    return family(checkpoint).load().load(checkpoint, options, source.vaeTile());
  }

  /**
   * How a checkpoint is sampled: by its own {@code scheduler/scheduler_config.json}, or as DDIM on
   * trailing timesteps where it has none. Latents are never clipped: {@code clip_sample} is meant
   * for pictures, and diffusers' pipelines switch it off too.
   *
   * @param scheduler the name of a {@link Sampler} to take in place of the checkpoint's own, with
   *     the settings of its configuration; {@code null} for its own
   * @throws PriorArtException NOT_FOUND for another name; FAILED_PRECONDITION or INVALID_ARGUMENT
   *     naming the key that is not supported
   */
  public static Sampling sampling(ModelSource source, String scheduler) {
    Checkpoint checkpoint = Checkpoint.open(source);
    if (!checkpoint.hasConfig(SCHEDULER, SCHEDULER_CONFIG)) {
      return Sampling.of(scheduler == null ? Sampler.DDIM : Sampler.byId(scheduler));
    }
    Sampling found =
        SchedulerConfig.sampling(checkpoint.config(SCHEDULER, SCHEDULER_CONFIG), scheduler);
    return family(checkpoint).traits().apply(checkpoint).pixelSpace() ? found : found.unclipped();
  }

  /**
   * Denoiser evaluations of a sample unless more are asked for: what {@code scheduler_config.json}
   * says as {@value #STEPS} (our own key; diffusers passes over it), else 8 of a consistency model
   * and 50 of any other.
   *
   * @throws PriorArtException as {@link #traits}; INVALID_ARGUMENT for less than 1
   */
  public static int sampleSteps(ModelSource source) {
    Checkpoint checkpoint = Checkpoint.open(source);
    int usual = traits(checkpoint).fewStep() ? 8 : 50;
    return checkpoint.hasConfig(SCHEDULER, SCHEDULER_CONFIG)
        ? checkpoint.config(SCHEDULER, SCHEDULER_CONFIG).integer(STEPS, usual, 1, 1000)
        : usual;
  }

  private static Family family(Checkpoint checkpoint) {
    ConfigNode index = checkpoint.index();
    String name = index.text("_class_name", "StableDiffusionPipeline");
    Family family = FAMILIES.get(name);
    if (family == null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          index.source()
              + "#_class_name: "
              + name
              + " is not supported, only "
              + FAMILIES.keySet());
    }
    return family;
  }
}
