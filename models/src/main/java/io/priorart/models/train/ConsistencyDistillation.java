package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.TensorScope;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Makes a few-step U-Net of a latent prior: {@code f(z_t, t)}, its clean estimate, learns to be the
 * same all along the teacher's path, {@code E rho(f(z_t, t) - stop f(z_s, s))}, {@code z_s} one
 * step of DDIM by the guided teacher after {@code z_t}, {@code rho(d) = sqrt(d^2 + c^2) - c} (Luo
 * et al., "Latent Consistency Models", 2023, arXiv 2310.04378, with the student itself as its
 * target, Song and Dhariwal 2024, arXiv 2310.14189). Guidance is learnt in; one evaluation is one
 * step.
 */
public final class ConsistencyDistillation {
  /** c, of latents of deviation 1 (arXiv 2310.04378, appendix). */
  static final double HUBER = 1e-3;

  /**
   * @param teacher a Stable Diffusion checkpoint of the layout that {@link DiffusionTraining}
   *     writes
   * @param levels steps that the path is cut into
   * @param guidanceScale of the teacher, learnt in; 1 is none
   * @param patch side of the training crops in pixels
   */
  public record Options(
      Path teacher,
      int levels,
      double guidanceScale,
      int patch,
      int batch,
      double learningRate,
      Duration duration,
      long seed) {
    public Options {
      if (levels < 2 || levels > 1000) {
        throw PriorArtException.badField("levels", "must be 2 to 1000, was " + levels);
      }
      if (!(guidanceScale >= 1 && guidanceScale <= 100)) {
        throw PriorArtException.badField(
            "guidance-scale", "must be 1 to 100, was " + guidanceScale);
      }
      if (patch < 1 || patch > 1024) {
        throw PriorArtException.badField("patch", "must be 1 to 1024, was " + patch);
      }
    }
  }

  /** A picture's latent with what its caption is to the U-Net. */
  private record Sample(DiffusionTraining.Latent latent, HostTensor context) {}

  private ConsistencyDistillation() {}

  static Script script(UNet2DConditionModel.Config config, CompileOptions compile) {
    ScriptBuilder builder = TrainingScript.builder("ConsistencyDistillation", compile);
    UNet2DConditionModel unet = new UNet2DConditionModel(config, builder.weights().at("unet"));
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value context = g.input("context");
    Value here = clean(g, unet, context, "here");
    Value there = g.call("torch.detach", clean(g, unet, context, "there"));
    Value d = g.sub(here, there);
    Value root = g.call("torch.sqrt", g.add(g.mul(d, d), HUBER * HUBER));
    Value loss = g.add(g.call("torch.mean", root), -HUBER);
    return TrainingScript.finish(builder, g, loss, hyper);
  }

  private static Value clean(Graph g, UNet2DConditionModel unet, Value context, String at) {
    Value z = g.input("z_" + at);
    Value timestep = g.input("timestep_" + at);
    Value skip = g.input("skip_" + at);
    Value out = g.input("out_" + at);
    Value said =
        g.toFloat32(unet.forward(g, g.toCompute(z, true), timestep, g.toCompute(context, false)));
    return g.add(g.mul(z, skip), g.mul(said, out));
  }

