package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A checkpoint with a U-Net in the diffusers folder layout, loaded: Stable Diffusion 1.x, 2.x and
 * XL, their inpainting variants, latent consistency models. U-Net, auto-encoder, text encoders,
 * noise schedule. Safe for concurrent use; {@link #bind} gives the solver's view for one picture
 * size.
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
          "LatentConsistencyModelImg2ImgPipeline");

  private static final String SECOND = "text_encoder_2";

  private final Checkpoint checkpoint;
  private final NDManager manager = ScriptModule.newManager();
  private final UNet2DConditionModel.Config unetConfig;
  private final PriorTraits traits;
  private final PredictionType prediction;
  private final NoiseSchedule schedule;
  private final Precision precision;
  private final boolean zerosForEmpty;
  private LatentCodec codec;
  private ScriptModule unet;

  /** One, or XL's two, whose embeddings are laid side by side. */
  private final List<ClipTextEncoder> texts = new ArrayList<>();

  DiffusionPipeline(Checkpoint checkpoint, CompileOptions options) {
    this.checkpoint = checkpoint;
    precision = options.precision();
    try {
      unetConfig = UNet2DConditionModel.Config.of(checkpoint.config("unet"));
      ConfigNode scheduler =
          checkpoint.config(ModelFamilies.SCHEDULER, ModelFamilies.SCHEDULER_CONFIG);
      traits = traits(checkpoint);
      prediction = PredictionType.of(scheduler);
      schedule = schedule(scheduler);
      zerosForEmpty = twoTexts() && checkpoint.index().flag("force_zeros_for_empty_prompt", true);
      codec = LatentCodec.load(checkpoint, manager, options);
      texts.add(new ClipTextEncoder(checkpoint, "text_encoder", "tokenizer", manager, options));
      if (twoTexts()) {
        texts.add(new ClipTextEncoder(checkpoint, SECOND, "tokenizer_2", manager, options));
      }
      requireMatching();
      unet = ScriptModule.load(manager, unetScript(options), checkpoint.weights("unet"));
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Whether the U-Net takes sizes and a pooled prompt, as XL's does. */
  private boolean twoTexts() {
    return unetConfig.sizeEmbedding() > 0;
  }

  private void requireMatching() {
    int latent = codec.latentChannels();
    if (unetConfig.outChannels() != latent
        || unetConfig.inChannels() != latent && unetConfig.inChannels() != 2 * latent + 1) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          ("unet: takes %d and gives %d channels, the auto-encoder's latents have %d; an inpainting"
                  + " variant takes %d")
              .formatted(
                  unetConfig.inChannels(), unetConfig.outChannels(), latent, 2 * latent + 1));
    }
    int width = texts.stream().mapToInt(ClipTextEncoder::width).sum();
    if (width != unetConfig.crossAttentionDim()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "text_encoder: is %d wide, the U-Net attends to %d"
              .formatted(width, unetConfig.crossAttentionDim()));
    }
    if (twoTexts() && texts.get(1).pooledWidth() != unetConfig.pooledWidth()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          SECOND
              + ": projects to %d, the U-Net takes %d"
                  .formatted(texts.get(1).pooledWidth(), unetConfig.pooledWidth()));
    }
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

  /** The method of {@link #unet} that evaluates a conditioning. */
  static String method(Conditioning conditioning) {
    return conditioning.guided() ? "denoise_guided" : "denoise";
  }

  /**
   * {@code denoise(z, rates, timestep, [seen, sizes, guidance,] context [, pooled])}; rates: input
   * scale, skip, out, guidance scale. The inputs in brackets are there where the checkpoint takes
   * them. {@code denoise_guided} has positive and negative text, in this order.
   */
  private Script unetScript(CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("UNet2DConditionModel", options);
    UNet2DConditionModel net = new UNet2DConditionModel(unetConfig, builder.weights());
    Graph plain = builder.method("forward");
    Value sample = plain.input("sample");
    Value timestep = plain.input("timestep");
    Value context = plain.input("encoder_hidden_states");
    Map<String, Value> conditions = new LinkedHashMap<>();
    unetConfig.conditions().keySet().forEach(name -> conditions.put(name, plain.input(name)));
    plain.returns(evaluate(plain, net, sample, timestep, context, conditions));
    denoise(builder, net, false);
    denoise(builder, net, true);
    return builder.build();
  }

  private void denoise(ScriptBuilder builder, UNet2DConditionModel net, boolean guided) {
    Graph g = builder.method(guided ? "denoise_guided" : "denoise");
    Value z = g.input("z");
    Value rates = g.input("rates");
    Value timestep = g.input("timestep");
    Value seen = inpaints() ? g.input("seen") : null;
    Value sizes = twoTexts() ? g.input("sizes") : null;
    Value guidance = unetConfig.guidanceEmbedding() > 0 ? g.input("guidance") : null;
    Value sample = g.mul(z, g.slice(rates, 0, 0, 1));
    if (seen != null) {
      sample = g.concat(1, sample, expand(g, seen, z, 3));
    }
    Value context = expand(g, g.input("positive"), z, 2);
    Value pooled = twoTexts() ? expand(g, g.input("positive_pooled"), z, 1) : null;
    if (guided) {
      sample = g.concat(0, sample, sample);
      context = g.concat(0, expand(g, g.input("negative"), z, 2), context);
      pooled =
          pooled == null ? null : g.concat(0, expand(g, g.input("negative_pooled"), z, 1), pooled);
    }
    Map<String, Value> conditions = new LinkedHashMap<>();
    if (pooled != null) {
      conditions.put("text_embeds", pooled);
      conditions.put("time_ids", expand(g, sizes, sample, 1));
    }
    if (guidance != null) {
      conditions.put("timestep_cond", expand(g, guidance, sample, 1));
    }
    Value predicted = evaluate(g, net, sample, timestep, context, conditions);
    if (guided) {
      Value fromNegative = g.chunk(predicted, 2, 0, 0);
      Value difference = g.sub(g.chunk(predicted, 2, 0, 1), fromNegative);
      predicted = g.add(fromNegative, g.mul(difference, g.slice(rates, 0, 3, 4)));
    }
    g.returns(g.add(g.mul(z, g.slice(rates, 0, 1, 2)), g.mul(predicted, g.slice(rates, 0, 2, 3))));
  }

  private static Value evaluate(
      Graph g,
      UNet2DConditionModel net,
      Value sample,
      Value timestep,
      Value context,
      Map<String, Value> conditions) {
    return g.toFloat32(
        net.forward(
            g, g.toCompute(sample, true), timestep, g.toCompute(context, false), conditions));
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
        Stream.of(unet, codec.encoder(), codec.decoder()),
        texts.stream().map(ClipTextEncoder::module));
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
    return new BoundPipeline(this, height, width);
  }

  /** Pixels that a picture's side is padded to a multiple of. */
  int stride() {
    return codec.stride() * unetConfig.stride();
  }

  LatentCodec codec() {
    return codec;
  }

  NDManager manager() {
    return manager;
  }

  ScriptModule unet() {
    return unet;
  }

  /** Whether the U-Net also sees a mask and a masked picture's latent. */
  boolean inpaints() {
    return unetConfig.inChannels() > unetConfig.outChannels();
  }

  boolean takesSizes() {
    return twoTexts();
  }

  /** Width of the embedding of a distilled guidance scale; 0 for none. */
  int guidanceEmbedding() {
    return unetConfig.guidanceEmbedding();
  }

  /** What the U-Net outputs. */
  public PredictionType prediction() {
    return prediction;
  }

  Conditioning condition(
      NDManager target, String prompt, String negativePrompt, double guidanceScale) {
    if (!(guidanceScale >= 0 && guidanceScale <= 100)) {
      throw PriorArtException.badField("guidance-scale", "must be 0 to 100, was " + guidanceScale);
    }
    Embedding positive = embed(target, prompt, false);
    // a distilled guidance scale is an input of the network: one branch, whatever the scale
    Embedding negative =
        guidanceScale == 1 || guidanceEmbedding() > 0
            ? new Embedding(null, null)
            : embed(target, negativePrompt, zerosForEmpty);
    return new Conditioning(
        positive.tokens(), negative.tokens(), guidanceScale, positive.pooled(), negative.pooled());
  }

  @Override
  public boolean truncates(String prompt) {
    return texts.stream().anyMatch(t -> t.truncates(prompt));
  }

  private record Embedding(NDArray tokens, NDArray pooled) {}

  /**
   * @param emptyIsZero whether an empty prompt is all zeros, as XL was trained
   */
  private Embedding embed(NDManager target, String prompt, boolean emptyIsZero) {
    if (!twoTexts()) {
      return new Embedding(texts.get(0).embed(target, prompt, "forward")[0], null);
    }
    NDArray[] first = texts.get(0).embed(target, prompt, "penultimate");
    NDArray[] second = texts.get(1).embed(target, prompt, "penultimate");
    NDArray tokens = first[0].concat(second[0], -1);
    NDArray pooled = second[1];
    Stream.of(first).forEach(NDArray::close);
    second[0].close();
    if (emptyIsZero && prompt.isEmpty()) {
      Embedding zeros = new Embedding(tokens.zerosLike(), pooled.zerosLike());
      tokens.close();
      pooled.close();
      return zeros;
    }
    return new Embedding(tokens, pooled);
  }

  /**
   * {@inheritDoc}
   *
   * <p>Parts: {@code unet} (sample, timestep, encoder_hidden_states; text_embeds and time_ids of
   * XL, timestep_cond of a latent consistency model), {@code vae.encoder} (x), {@code vae.decoder}
   * (z), {@code text_encoder} and XL's {@code text_encoder_2} (input_ids).
   */
  @Override
  public HostTensor trace(String part, Map<String, HostTensor> inputs) {
    try (NDManager scratch = manager.newSubManager()) {
      if (part.equals("unet")) {
        return traceUnet(scratch, inputs);
      } else if (part.equals("vae.encoder")) {
        return forward(
            codec.encoder(),
            TraceInputs.checked(inputs, "x", 4, codec.channels(), codec.stride()).to(scratch));
      } else if (part.equals("vae.decoder")) {
        return forward(
            codec.decoder(),
            TraceInputs.checked(inputs, "z", 4, codec.latentChannels(), 1).to(scratch));
      } else if (part.equals("text_encoder")) {
        return texts.get(0).trace(scratch, inputs);
      } else if (part.equals(SECOND) && twoTexts()) {
        return texts.get(1).trace(scratch, inputs);
      }
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          "part: "
              + part
              + " is none of unet, vae.encoder, vae.decoder, text_encoder"
              + (twoTexts() ? ", " + SECOND : ""));
    }
  }

  private HostTensor traceUnet(NDManager scratch, Map<String, HostTensor> inputs) {
    HostTensor sample =
        TraceInputs.checked(inputs, "sample", 4, unetConfig.inChannels(), unetConfig.stride());
    List<NDArray> arguments = new ArrayList<>();
    arguments.add(sample.to(scratch));
    arguments.add(TraceInputs.checked(inputs, "timestep", 1, -1, 1).to(scratch));
    arguments.add(
        TraceInputs.checked(
                inputs, "encoder_hidden_states", 3, -1, 1, unetConfig.crossAttentionDim())
            .to(scratch));
    unetConfig
        .conditions()
        .forEach(
            (name, width) ->
                arguments.add(
                    TraceInputs.exactly(inputs, name, new Shape(sample.shape().get(0), width))
                        .to(scratch)));
    return forward(unet, arguments.toArray(new NDArray[0]));
  }

  private static HostTensor forward(ScriptModule module, NDArray... inputs) {
    return HostTensor.of(module.call("forward", inputs)[0]);
  }

  @Override
  public void close() {
    if (unet != null) {
      unet.close();
    }
    if (codec != null) {
      codec.close();
    }
    texts.forEach(ClipTextEncoder::close);
    manager.close();
  }
}
