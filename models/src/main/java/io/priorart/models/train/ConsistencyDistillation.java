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
 *
 * <p>Word of the picture's end passes on from level to level only as the student learns them. With
 * {@code teacherSteps} the target is where the teacher's own path ends instead, {@code E rho(f(z_t,
 * t) - z_0)} (Luhman and Luhman 2021, arXiv 2101.02388), here from noisy training pictures and from
 * where their paths come by: dearer steps, far fewer of them. Such a prior is sampled in a single
 * evaluation ({@link ModelFamilies#sampleSteps}).
 */
public final class ConsistencyDistillation {
  /** c, of latents of deviation 1 (arXiv 2310.04378, appendix). */
  static final double HUBER = 1e-3;

  /**
   * @param teacher a Stable Diffusion checkpoint of the layout that {@link DiffusionTraining}
   *     writes
   * @param levels steps that the path is cut into
   * @param teacherSteps of DDIM from a level to the path's end; 0 is one step and the student's own
   *     word there
   * @param guidanceScale of the teacher, learnt in; 1 is none
   * @param patch side of the training crops in pixels
   */
  public record Options(
      Path teacher,
      int levels,
      int teacherSteps,
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
      if (teacherSteps < 0 || teacherSteps == 1 || teacherSteps > levels) {
        throw PriorArtException.badField(
            "teacher-steps", "must be 0, or 2 to the levels " + levels + ", was " + teacherSteps);
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

  /**
   * Where a path comes by.
   *
   * @param latent of the model's scale {@code sqrt(alphaBar) (z_0 + sigma noise)}
   * @param timestep {@link #END} at the path's end
   */
  private record Point(float[] latent, int timestep) {}

  private static final int END = -1;

  /** Paths that begin at the same level, so that the teacher takes them in one evaluation. */
  private static final int PATHS_A_LEVEL = 4;

  private ConsistencyDistillation() {}

  static Script script(
      UNet2DConditionModel.Config config, boolean wholePaths, CompileOptions compile) {
    ScriptBuilder builder = TrainingScript.builder("ConsistencyDistillation", compile);
    UNet2DConditionModel unet = new UNet2DConditionModel(config, builder.weights().at("unet"));
    Graph g = builder.method("step");
    Value hyper = g.input("hyper");
    Value context = g.input("context");
    Value here = clean(g, unet, context, "here");
    Value there =
        wholePaths ? g.input("end") : g.call("torch.detach", clean(g, unet, context, "there"));
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
    Script script = script(unet, options.teacherSteps() > 0, CompileOptions.AUTO);
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
      HostTensor empty = options.guidanceScale() == 1 ? null : context(bound, "");
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
    writeScheduler(lap.checkpoint(), scheduler, options);
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

  private static void writeScheduler(Path checkpoint, ObjectNode scheduler, Options options)
      throws IOException {
    scheduler.put("_class_name", "LCMScheduler");
    scheduler.put("original_inference_steps", options.levels());
    if (options.teacherSteps() > 0) {
      scheduler.put(ModelFamilies.STEPS, 1); // fresh noise only blurs what the first has found
    }
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
   * What a step takes after its rates: contexts, then {@link #inputs} of where the student is asked
   * and of where its target is.
   */
  private static NDArray[] batch(
      Options options,
      DiffusionTarget target,
      LatentDiffusionModel teacher,
      List<Sample> samples,
      HostTensor empty,
      NoiseSource random,
      NDManager manager) {
    boolean whole = options.teacherSteps() > 0;
    NoiseSchedule schedule = teacher.schedule();
    Shape latent = teacher.latentShape();
    int n = options.batch();
    List<Sample> drawn = new ArrayList<>();
    List<Point> here = new ArrayList<>();
    List<Point> there = new ArrayList<>();
    while (drawn.size() < n) {
      // a whole path gives two pairs: its beginning, which is a picture's, and a point on its way
      int left = whole ? (n - drawn.size() + 1) / 2 : n - drawn.size();
      List<Sample> some = new ArrayList<>();
      for (int i = 0; i < Math.min(left, whole ? PATHS_A_LEVEL : 1); i++) {
        some.add(samples.get(random.below(samples.size())));
      }
      int level = whole ? 1 + random.below(options.levels() - 1) : random.below(options.levels());
      int[] timesteps = timesteps(schedule, level, options);
      NDArray noisy = noisy(some, schedule.sigma(timesteps[0]), latent, random, manager);
      List<NDArray> path =
          path(teacher, noisy, timesteps, conditioning(some, empty, options, manager));
      for (int i = 0; i < some.size(); i++) {
        drawn.add(some.get(i));
        here.add(point(path, 0, i, timesteps, schedule));
        if (!whole) {
          there.add(point(path, 1, i, timesteps, schedule));
        } else {
          Point end = point(path, path.size() - 1, i, timesteps, schedule);
          there.add(end);
          drawn.add(some.get(i));
          here.add(point(path, 1 + random.below(path.size() - 2), i, timesteps, schedule));
          there.add(end);
        }
      }
    }
    List<NDArray> inputs = new ArrayList<>(List.of(contexts(drawn.subList(0, n), manager)));
    inputs.addAll(inputs(here.subList(0, n), target, schedule, latent, manager));
    List<NDArray> targets = inputs(there.subList(0, n), target, schedule, latent, manager);
    inputs.addAll(whole ? targets.subList(0, 1) : targets);
    return inputs.toArray(new NDArray[0]);
  }

  /**
   * The teacher's path by DDIM (Song et al. 2021, eta 0) on {@code x = z_0 + sigma noise}.
   *
   * @param noisy {@code [n, c, h, w]} at the first timestep
   * @param timesteps falling; the last may be {@link #END}
   * @return the latents at each timestep
   */
  static List<NDArray> path(
      LatentDiffusionModel teacher, NDArray noisy, int[] timesteps, Conditioning told) {
    List<NDArray> path = new ArrayList<>(List.of(noisy));
    for (int i = 1; i < timesteps.length; i++) {
      NDArray x = path.get(i - 1);
      double sigma = teacher.schedule().sigma(timesteps[i - 1]);
      double next = timesteps[i] == END ? 0 : teacher.schedule().sigma(timesteps[i]);
      NDArray estimate = teacher.denoise(x, sigma, told);
      path.add(estimate.add(x.sub(estimate).mul(next / sigma)));
    }
    return path;
  }

  /** Of a level and the one below it, or of a whole path from it, with its end. */
  static int[] timesteps(NoiseSchedule schedule, int level, Options options) {
    int steps =
        options.teacherSteps() == 0 ? level + 1 : Math.min(options.teacherSteps(), level + 1);
    int[] timesteps = new int[options.teacherSteps() == 0 ? 2 : steps + 1];
    for (int i = 0; i < timesteps.length; i++) {
      int at = (level + 1) * (steps - i) / steps - 1;
      timesteps[i] = at < 0 ? END : timestep(schedule, at, options.levels());
    }
    return timesteps;
  }

  private static NDArray noisy(
      List<Sample> samples, double sigma, Shape latent, NoiseSource random, NDManager manager) {
    int size = (int) latent.get(1);
    int count = (int) latent.size();
    float[] clean = new float[samples.size() * count];
    for (int i = 0; i < samples.size(); i++) {
      samples.get(i).latent().crop(random, size, size, clean, i * count);
    }
    Shape shape = new Shape(samples.size()).addAll(latent);
    return manager.create(clean, shape).add(random.normal(manager, shape).mul(sigma));
  }

  private static NDArray contexts(List<Sample> samples, NDManager manager) {
    Shape one = samples.get(0).context().shape();
    int words = (int) one.size();
    float[] contexts = new float[samples.size() * words];
    for (int i = 0; i < samples.size(); i++) {
      System.arraycopy(samples.get(i).context().values(), 0, contexts, i * words, words);
    }
    return manager.create(contexts, new Shape(samples.size()).addAll(one.slice(1)));
  }

  private static Conditioning conditioning(
      List<Sample> samples, HostTensor empty, Options options, NDManager manager) {
    NDArray without = null;
    if (empty != null) {
      without =
          empty.to(manager).broadcast(new Shape(samples.size()).addAll(empty.shape().slice(1)));
    }
    return new Conditioning(contexts(samples, manager), without, options.guidanceScale());
  }

  private static Point point(
      List<NDArray> path, int at, int sample, int[] timesteps, NoiseSchedule schedule) {
    double scale = timesteps[at] == END ? 1 : Math.sqrt(schedule.alphaBar(timesteps[at]));
    return new Point(path.get(at).get(sample).mul(scale).toFloatArray(), timesteps[at]);
  }

  /**
   * Latents, timesteps, and what of the latent and of the network's word makes the clean estimate;
   * the latent alone at a path's end.
   */
  private static List<NDArray> inputs(
      List<Point> points,
      DiffusionTarget target,
      NoiseSchedule schedule,
      Shape latent,
      NDManager manager) {
    int n = points.size();
    int count = (int) latent.size();
    float[] z = new float[n * count];
    float[] timesteps = new float[n];
    float[] skip = new float[n];
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      Point point = points.get(i);
      System.arraycopy(point.latent(), 0, z, i * count, count);
      boolean end = point.timestep() == END;
      timesteps[i] = end ? 0 : point.timestep();
      double alphaBar = end ? 1 : schedule.alphaBar(point.timestep());
      skip[i] = end ? 1 : (float) target.skip(alphaBar);
      out[i] = end ? 0 : (float) target.out(alphaBar);
    }
    Shape each = new Shape(n, 1, 1, 1);
    return List.of(
        manager.create(z, new Shape(n).addAll(latent)),
        manager.create(timesteps),
        manager.create(skip, each),
        manager.create(out, each));
  }

  /** Timestep of a level: the last of its share of the table, as LCMScheduler has it. */
  static int timestep(NoiseSchedule schedule, int level, int levels) {
    return (level + 1) * (schedule.trainTimesteps() / levels) - 1;
  }
}
