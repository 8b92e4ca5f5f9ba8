package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.AttentionMaps;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.Denoiser;
import io.priorart.models.network.DenoiserConfig;
import io.priorart.models.network.SD3Transformer2DModel;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.VelocityCurve;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A latent checkpoint, loaded: Stable Diffusion 1.x, 2.x and XL, their inpainting variants, latent
 * consistency models, Stable Diffusion 3 and 3.5. Denoiser, auto-encoder, text encoders, noise
 * schedule. Safe for concurrent use; {@link #bind} gives the solver's view for one picture size.
 *
 * <p>An inpainting variant's U-Net also sees a mask and a masked picture's latent. As a prior,
 * which knows of no mask, it is shown what diffusers shows it when all is to be repainted: a mask
 * of ones and the latent of a picture of zeros (mid-grey).
 */
public final class DiffusionPipeline implements Prior {
  static final List<String> CLASS_NAMES =
      List.of(
          "StableDiffusionPipeline",
          "StableDiffusionImg2ImgPipeline",
          "StableDiffusionInpaintPipeline",
          "StableDiffusionXLPipeline",
          "StableDiffusionXLImg2ImgPipeline",
          "StableDiffusionXLInpaintPipeline",
          "LatentConsistencyModelPipeline",
          "LatentConsistencyModelImg2ImgPipeline",
          "StableDiffusion3Pipeline",
          "StableDiffusion3Img2ImgPipeline",
          "StableDiffusion3InpaintPipeline");

  private final Checkpoint checkpoint;
  private final NDManager manager = ScriptModule.newManager();

  /** The denoiser's name: {@code unet} or {@code transformer}. */
  private final String part;

  private final DenoiserConfig config;
  private final PriorTraits traits;
  private final PredictionType prediction;
  private final NoiseSchedule schedule;
  private final Precision precision;
  private final int vaeTile;
  private final VelocityCurve velocityErrors;
  private LatentCodec codec;
  private ScriptModule denoiser;
  private CompileOptions denoiserOptions;
  private ScriptModule attention;
  private PromptEncoder prompts;
  private KeptEmbeddings embeddings;

  /**
   * @param vaeTile as in {@link ModelSource}
   */
  DiffusionPipeline(Checkpoint checkpoint, CompileOptions options, int vaeTile) {
    this.checkpoint = checkpoint;
    this.vaeTile = vaeTile;
    precision = options.precision();
    try {
      part = checkpoint.has("transformer") ? "transformer" : "unet";
      ConfigNode c = checkpoint.config(part);
      config =
          part.equals("unet")
              ? UNet2DConditionModel.Config.of(c)
              : SD3Transformer2DModel.Config.of(c);
      ConfigNode scheduler =
          checkpoint.config(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG);
      traits = traits(checkpoint);
      prediction = PredictionType.of(scheduler);
      schedule = schedule(scheduler);
      velocityErrors = velocityErrors(checkpoint);
      denoiserOptions = options;
      try (ScriptModule.Compiling compiling =
          ScriptModule.compile(manager, () -> denoiserScript(options))) {
        codec = LatentCodec.load(checkpoint, manager, options);
        prompts = PromptEncoder.load(checkpoint, config, manager, options);
        embeddings = new KeptEmbeddings(prompts, manager);
        requireMatching();
        denoiser = compiling.attach(checkpoint.weights(part));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private void requireMatching() {
    int latent = codec.latentChannels();
    if (config.outChannels() != latent
        || config.inChannels() != latent && config.inChannels() != 2 * latent + 1) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          ("%s: takes %d and gives %d channels, the auto-encoder's latents have %d; an inpainting"
                  + " variant takes %d")
              .formatted(part, config.inChannels(), config.outChannels(), latent, 2 * latent + 1));
    }
    if (prompts.width() != config.contextWidth()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "text_encoder: is %d wide, the %s attends to %d"
              .formatted(prompts.width(), part, config.contextWidth()));
    }
    if (config.pooled() != null && prompts.pooledWidth() != config.width(config.pooled())) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          ClipPair.SECOND
              + ": prompts are projected to %d, the %s takes %d"
                  .formatted(prompts.pooledWidth(), part, config.width(config.pooled())));
    }
  }

  /** What {@code model calibrate} wrote beside the checkpoint; {@code null} where it did not. */
  private static VelocityCurve velocityErrors(Checkpoint checkpoint) {
    if (!checkpoint.hasConfig("", Checkpoint.CALIBRATION)) {
      return null;
    }
    ConfigNode found = checkpoint.config("", Checkpoint.CALIBRATION);
    try {
      return new VelocityCurve(found.numbers("times"), found.numbers("errors"));
    } catch (PriorArtException e) {
      throw PriorArtException.badField(Checkpoint.CALIBRATION, e.getMessage());
    }
  }

  VelocityCurve velocityErrors() {
    return velocityErrors;
  }

  static PriorTraits traits(Checkpoint checkpoint) {
    return new PriorTraits(false, true, false, fewStep(checkpoint));
  }

  static boolean fewStep(Checkpoint checkpoint) {
    ConfigNode scheduler =
        checkpoint.config(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG);
    return scheduler.text("_class_name", "").equals("LCMScheduler");
  }

  /** The noise levels of a {@code scheduler_config.json}; how it samples is the solver's affair. */
  static NoiseSchedule schedule(ConfigNode c) {
    if (PredictionType.isFlowMatching(c)) {
      if (c.flag("use_dynamic_shifting", false)) {
        throw c.bad("use_dynamic_shifting", "is not supported; give a fixed shift");
      }
      return VariancePreservingSchedule.flowMatching(
          c.integer("num_train_timesteps", 1000, 2, 1_000_000), c.number("shift", 1));
    }
    c.requireUnset("trained_betas");
    // the one class with other defaults
    boolean lcm = c.text("_class_name", "").equals("LCMScheduler");
    return new VariancePreservingSchedule(
        BetaSchedule.of(c.text("beta_schedule", lcm ? "scaled_linear" : "linear")),
        c.integer("num_train_timesteps", 1000, 1, 1_000_000),
        c.number("beta_start", lcm ? 0.00085 : 0.0001),
        c.number("beta_end", lcm ? 0.012 : 0.02),
        c.flag("rescale_betas_zero_snr", false),
        c.integer("steps_offset", 0, 0, 1000));
  }

  // ---- scripts: the networks with the solver's conventions around them

  /** The method of {@link #denoiser} that evaluates a conditioning. */
  static String method(Conditioning conditioning) {
    return conditioning.guided() ? "denoise_guided" : "denoise";
  }

  /**
   * {@code denoise(z, rates, timestep, [seen, sizes, guidance,] context [, pooled])}; rates: input
   * scale, skip, out, guidance scale. The inputs in brackets are there where the checkpoint takes
   * them. {@code denoise_guided} has positive and negative text, in this order.
   */
  private Script denoiserScript(CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("Denoiser", options);
    Denoiser net = config.network(builder.weights());
    Graph plain = builder.method("forward");
    Value sample = plain.input("sample");
    Value timestep = plain.input("timestep");
    Value context = plain.input("encoder_hidden_states");
    Map<String, Value> conditions = new LinkedHashMap<>();
    config.conditions().keySet().forEach(name -> conditions.put(name, plain.input(name)));
    plain.returns(
        plain.toFloat32(
            net.forward(
                plain,
                plain.toCompute(sample, true),
                timestep,
                plain.toCompute(context, false),
                conditions)));
    denoise(builder, false);
    denoise(builder, true);
    return builder.build();
  }

  private void denoise(ScriptBuilder builder, boolean guided) {
    Graph g = builder.method(guided ? "denoise_guided" : "denoise");
    Inputs in = new Inputs(g);
    Value sample = in.sample;
    Value context = in.context;
    Value pooled = in.pooled;
    if (guided) {
      sample = g.concat(0, sample, sample);
      context = g.concat(0, expand(g, g.input("negative"), in.z, 2), context);
      pooled =
          pooled == null
              ? null
              : g.concat(0, expand(g, g.input("negative_pooled"), in.z, 1), pooled);
    }
    List<Value> arguments = new ArrayList<>(List.of(sample, in.timestep, context));
    Map<String, Value> conditions = in.conditions(g, sample, pooled);
    config.conditions().keySet().forEach(name -> arguments.add(conditions.get(name)));
    Value predicted = g.self("forward", arguments);
    if (guided) {
      Value fromNegative = g.chunk(predicted, 2, 0, 0);
      Value difference = g.sub(g.chunk(predicted, 2, 0, 1), fromNegative);
      predicted = g.add(fromNegative, g.mul(difference, g.slice(in.rates, 0, 3, 4)));
    }
    g.returns(
        g.add(
            g.mul(in.z, g.slice(in.rates, 0, 1, 2)), g.mul(predicted, g.slice(in.rates, 0, 2, 3))));
  }

  /** The inputs that methods have in common, in their order. */
  private final class Inputs {
    private final Value z;
    private final Value rates;
    private final Value timestep;
    private final Value sizes;
    private final Value guidance;
    private final Value sample;
    private final Value context;
    private final Value pooled;

    Inputs(Graph g) {
      z = g.input("z");
      rates = g.input("rates");
      timestep = g.input("timestep");
      Value seen = inpaints() ? g.input("seen") : null;
      sizes = takesSizes() ? g.input("sizes") : null;
      guidance = guidanceEmbedding() > 0 ? g.input("guidance") : null;
      Value scaled = g.mul(z, g.slice(rates, 0, 0, 1));
      sample = seen == null ? scaled : g.concat(1, scaled, expand(g, seen, z, 3));
      context = expand(g, g.input("positive"), z, 2);
      pooled = takesPooled() ? expand(g, g.input("positive_pooled"), z, 1) : null;
    }

    Map<String, Value> conditions(Graph g, Value sample, Value pooled) {
      Map<String, Value> conditions = new LinkedHashMap<>();
      if (pooled != null) {
        conditions.put(config.pooled(), pooled);
      }
      if (sizes != null) {
        conditions.put(DenoiserConfig.TIME_IDS, expand(g, sizes, sample, 1));
      }
      if (guidance != null) {
        conditions.put(DenoiserConfig.TIMESTEP_COND, expand(g, guidance, sample, 1));
      }
      return conditions;
    }
  }

  /** Where {@link #denoiser}'s and {@link #attention}'s methods have the prompt's tokens. */
  int contextIndex() {
    return 3 + (inpaints() ? 1 : 0) + (takesSizes() ? 1 : 0) + (guidanceEmbedding() > 0 ? 1 : 0);
  }

  // weights of the loss that keeps what is to be shown and drives apart what is not: the paper's
  private static final double RETAIN = 1;
  private static final double SUPPRESS = -0.5;

  // a token's pixels are those within this share of its most attending one
  private static final double RETAINED_PIXELS = 0.95;
  private static final double SUPPRESSED_PIXELS = 0.85;

  /**
   * The denoiser's attention, made when it is first needed, with the denoiser's own weights: {@code
   * maps(z, ..., positive [, pooled])} gives {@link AttentionMaps}' two; {@code loss(..., to_text,
   * to_itself, retain, suppress)} compares them with other ones.
   */
  synchronized ScriptModule attention() {
    if (attention == null) {
      ScriptModule made = ScriptModule.load(manager, attentionScript());
      try (NDList weights = denoiser.list("ws")) {
        made.attach("ws", weights);
      }
      attention = made;
    }
    return attention;
  }

  private Script attentionScript() {
    ScriptBuilder builder = new ScriptBuilder("Attention", denoiserOptions);
    Denoiser net = config.network(builder.weights());
    Graph maps = builder.method("maps");
    AttentionMaps found = attention(maps, net, new Inputs(maps));
    maps.returns(found.toText(maps), found.toItself(maps));
    Graph g = builder.method("loss");
    AttentionMaps changed = attention(g, net, new Inputs(g));
    Value toText = g.input("to_text");
    Value toItself = g.input("to_itself");
    Value retain = g.input("retain");
    Value suppress = g.input("suppress");
    Value ofTokens = g.add(g.mul(retain, RETAIN), g.mul(suppress, SUPPRESS));
    Value text = g.mul(distance(g, toText, changed.toText(g)), ofTokens);
    Value ofPixels =
        g.add(
            g.mul(pixels(g, toText, retain, RETAINED_PIXELS), RETAIN),
            g.mul(pixels(g, toText, suppress, SUPPRESSED_PIXELS), SUPPRESS));
    Value itself = g.mul(distance(g, toItself, changed.toItself(g)), ofPixels);
    g.returns(g.add(g.call("torch.sum", text), g.call("torch.sum", itself)));
    return builder.build();
  }

  private AttentionMaps attention(Graph g, Denoiser net, Inputs in) {
    return net.forwardWithAttention(
        g,
        g.toCompute(in.sample, true),
        in.timestep,
        g.toCompute(in.context, false),
        in.conditions(g, in.sample, in.pooled));
  }

  /** {@code 1 - cos} of each column, {@code [N, columns]} of two {@code [N, pixels, columns]}. */
  private static Value distance(Graph g, Value a, Value b) {
    Value product = g.call("torch.sum", g.mul(a, b), Graph.raw("[1]"));
    Value lengths = g.mul(length(g, a), length(g, b));
    return g.add(g.mul(g.call("torch.div", product, lengths), -1), 1);
  }

  private static Value length(Graph g, Value x) {
    Value squares = g.call("torch.sum", g.mul(x, x), Graph.raw("[1]"));
    return g.add(g.call("torch.sqrt", squares), 1e-12);
  }

  /** How many of the chosen tokens have each pixel, {@code [N, pixels]}. */
  private static Value pixels(Graph g, Value toText, Value tokens, double share) {
    Value most = g.call("torch.amax", toText, Graph.raw("[1]"), true);
    Value above = g.call("torch.ge", toText, g.mul(most, share));
    return g.call("torch.matmul", g.toFloat32(above), tokens);
  }

  /** {@code x [1, ...]} for every sample of {@code like}. */
  private static Value expand(Graph g, Value x, Value like, int otherAxes) {
    return g.call(
        "torch.expand", x, Graph.raw("[" + g.size(like, 0) + ", -1".repeat(otherAxes) + "]"));
  }

  // ---- the public face

  @Override
  public String name() {
    return checkpoint.name();
  }

  @Override
  public PriorTraits traits() {
    return traits;
  }

  @Override
  public Precision precision() {
    return precision;
  }

  @Override
  public NoiseSchedule schedule() {
    return schedule;
  }

  private Stream<ScriptModule> modules() {
    return Stream.concat(
        Stream.of(denoiser, codec.encoder(), codec.decoder()),
        prompts.encoders().values().stream().map(PromptEncoder.TextEncoder::module));
  }

  @Override
  public long parameters() {
    return modules()
        .flatMap(m -> m.script().weights().stream())
        .mapToLong(w -> w.shape().size())
        .sum();
  }

  @Override
  public String hash() {
    return checkpoint.hash();
  }

  @Override
  public LatentDiffusionModel bind(int height, int width) {
    long longest = (long) config.maxSide() * codec.stride();
    if (Math.max(height, width) > longest) {
      throw PriorArtException.badField(
          "size",
          "is %dx%d; %s takes pictures of at most %d pixels a side"
              .formatted(width, height, name(), longest));
    }
    return new BoundPipeline(this, height, width);
  }

  /** Pixels that a picture's side is padded to a multiple of. */
  int stride() {
    return codec.stride() * config.stride();
  }

  @Override
  public int vaeTile() {
    return vaeTile;
  }

  LatentCodec codec() {
    return codec;
  }

  NDManager manager() {
    return manager;
  }

  ScriptModule denoiser() {
    return denoiser;
  }

  /** Whether the denoiser also sees a mask and a masked picture's latent. */
  boolean inpaints() {
    return config.inChannels() > config.outChannels();
  }

  /** Whether the denoiser is told the picture's sizes. */
  boolean takesSizes() {
    return config.width(DenoiserConfig.TIME_IDS) > 0;
  }

  /** Whether the denoiser takes the prompt in one vector besides its tokens. */
  boolean takesPooled() {
    return config.pooled() != null;
  }

  /** Width of the embedding of a distilled guidance scale; 0 for none. */
  int guidanceEmbedding() {
    return config.width(DenoiserConfig.TIMESTEP_COND);
  }

  /** What the denoiser outputs. */
  public PredictionType prediction() {
    return prediction;
  }

  Conditioning condition(NDManager target, Prompt prompt) {
    prompt.check();
    boolean suppresses = !prompt.suppress().isEmpty();
    if (suppresses && !config.hasTextAttention()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "suppress: " + name() + " attends to text and picture as one; use a negative prompt");
    }
    PromptSuppression suppression =
        suppresses ? new PromptSuppression(prompts, prompt.suppress()) : null;
    String text = suppresses ? suppression.naming(prompt.text()) : prompt.text();
    PromptEncoder.Embedding positive = embeddings.embed(target, text, false);
    // a distilled guidance scale is an input of the network: one branch, whatever the scale
    PromptEncoder.Embedding negative =
        prompt.guidanceScale() == 1 || guidanceEmbedding() > 0
            ? PromptEncoder.Embedding.NONE
            : embeddings.embed(target, prompt.negative(), true);
    if (!suppresses && equal(positive, negative)) {
      // eps + w (eps - eps): one branch says it all
      negative = PromptEncoder.Embedding.NONE;
    }
    return new Conditioning(
        positive.tokens(),
        negative.tokens(),
        prompt.guidanceScale(),
        positive.pooled(),
        negative.pooled(),
        suppresses ? suppression.of(target, prompt, text, positive.tokens()) : null);
  }

  private static boolean equal(PromptEncoder.Embedding a, PromptEncoder.Embedding b) {
    return b.tokens() != null
        && a.tokens().contentEquals(b.tokens())
        && (a.pooled() == null || a.pooled().contentEquals(b.pooled()));
  }

  @Override
  public boolean truncates(String prompt) {
    return prompts.truncates(prompt);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Parts: {@code unet} or {@code transformer} (sample, timestep, encoder_hidden_states, and the
   * {@linkplain DenoiserConfig#conditions conditions} it takes), {@code vae.encoder} (x), {@code
   * vae.decoder} (z), {@code text_encoder}, {@code text_encoder_2} and {@code text_encoder_3}
   * (input_ids) as far as the checkpoint has them.
   */
  @Override
  public HostTensor trace(String name, Map<String, HostTensor> inputs) {
    try (NDManager scratch = manager.newSubManager()) {
      if (name.equals(part)) {
        return traceDenoiser(scratch, inputs);
      } else if (name.equals("vae.encoder")) {
        return forward(
            codec.encoder(),
            TraceInputs.checked(inputs, "x", 4, codec.channels(), codec.stride()).to(scratch));
      } else if (name.equals("vae.decoder")) {
        return forward(
            codec.decoder(),
            TraceInputs.checked(inputs, "z", 4, codec.latentChannels(), 1).to(scratch));
      } else if (prompts.encoders().containsKey(name)) {
        return prompts.encoders().get(name).trace(scratch, inputs);
      }
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          "part: %s is none of %s, vae.encoder, vae.decoder, %s"
              .formatted(name, part, String.join(", ", prompts.encoders().keySet())));
    }
  }

  private HostTensor traceDenoiser(NDManager scratch, Map<String, HostTensor> inputs) {
    HostTensor sample =
        TraceInputs.checked(inputs, "sample", 4, config.inChannels(), config.stride());
    if (Math.max(sample.shape().get(2), sample.shape().get(3)) > config.maxSide()) {
      throw PriorArtException.badField(
          "sample", "is " + sample.shape() + "; its sides are at most " + config.maxSide());
    }
    List<NDArray> arguments = new ArrayList<>();
    arguments.add(sample.to(scratch));
    arguments.add(TraceInputs.checked(inputs, "timestep", 1, -1, 1).to(scratch));
    arguments.add(
        TraceInputs.checked(inputs, "encoder_hidden_states", 3, -1, 1, config.contextWidth())
            .to(scratch));
    config
        .conditions()
        .forEach(
            (name, width) ->
                arguments.add(
                    TraceInputs.exactly(inputs, name, new Shape(sample.shape().get(0), width))
                        .to(scratch)));
    return forward(denoiser, arguments.toArray(new NDArray[0]));
  }

  private static HostTensor forward(ScriptModule module, NDArray... inputs) {
    return HostTensor.of(module.call("forward", inputs)[0]);
  }

  @Override
  public void close() {
    if (attention != null) {
      attention.close();
    }
    if (denoiser != null) {
      denoiser.close();
    }
    if (codec != null) {
      codec.close();
    }
    if (prompts != null) {
      prompts.close();
    }
    manager.close();
  }
}
