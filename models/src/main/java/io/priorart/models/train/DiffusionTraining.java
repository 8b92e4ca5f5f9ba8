package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.models.tokenizer.BpeTrainer;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.weights.PrefixedSource;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Trains a text-conditioned {@link UNet2DConditionModel} together with its text encoder on the
 * latents of a finished auto-encoder: {@code E w(t) || F(z_t, t, caption) - target ||^2}, the
 * target and the weights by {@link Objective}, captions left out at random for classifier-free
 * guidance (Ho and Salimans 2022, arXiv 2207.12598).
 */
public final class DiffusionTraining {
  /**
   * @param latentPatch side of the training crops in latent pixels, a multiple of the U-Net's
   *     stride; pictures down to a quarter of it are trained at their own size
   * @param captionDropout chance that a picture is shown without its caption
   */
  public record Options(
      int[] channels,
      int layersPerBlock,
      int heads,
      int textWidth,
      int textLayers,
      int vocabulary,
      int latentPatch,
      int batch,
      double learningRate,
      double captionDropout,
      DiffusionObjective objective,
      Duration duration,
      long seed) {}

  static final int MAX_TOKENS = 32;
  static final int TRAIN_TIMESTEPS = 1000;
  private static final double BETA_START = 0.00085;
  private static final double BETA_END = 0.012;
  private static final int TEXT_HEADS = 4;
  private static final int NORM_GROUPS = 16;

  private DiffusionTraining() {}

  /**
   * Trains on the auto-encoder in the checkpoint's {@code vae} and completes the folder: {@code
   * unet}, {@code text_encoder}, {@code tokenizer}, {@code scheduler}, {@code model_index.json}. A
   * tokenizer that is there is kept, since trained weights know its words.
   */
  public static void run(Options options, List<TrainingPicture> pictures, Lap lap)
      throws IOException {
    Path checkpoint = lap.checkpoint();
    AutoencoderKL.Config vae =
        AutoencoderKL.Config.of(ConfigNode.read(checkpoint.resolve("vae/config.json")));
    int vocabularySize = writeTokenizer(checkpoint, pictures, options.vocabulary());
    writeConfigs(checkpoint, options, vae, vocabularySize);
    UNet2DConditionModel.Config unet =
        UNet2DConditionModel.Config.of(ConfigNode.read(checkpoint.resolve("unet/config.json")));
    ClipTextModel.Config text =
        ClipTextModel.Config.of(ConfigNode.read(checkpoint.resolve("text_encoder/config.json")));
    NoiseSource random = new NoiseSource(options.seed());
    Script script = DiffusionStep.script(unet, text, options.objective(), CompileOptions.AUTO);
    Function<String, HostTensor> start =
        lap.from() == null
            ? null
            : StartingWeights.open(
                script,
                Map.of(
                    "unet.", lap.from().resolve("unet/diffusion_pytorch_model.safetensors"),
                    "text.", lap.from().resolve("text_encoder/model.safetensors")));
    NoiseSchedule schedule = schedule(options.objective().target());
    try (ClipTokenizer tokenizer = ClipTokenizer.open(checkpoint.resolve("tokenizer"), MAX_TOKENS);
        Trainer trainer = new Trainer(script, lap.state(), random, start)) {
      LatentSampler latents =
          encode(checkpoint, vae, pictures, tokenizer, options, trainer.manager());
      lap.listener().note(latents.size() + " pictures encoded");
      long[] empty = tokenizer.encode("").ids();
      TrainingGrids grids =
          new DiffusionGrids(
              vae,
              checkpoint.resolve("vae/diffusion_pytorch_model.safetensors"),
              unet,
              text,
              tokenizer,
              pictures,
              options.objective().target(),
              schedule,
              options.latentPatch(),
              CompileOptions.AUTO);
      new TrainingRun(
              lap,
              options.duration(),
              options.learningRate(),
              options.batch(),
              options.seed(),
              random,
              DiffusionStep.terms(options.objective()))
          .run(
              trainer,
              fraction ->
                  DiffusionStep.batch(options, latents, empty, schedule, random, trainer.manager()),
              grids);
      trainer.export(
          folder(checkpoint, "unet").resolve("diffusion_pytorch_model.safetensors"),
          "unet.",
          name -> true);
      trainer.export(
          folder(checkpoint, "text_encoder").resolve("model.safetensors"), "text.", name -> true);
    }
  }

