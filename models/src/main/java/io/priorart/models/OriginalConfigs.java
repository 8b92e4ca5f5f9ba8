package io.priorart.models;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.weights.OriginalLayout;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.util.Map;
import java.util.TreeMap;

/**
 * The configurations that a checkpoint in one file lacks, as the diffusers folder layout would have
 * them: what the shapes tell is read from the shapes, the rest is the families' published
 * configuration.
 *
 * <p>Told by the shapes: widths, depths, channels, text widths, projections. Taken from the family:
 * heads (8 a level in 1.x, 64 channels each in the others), scale of the latents, activations,
 * noise schedule, and what the network predicts: epsilon in 1.x and XL, v in 2.x, the flow's
 * velocity in 3; the file's own {@code modelspec.prediction_type} ({@code epsilon} or {@code v})
 * and the marker tensor {@code v_pred} come first. Stable Diffusion 2 base (512 pixels), which
 * predicts epsilon, cannot be told from 2.1 (768) by its tensors and needs that line.
 */
final class OriginalConfigs {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String TOKENS = "text_model.embeddings.token_embedding.weight";

  /** The families, by what only they have. */
  private enum Family {
    SD1("StableDiffusionPipeline", 0.18215, 0),
    SD2("StableDiffusionPipeline", 0.18215, 0),
    SDXL("StableDiffusionXLPipeline", 0.13025, 0),
    SD3("StableDiffusion3Pipeline", 1.5305, 0.0609);

    final String pipeline;
    final double scalingFactor;
    final double shiftFactor;

    Family(String pipeline, double scalingFactor, double shiftFactor) {
      this.pipeline = pipeline;
      this.scalingFactor = scalingFactor;
      this.shiftFactor = shiftFactor;
    }
  }

  private final Map<String, TensorSource> parts;
  private final Family family;
  private final boolean velocity;
  private final String name;

  /**
   * @param name of the file, for messages
   * @param parts as {@link OriginalLayout#parts} gives them
   * @param metadata the file's
   * @param marked whether the file has the tensor {@code v_pred}
   * @throws PriorArtException INVALID_ARGUMENT naming the parts that are missing
   */
  OriginalConfigs(
      String name, Map<String, TensorSource> parts, Map<String, String> metadata, boolean marked) {
    this.name = name;
    this.parts = parts;
    for (String part : new String[] {"vae", "text_encoder"}) {
      if (!parts.containsKey(part)) {
        throw missing(part);
      }
    }
    if (parts.containsKey("transformer")) {
      family = Family.SD3;
    } else if (!parts.containsKey("unet")) {
      throw missing("unet");
    } else if (parts.containsKey("text_encoder_2")) {
      family = Family.SDXL;
    } else {
      family = dim("text_encoder", TOKENS, 1) == 768 ? Family.SD1 : Family.SD2;
    }
    if ((family == Family.SD3 || family == Family.SDXL) && !parts.containsKey("text_encoder_2")) {
      throw missing("text_encoder_2");
    }
    String stated = metadata.get("modelspec.prediction_type");
    velocity = stated == null ? marked || family == Family.SD2 : stated.startsWith("v");
  }

  private OriginalConfigs(String name, TensorSource vae) {
    this.name = name;
    parts = Map.of("vae", vae);
    family = Family.SD1;
    velocity = false;
  }

  /**
   * The configuration of an auto-encoder in a file of its own; its scale is Stable Diffusion 1's.
   */
  static ObjectNode vae(String name, TensorSource vae) {
    return new OriginalConfigs(name, vae).vae();
  }

  private PriorArtException missing(String part) {
    return new PriorArtException(
        ErrorKind.INVALID_ARGUMENT,
        name
            + " lacks the part "
            + part
            + "; a checkpoint in one file must hold U-Net or transformer, auto-encoder and text"
            + " encoders, it has "
            + parts.keySet());
  }

  /** By file, relative to the folder: {@code model_index.json}, {@code unet/config.json}, ... */
  Map<String, ObjectNode> files() {
    Map<String, ObjectNode> files = new TreeMap<>();
    files.put("model_index.json", index());
    if (family == Family.SD3) {
      files.put("transformer/config.json", transformer());
    } else {
      files.put("unet/config.json", unet());
    }
    files.put("vae/config.json", vae());
    files.put("text_encoder/config.json", text("text_encoder"));
    if (parts.containsKey("text_encoder_2")) {
      files.put("text_encoder_2/config.json", text("text_encoder_2"));
    }
    if (parts.containsKey("text_encoder_3")) {
      files.put("text_encoder_3/config.json", t5());
    }
    files.put("scheduler/scheduler_config.json", scheduler());
    return files;
  }