  /**
   * Trains the U-Net of the lap's checkpoint, a copy of the teacher's folder, and turns its
   * scheduler to {@code LCMScheduler}.
   *
   * @throws PriorArtException FAILED_PRECONDITION for a teacher that is no latent prior of epsilon
   *     or v
   */
  public static void run(Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    Path teacher = options.teacher();
    ObjectNode scheduler = scheduler(teacher);
    DiffusionTarget target =
        DiffusionTarget.of(scheduler.path("prediction_type").asText("epsilon"));
    UNet2DConditionModel.Config unet =
        UNet2DConditionModel.Config.of(ConfigNode.read(teacher.resolve("unet/config.json")));
    NoiseSource random = new NoiseSource(options.seed());
    Script script = script(unet, CompileOptions.AUTO);
    String weights = "unet/diffusion_pytorch_model.safetensors";
    try (Prior prior = ModelFamilies.load(teacher, CompileOptions.AUTO);
        Trainer trainer =
            new Trainer(
                script,
                lap.state(),
                random,
                StartingWeights.open(script, Map.of("unet.", teacher.resolve(weights))))) {
      if (options.levels() > prior.schedule().trainTimesteps()) {
        throw PriorArtException.badField("levels", "are more than the teacher's timesteps");
      }
      LatentDiffusionModel bound = prior.bind(options.patch(), options.patch());
      List<Sample> samples = encode(prior, bound, pictures, options.patch());
      HostTensor empty = context(bound, "");
      lap.listener().note(samples.size() + " pictures encoded");
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              List.of())
          .run(
              trainer,
              fraction -> batch(options, target, bound, samples, empty, random, trainer.manager()),
              drawn -> List.of());
      trainer.export(lap.checkpoint().resolve(weights), "unet.", name -> true);
    }
    writeScheduler(lap.checkpoint(), scheduler, options.levels());
  }

  private static ObjectNode scheduler(Path teacher) throws IOException {
    Path file = teacher.resolve("scheduler/scheduler_config.json");
    if (!Files.isRegularFile(file)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, file + ": missing; only latent priors are distilled");
    }
    ConfigNode.read(file); // refuses what is no JSON object
    ObjectNode scheduler = (ObjectNode) new ObjectMapper().readTree(file.toFile());
    if (scheduler.path("_class_name").asText().startsWith("FlowMatch")) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          file + ": rectified flow is not distilled, only epsilon and v_prediction");
    }
    return scheduler;
  }

  private static void writeScheduler(Path checkpoint, ObjectNode scheduler, int levels)
      throws IOException {
    scheduler.put("_class_name", "LCMScheduler");
    scheduler.put("original_inference_steps", levels);
    scheduler.put("timestep_scaling", 10.0);
    scheduler.put("timestep_spacing", "leading");
    CheckpointWriter.writeJson(
        checkpoint.resolve("scheduler/scheduler_config.json"), map(scheduler));
    Path file = checkpoint.resolve("model_index.json");
    ObjectNode index = (ObjectNode) new ObjectMapper().readTree(file.toFile());
    index.putArray("scheduler").add("diffusers").add("LCMScheduler");
    CheckpointWriter.writeJson(file, map(index));
  }

  private static Map<String, Object> map(ObjectNode json) {
    Map<String, Object> map = new LinkedHashMap<>();
    json.properties().forEach(e -> map.put(e.getKey(), e.getValue()));
    return map;
  }

  private static List<Sample> encode(
      Prior prior, LatentDiffusionModel bound, List<TrainingPicture> pictures, int patch) {
    List<Sample> samples = new ArrayList<>();
    Map<String, HostTensor> contexts = new LinkedHashMap<>();
    for (TrainingPicture picture : pictures) {
      // whole multiples, so that latents are not of mirrored edges
      int w = picture.width() / patch * patch;
      int h = picture.height() / patch * patch;
      if (w == 0 || h == 0) {
        continue;
      }
      LatentDiffusionModel whole = w == patch && h == patch ? bound : prior.bind(h, w);
      try (TensorScope scope = new TensorScope()) {
        NDManager manager = whole.manager();
        NDArray z = whole.encode(picture.topLeft(w, h).to(manager));
        Shape shape = z.getShape();
        HostTensor context = contexts.computeIfAbsent(picture.caption(), c -> context(bound, c));
        samples.add(
            new Sample(
                new DiffusionTraining.Latent(
                    (int) shape.get(1),
                    (int) shape.get(2),
                    (int) shape.get(3),
                    z.toFloatArray(),
                    new long[0]),
                context));
      }
    }
    if (samples.isEmpty()) {
      throw PriorArtException.badField(
          "data", "no picture is at least " + patch + " pixels wide and high");
    }
    return samples;
  }

  /** What a caption is to the U-Net, {@code [1, L, width]}. */
  private static HostTensor context(LatentDiffusionModel bound, String caption) {
    try (TensorScope scope = new TensorScope()) {
      return HostTensor.of(bound.condition(bound.manager(), new Prompt(caption, "", 1)).positive());
    }
  }

  /**
   * What a step takes after its rates: contexts; then for the upper level and for the lower one
   * latents, timesteps, and what of the latent and of the network's word makes the clean estimate.
   */
  private static NDArray[] batch(
      Options options,
      DiffusionTarget target,
      LatentDiffusionModel teacher,
      List<Sample> samples,
      HostTensor empty,
      NoiseSource random,
      NDManager manager) {
    int n = options.batch();
    NoiseSchedule schedule = teacher.schedule();
    Shape latent = teacher.latentShape();
    int size = (int) latent.get(1);
    int count = (int) latent.size();
    Shape one = new Shape(1).addAll(latent);
    HostTensor first = samples.get(0).context();
    int words = first.values().length;
    float[] contexts = new float[n * words];
    float[][] z = new float[2][n * count];
    float[][] timesteps = new float[2][n];
    float[][] skip = new float[2][n];
    float[][] out = new float[2][n];
    for (int i = 0; i < n; i++) {
      Sample sample = samples.get(random.below(samples.size()));
      float[] clean = new float[count];
      sample.latent().crop(random, size, size, clean, 0);
      System.arraycopy(sample.context().values(), 0, contexts, i * words, words);
      int level = random.below(options.levels());
      int upper = timestep(schedule, level, options.levels());
      double sigma = schedule.sigma(upper);
      double alphaBar = schedule.alphaBar(upper);
      NDArray noisy = manager.create(clean, one).add(random.normal(manager, one).mul(sigma));
      Conditioning told =
          new Conditioning(
              sample.context().to(manager),
              options.guidanceScale() == 1 ? null : empty.to(manager),
              options.guidanceScale());
      NDArray estimate = teacher.denoise(noisy, sigma, told);
      put(noisy.mul(Math.sqrt(alphaBar)), z[0], i * count);
      timesteps[0][i] = upper;
      skip[0][i] = (float) target.skip(alphaBar);
      out[0][i] = (float) target.out(alphaBar);
      if (level == 0) {
        // the path's end is the teacher's own estimate
        put(estimate, z[1], i * count);
        skip[1][i] = 1;
        continue;
      }
      int lower = timestep(schedule, level - 1, options.levels());
      double ratio = schedule.sigma(lower) / sigma;
      double next = schedule.alphaBar(lower);
      NDArray moved = estimate.add(noisy.sub(estimate).mul(ratio));
      put(moved.mul(Math.sqrt(next)), z[1], i * count);
      timesteps[1][i] = lower;
      skip[1][i] = (float) target.skip(next);
      out[1][i] = (float) target.out(next);
    }
    List<NDArray> inputs = new ArrayList<>();
    inputs.add(manager.create(contexts, new Shape(n, first.shape().get(1), first.shape().get(2))));
    for (int k = 0; k < 2; k++) {
      inputs.add(manager.create(z[k], new Shape(n).addAll(latent)));
      inputs.add(manager.create(timesteps[k]));
      inputs.add(manager.create(skip[k], new Shape(n, 1, 1, 1)));
      inputs.add(manager.create(out[k], new Shape(n, 1, 1, 1)));
    }
    return inputs.toArray(new NDArray[0]);
  }

  /** Timestep of a level: the last of its share of the table, as LCMScheduler has it. */
  static int timestep(NoiseSchedule schedule, int level, int levels) {
    return (level + 1) * (schedule.trainTimesteps() / levels) - 1;
  }

  private static void put(NDArray values, float[] target, int offset) {
    float[] from = values.toFloatArray();
    System.arraycopy(from, 0, target, offset, from.length);
  }
}