  /** The levels that a target is trained on: Stable Diffusion's betas, or the straight path's. */
  static NoiseSchedule schedule(DiffusionTarget target) {
    return target == DiffusionTarget.FLOW
        ? VariancePreservingSchedule.flowMatching(TRAIN_TIMESTEPS, 1)
        : new VariancePreservingSchedule(
            BetaSchedule.SCALED_LINEAR, TRAIN_TIMESTEPS, BETA_START, BETA_END, false, 0);
  }

  private static Path folder(Path checkpoint, String part) throws IOException {
    return Files.createDirectories(checkpoint.resolve(part));
  }

  /** A picture's scaled latent {@code [c, h, w]} on the host, with its caption's token ids. */
  record Latent(int channels, int height, int width, float[] values, long[] ids) {
    void crop(NoiseSource random, int rows, int columns, float[] target, int offset) {
      int y0 = random.below(height - rows + 1);
      int x0 = random.below(width - columns + 1);
      for (int c = 0; c < channels; c++) {
        for (int y = 0; y < rows; y++) {
          System.arraycopy(
              values,
              (c * height + y0 + y) * width + x0,
              target,
              offset + (c * rows + y) * columns,
              columns);
        }
      }
    }
  }

  private static LatentSampler encode(
      Path checkpoint,
      AutoencoderKL.Config vae,
      List<TrainingPicture> pictures,
      ClipTokenizer tokenizer,
      Options options,
      NDManager manager) {
    int patch = options.latentPatch();
    int stride = 1 << (options.channels().length - 1);
    Script encoder = AutoencoderKL.compileEncoder(vae, CompileOptions.AUTO);
    SafetensorsFile file =
        SafetensorsFile.open(checkpoint.resolve("vae/diffusion_pytorch_model.safetensors"));
    List<Latent> latents = new ArrayList<>();
    try (ScriptModule module =
        ScriptModule.load(manager, encoder, new PrefixedSource(file, "encoder.", "quant_conv."))) {
      for (TrainingPicture picture : pictures) {
        int w = picture.width() / vae.stride();
        int h = picture.height() / vae.stride();
        if (!LatentSampler.fits(h, w, patch, stride)) {
          continue;
        }
        try (TensorScope scope = new TensorScope()) {
          HostTensor x = picture.topLeft(w * vae.stride(), h * vae.stride());
          NDArray z = module.call("forward", x.to(manager))[0].mul(vae.scalingFactor());
          long[] ids = tokenizer.encode(picture.caption()).ids();
          latents.add(new Latent(vae.latentChannels(), h, w, z.toFloatArray(), ids));
        }
      }
    }
    return new LatentSampler(latents, patch, stride);
  }

  private static int writeTokenizer(Path checkpoint, List<TrainingPicture> pictures, int size)
      throws IOException {
    Path tokenizer = folder(checkpoint, "tokenizer");
    Path known = tokenizer.resolve("vocab.json");
    if (Files.exists(known)) {
      return new ObjectMapper().readTree(known.toFile()).size();
    }
    BpeTrainer.Vocabulary v =
        BpeTrainer.train(pictures.stream().map(TrainingPicture::caption).distinct().toList(), size);
    CheckpointWriter.writeJson(tokenizer.resolve("vocab.json"), v.vocabulary());
    CheckpointWriter.write(
        tokenizer.resolve("merges.txt"), "#version: 0.2\n" + String.join("\n", v.merges()) + "\n");
    Map<String, Object> special = new LinkedHashMap<>();
    special.put("bos_token", "<|startoftext|>");
    special.put("eos_token", "<|endoftext|>");
    special.put("pad_token", "<|endoftext|>");
    special.put("unk_token", "<|endoftext|>");
    CheckpointWriter.writeJson(tokenizer.resolve("special_tokens_map.json"), special);
    Map<String, Object> config = new LinkedHashMap<>(special);
    config.put("add_prefix_space", false);
    config.put("do_lower_case", true);
    config.put("errors", "replace");
    config.put("model_max_length", MAX_TOKENS);
    config.put("tokenizer_class", "CLIPTokenizer");
    CheckpointWriter.writeJson(tokenizer.resolve("tokenizer_config.json"), config);
    return v.vocabulary().size();
  }