  private ObjectNode index() {
    boolean inpainting = family != Family.SD3 && dim("unet", "conv_in.weight", 1) == 9;
    return JSON.createObjectNode()
        .put(
            "_class_name",
            family.pipeline.replace("Pipeline", inpainting ? "InpaintPipeline" : "Pipeline"))
        .put("force_zeros_for_empty_prompt", family == Family.SDXL);
  }

  // ---- what the shapes tell

  private boolean has(String part, String tensor) {
    return parts.get(part).shapes().containsKey(tensor);
  }

  private int dim(String part, String tensor, int axis) {
    Shape shape = parts.get(part).shapes().get(tensor);
    if (shape == null || shape.dimension() <= axis || shape.get(axis) > 1 << 20) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT, name + ": " + part + " has no usable " + tensor);
    }
    return (int) shape.get(axis);
  }

  /** How many of {@code prefix0suffix, prefix1suffix, ...} there are. */
  private int count(String part, String prefix, String suffix) {
    int n = 0;
    while (has(part, prefix + n + suffix)) {
      n++;
    }
    return n;
  }

  private ObjectNode unet() {
    ObjectNode c = JSON.createObjectNode().put("_class_name", "UNet2DConditionModel");
    c.put("in_channels", dim("unet", "conv_in.weight", 1));
    c.put("out_channels", dim("unet", "conv_out.weight", 0));
    int levels = count("unet", "down_blocks.", ".resnets.0.conv1.weight");
    ArrayNode channels = c.putArray("block_out_channels");
    ArrayNode down = c.putArray("down_block_types");
    ArrayNode heads = c.putArray("attention_head_dim");
    ArrayNode depths = c.putArray("transformer_layers_per_block");
    for (int i = 0; i < levels; i++) {
      String block = "down_blocks." + i;
      int width = dim("unet", block + ".resnets.0.conv1.weight", 0);
      channels.add(width);
      heads.add(family == Family.SD1 ? 8 : Math.max(1, width / 64));
      int depth = depth(block + ".attentions.0");
      down.add(depth > 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
      // a level without attention takes the middle's depth where that is its own
      depths.add(depth > 0 ? depth : i == levels - 1 ? depth("mid_block.attentions.0") : 1);
    }
    ArrayNode up = c.putArray("up_block_types");
    for (int i = 0; i < levels; i++) {
      up.add(depth("up_blocks." + i + ".attentions.0") > 0 ? "CrossAttnUpBlock2D" : "UpBlock2D");
    }
    c.put("layers_per_block", count("unet", "down_blocks.0.resnets.", ".conv1.weight"));
    String middle = "mid_block.attentions.0.";
    c.put("cross_attention_dim", dim("unet", middle + "transformer_blocks.0.attn2.to_k.weight", 1));
    c.put(
        "use_linear_projection",
        parts.get("unet").shapes().get(middle + "proj_in.weight").dimension() == 2);
    if (has("unet", "add_embedding.linear_1.weight")) {
      c.put("addition_embed_type", "text_time");
      c.put("addition_time_embed_dim", 256);
      c.put(
          "projection_class_embeddings_input_dim", dim("unet", "add_embedding.linear_1.weight", 1));
    }
    return c;
  }

  private int depth(String attention) {
    return count("unet", attention + ".transformer_blocks.", ".attn2.to_k.weight");
  }

  private ObjectNode vae() {
    ObjectNode c = JSON.createObjectNode().put("_class_name", "AutoencoderKL");
    int levels = count("vae", "encoder.down_blocks.", ".resnets.0.conv1.weight");
    ArrayNode channels = c.putArray("block_out_channels");
    ArrayNode down = c.putArray("down_block_types");
    ArrayNode up = c.putArray("up_block_types");
    for (int i = 0; i < levels; i++) {
      channels.add(dim("vae", "encoder.down_blocks." + i + ".resnets.0.conv1.weight", 0));
      down.add("DownEncoderBlock2D");
      up.add("UpDecoderBlock2D");
    }
    c.put("layers_per_block", count("vae", "encoder.down_blocks.0.resnets.", ".conv1.weight"));
    c.put("latent_channels", dim("vae", "decoder.conv_in.weight", 1));
    c.put("use_quant_conv", has("vae", "quant_conv.weight"));
    c.put("use_post_quant_conv", has("vae", "post_quant_conv.weight"));
    c.put("scaling_factor", family.scalingFactor);
    c.put("shift_factor", family.shiftFactor);
    c.put("force_upcast", family == Family.SDXL);
    return c;
  }

  private ObjectNode text(String part) {
    boolean projected = has(part, "text_projection.weight");
    int width = dim(part, TOKENS, 1);
    ObjectNode c =
        JSON.createObjectNode()
            .put("_class_name", projected ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    c.putArray("architectures").add(projected ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    c.put("vocab_size", dim(part, TOKENS, 0));
    c.put("hidden_size", width);
    c.put(
        "max_position_embeddings", dim(part, "text_model.embeddings.position_embedding.weight", 0));
    c.put("intermediate_size", dim(part, "text_model.encoder.layers.0.mlp.fc1.weight", 0));
    c.put(
        "num_hidden_layers", count(part, "text_model.encoder.layers.", ".self_attn.q_proj.weight"));
    c.put("num_attention_heads", Math.max(1, width / 64));
    // OpenAI's CLIP, the one of this width, approximates the activation that OpenCLIP computes
    c.put("hidden_act", width == 768 ? "quick_gelu" : "gelu");
    c.put("projection_dim", projected ? dim(part, "text_projection.weight", 0) : width);
    // what OpenCLIP's tokenizers fill texts up with
    c.put("pad_token", width == 768 ? "<|endoftext|>" : "!");
    c.put("bos_token_id", dim(part, TOKENS, 0) - 2);
    c.put("eos_token_id", dim(part, TOKENS, 0) - 1);
    return c;
  }

  private ObjectNode t5() {
    String part = "text_encoder_3";
    ObjectNode c = JSON.createObjectNode().put("_class_name", "T5EncoderModel");
    String layer = "encoder.block.0.layer.";
    int inner = dim(part, layer + "0.SelfAttention.q.weight", 0);
    int heads = dim(part, layer + "0.SelfAttention.relative_attention_bias.weight", 1);
    c.put("vocab_size", dim(part, "shared.weight", 0));
    c.put("d_model", dim(part, "shared.weight", 1));
    c.put("d_ff", dim(part, layer + "1.DenseReluDense.wi_0.weight", 0));
    c.put("num_layers", count(part, "encoder.block.", ".layer.0.SelfAttention.q.weight"));
    c.put("num_heads", heads);
    c.put("d_kv", inner / heads);
    c.put(
        "relative_attention_num_buckets",
        dim(part, layer + "0.SelfAttention.relative_attention_bias.weight", 0));
    c.put("feed_forward_proj", "gated-gelu");
    return c;
  }

  private ObjectNode transformer() {
    String part = "transformer";
    ObjectNode c = JSON.createObjectNode().put("_class_name", "SD3Transformer2DModel");
    int width = dim(part, "pos_embed.proj.weight", 0);
    int patch = dim(part, "pos_embed.proj.weight", 2);
    int channels = dim(part, "pos_embed.proj.weight", 1);
    int blocks = count(part, "transformer_blocks.", ".attn.to_q.weight");
    c.put("sample_size", 128);
    c.put("patch_size", patch);
    c.put("in_channels", channels);
    c.put("out_channels", dim(part, "proj_out.weight", 0) / (patch * patch));
    c.put("num_layers", blocks);
    c.put("attention_head_dim", 64);
    c.put("num_attention_heads", Math.max(1, width / 64));
    c.put("caption_projection_dim", width);
    c.put("joint_attention_dim", dim(part, "context_embedder.weight", 1));
    c.put("pooled_projection_dim", dim(part, "time_text_embed.text_embedder.linear_1.weight", 1));
    c.put("pos_embed_max_size", (int) Math.round(Math.sqrt(dim(part, "pos_embed.pos_embed", 1))));
    ArrayNode dual = c.putArray("dual_attention_layers");
    for (int i = 0; i < blocks; i++) {
      if (has(part, "transformer_blocks." + i + ".attn2.to_q.weight")) {
        dual.add(i);
      }
    }
    if (has(part, "transformer_blocks.0.attn.norm_q.weight")) {
      c.put("qk_norm", "rms_norm");
    }
    return c;
  }

  private ObjectNode scheduler() {
    ObjectNode c = JSON.createObjectNode().put("num_train_timesteps", 1000);
    if (family == Family.SD3) {
      return c.put("_class_name", "FlowMatchEulerDiscreteScheduler").put("shift", 3.0);
    }
    c.put("_class_name", family == Family.SDXL ? "EulerDiscreteScheduler" : "DDIMScheduler");
    c.put("beta_schedule", "scaled_linear").put("beta_start", 0.00085).put("beta_end", 0.012);
    c.put("steps_offset", 1).put("timestep_spacing", "leading");
    c.put("clip_sample", false).put("set_alpha_to_one", false);
    return c.put("prediction_type", velocity ? "v_prediction" : "epsilon");
  }
}