  private static void writeConfigs(
      Path checkpoint, Options options, AutoencoderKL.Config vae, int vocabularySize)
      throws IOException {
    int n = options.channels().length;
    List<String> down = new ArrayList<>(Collections.nCopies(n, "CrossAttnDownBlock2D"));
    List<String> up = new ArrayList<>(Collections.nCopies(n, "CrossAttnUpBlock2D"));
    // attention over all pixels of the finest level would cost more than it gives
    down.set(0, "DownBlock2D");
    up.set(n - 1, "UpBlock2D");
    Map<String, Object> unet = new LinkedHashMap<>();
    unet.put("_class_name", "UNet2DConditionModel");
    unet.put("act_fn", "silu");
    unet.put("attention_head_dim", options.heads());
    unet.put("block_out_channels", options.channels());
    unet.put("center_input_sample", false);
    unet.put("cross_attention_dim", options.textWidth());
    unet.put("down_block_types", down);
    unet.put("downsample_padding", 1);
    unet.put("flip_sin_to_cos", true);
    unet.put("freq_shift", 0);
    unet.put("in_channels", vae.latentChannels());
    unet.put("layers_per_block", options.layersPerBlock());
    unet.put("mid_block_scale_factor", 1);
    unet.put("mid_block_type", "UNetMidBlock2DCrossAttn");
    unet.put("norm_eps", 1e-5);
    unet.put("norm_num_groups", NORM_GROUPS);
    unet.put("out_channels", vae.latentChannels());
    unet.put("sample_size", 256 / vae.stride());
    unet.put("up_block_types", up);
    unet.put("use_linear_projection", true);
    CheckpointWriter.writeJson(folder(checkpoint, "unet").resolve("config.json"), unet);
    Map<String, Object> text = new LinkedHashMap<>();
    text.put("architectures", List.of("CLIPTextModel"));
    text.put("model_type", "clip_text_model");
    // stored as float16, opened as float32: diffusers opens the other parts so
    text.put("dtype", "float32");
    text.put("vocab_size", vocabularySize);
    text.put("hidden_size", options.textWidth());
    text.put("intermediate_size", 4 * options.textWidth());
    text.put("num_hidden_layers", options.textLayers());
    text.put("num_attention_heads", TEXT_HEADS);
    text.put("max_position_embeddings", MAX_TOKENS);
    text.put("hidden_act", "quick_gelu");
    text.put("layer_norm_eps", 1e-5);
    text.put("projection_dim", options.textWidth());
    text.put("bos_token_id", vocabularySize - 2);
    text.put("eos_token_id", vocabularySize - 1);
    text.put("pad_token_id", vocabularySize - 1);
    CheckpointWriter.writeJson(folder(checkpoint, "text_encoder").resolve("config.json"), text);
    Map<String, Object> scheduler = scheduler(options.objective().target());
    CheckpointWriter.writeJson(
        folder(checkpoint, "scheduler").resolve("scheduler_config.json"), scheduler);
    Map<String, Object> index = new LinkedHashMap<>();
    index.put("_class_name", "StableDiffusionPipeline");
    index.put("feature_extractor", new String[] {null, null});
    index.put("image_encoder", new String[] {null, null});
    index.put("requires_safety_checker", false);
    index.put("safety_checker", new String[] {null, null});
    index.put("scheduler", new Object[] {"diffusers", scheduler.get("_class_name")});
    index.put("text_encoder", new String[] {"transformers", "CLIPTextModel"});
    index.put("tokenizer", new String[] {"transformers", "CLIPTokenizer"});
    index.put("unet", new String[] {"diffusers", "UNet2DConditionModel"});
    index.put("vae", new String[] {"diffusers", "AutoencoderKL"});
    CheckpointWriter.writeJson(checkpoint.resolve("model_index.json"), index);
  }

  private static Map<String, Object> scheduler(DiffusionTarget target) {
    Map<String, Object> scheduler = new LinkedHashMap<>();
    scheduler.put("num_train_timesteps", TRAIN_TIMESTEPS);
    if (target == DiffusionTarget.FLOW) {
      scheduler.put("_class_name", "FlowMatchEulerDiscreteScheduler");
      scheduler.put("shift", 1.0);
      return scheduler;
    }
    scheduler.put("_class_name", "DDIMScheduler");
    scheduler.put("beta_end", BETA_END);
    scheduler.put("beta_schedule", "scaled_linear");
    scheduler.put("beta_start", BETA_START);
    scheduler.put("clip_sample", false);
    scheduler.put("prediction_type", target.predictionType());
    scheduler.put("set_alpha_to_one", true);
    scheduler.put("steps_offset", 0);
    scheduler.put("timestep_spacing", "trailing");
    return scheduler;
  }
}
