package io.priorart.models.weights;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.weights.RenamedSource.Change;
import io.priorart.models.weights.RenamedSource.Origin;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Checkpoints in one file, as the repositories that the models came from write them, read as the
 * parts of the diffusers folder layout: Stable Diffusion 1.x, 2.x, XL (Rombach et al., "latent
 * diffusion" names) and 3 (Esser et al.). Every table has what the file calls a thing on the left,
 * what diffusers calls it on the right.
 */
public final class OriginalLayout {
  /** Where the parts begin; the longest beginning that fits counts. */
  private static final String VAE = "first_stage_model.";

  private static final String[][] PARTS = {
    {"model.diffusion_model.", "unet"},
    {VAE, "vae"},
    {"cond_stage_model.transformer.", "text_encoder"},
    {"cond_stage_model.model.", "text_encoder"},
    {"conditioner.embedders.0.transformer.", "text_encoder"},
    {"conditioner.embedders.1.model.", "text_encoder_2"},
    {"text_encoders.clip_l.transformer.", "text_encoder"},
    {"text_encoders.clip_g.transformer.", "text_encoder_2"},
    {"text_encoders.t5xxl.transformer.", "text_encoder_3"},
  };

  /** Training's own tensors, which no network reads. */
  private static final Pattern UNUSED =
      Pattern.compile(
          "model_ema\\..*|(sqrt_)?(one_minus_|recip_|recipm1_|log_one_minus_)?alphas_cumprod(_prev)?"
              + "|sqrt_.*|log_one_minus_.*|posterior_.*|betas|lvlb_weights|denoiser\\.sigmas"
              + "|model_sampling\\..*|v_pred|ztsnr|edm_.*|scale_factor"
              + "|.*\\.logit_scale|.*\\.position_ids|.*\\.attn_mask|first_stage_model\\.loss\\..*");

  private static final String[][] UNET = {
    {"time_embed.0", "time_embedding.linear_1"},
    {"time_embed.2", "time_embedding.linear_2"},
    {"label_emb.0.0", "add_embedding.linear_1"},
    {"label_emb.0.2", "add_embedding.linear_2"},
    {"input_blocks.0.0", "conv_in"},
    {"middle_block.0", "mid_block.resnets.0"},
    {"middle_block.1", "mid_block.attentions.0"},
    {"middle_block.2", "mid_block.resnets.1"},
    {"out.0", "conv_norm_out"},
    {"out.2", "conv_out"},
  };

  private static final String[][] UNET_RESNET = {
    {"in_layers.0", "norm1"},
    {"in_layers.2", "conv1"},
    {"emb_layers.1", "time_emb_proj"},
    {"out_layers.0", "norm2"},
    {"out_layers.3", "conv2"},
    {"skip_connection", "conv_shortcut"},
  };

  private static final String[][] VAE_HALF = {
    {"mid.block_1", "mid_block.resnets.0"},
    {"mid.block_2", "mid_block.resnets.1"},
    {"mid.attn_1", "mid_block.attentions.0"},
    {"norm_out", "conv_norm_out"},
  };

  private static final String[][] VAE_RESNET = {{"nin_shortcut", "conv_shortcut"}};

  /** The projections are pointwise convolutions there and matrices here. */
  private static final String[][] VAE_ATTENTION = {
    {"norm", "group_norm"},
    {"q", "to_q"},
    {"k", "to_k"},
    {"v", "to_v"},
    {"proj_out", "to_out.0"},
  };

  private static final String[][] OPEN_CLIP = {
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final", "text_model.final_layer_norm"},
  };

  private static final String[][] OPEN_CLIP_LAYER = {
    {"ln_1", "layer_norm1"},
    {"ln_2", "layer_norm2"},
    {"mlp.c_fc", "mlp.fc1"},
    {"mlp.c_proj", "mlp.fc2"},
    {"attn.out_proj", "self_attn.out_proj"},
  };

  private static final String[][] SD3 = {
    {"pos_embed", "pos_embed.pos_embed"},
    {"x_embedder.proj", "pos_embed.proj"},
    {"t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"},
    {"t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"},
    {"y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"},
    {"y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"},
    {"context_embedder", "context_embedder"},
    {"final_layer.linear", "proj_out"},
  };

  private static final String[][] SD3_BLOCK = {
    {"x_block.adaLN_modulation.1", "norm1.linear"},
    {"x_block.attn.ln_q", "attn.norm_q"},
    {"x_block.attn.ln_k", "attn.norm_k"},
    {"x_block.attn.proj", "attn.to_out.0"},
    {"x_block.attn2.ln_q", "attn2.norm_q"},
    {"x_block.attn2.ln_k", "attn2.norm_k"},
    {"x_block.attn2.proj", "attn2.to_out.0"},
    {"x_block.mlp.fc1", "ff.net.0.proj"},
    {"x_block.mlp.fc2", "ff.net.2"},
    {"context_block.attn.ln_q", "attn.norm_added_q"},
    {"context_block.attn.ln_k", "attn.norm_added_k"},
    {"context_block.attn.proj", "attn.to_add_out"},
    {"context_block.mlp.fc1", "ff_context.net.0.proj"},
    {"context_block.mlp.fc2", "ff_context.net.2"},
  };

  /** Query, key and value in one matrix there. */
  private static final String[][] SD3_TRIPLES = {
    {"x_block.attn.qkv", "attn.to_q", "attn.to_k", "attn.to_v"},
    {"x_block.attn2.qkv", "attn2.to_q", "attn2.to_k", "attn2.to_v"},
    {"context_block.attn.qkv", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"},
  };

  private static final Change[] THIRDS = {
    Change.FIRST_THIRD, Change.SECOND_THIRD, Change.LAST_THIRD
  };

  private static final Pattern UNET_BLOCK =
      Pattern.compile("(input|output)_blocks\\.(\\d+)\\.(\\d+)\\.(.+)");
  private static final Pattern DIFFUSERS_BLOCK =
      Pattern.compile(
          "(down|up)_blocks\\.(\\d+)\\.(resnets|attentions|downsamplers|upsamplers)\\.(\\d+)\\.(.+)");
  private static final Pattern VAE_BLOCK =
      Pattern.compile("(down|up)\\.(\\d+)\\.(block\\.(\\d+)|downsample|upsample)\\.(.+)");
  private static final Pattern OPEN_CLIP_BLOCK =
      Pattern.compile("transformer\\.resblocks\\.(\\d+)\\.(.+)");
  private static final Pattern SD3_JOINT = Pattern.compile("joint_blocks\\.(\\d+)\\.(.+)");

  private OriginalLayout() {}

  /**
   * The parts of a file, by their diffusers names ({@code unet} or {@code transformer}, {@code
   * vae}, {@code text_encoder}, {@code text_encoder_2}, {@code text_encoder_3}), as far as it has
   * them.
   *
   * @throws PriorArtException INVALID_ARGUMENT naming all tensors that no layout known here has
   */
  public static Map<String, TensorSource> parts(TensorSource file) {
    Map<String, Map<String, String>> split = new TreeMap<>();
    List<String> strange = new ArrayList<>();
    for (String name : file.shapes().keySet()) {
      if (UNUSED.matcher(name).matches()) {
        continue;
      }
      String[] part = null;
      for (String[] candidate : PARTS) {
        if (name.startsWith(candidate[0])) {
          part = candidate;
        }
      }
      if (part == null) {
        strange.add(name);
      } else {
        split
            .computeIfAbsent(part[0], p -> new LinkedHashMap<>())
            .put(name.substring(part[0].length()), name);
      }
    }
    Map<String, TensorSource> parts = new TreeMap<>();
    for (String[] part : PARTS) {
      Map<String, String> tensors = split.get(part[0]);
      if (tensors != null) {
        boolean transformer = part[1].equals("unet") && tensors.containsKey("pos_embed");
        Map<String, Origin> origins =
            switch (transformer ? "transformer" : part[1]) {
              case "unet" -> unet(tensors, strange);
              case "transformer" -> transformer(tensors, strange);
              case "vae" -> vae(tensors, strange);
              default ->
                  tensors.containsKey("positional_embedding")
                      ? openClip(tensors, part[1].equals("text_encoder"), strange)
                      : unchanged(tensors);
            };
        parts.put(transformer ? "transformer" : part[1], new RenamedSource(file, origins));
      }
    }
    if (!strange.isEmpty()) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          file.name()
              + " is no Stable Diffusion 1, 2, XL or 3 checkpoint in one file; it also holds "
              + TensorSource.like("tensors", strange));
    }
    return parts;
  }

  /**
   * An auto-encoder in a file of its own, or that of a whole checkpoint.
   *
   * @throws PriorArtException INVALID_ARGUMENT for a file that is none
   */
  public static TensorSource vae(TensorSource file) {
    Map<String, String> tensors = new LinkedHashMap<>();
    List<String> strange = new ArrayList<>();
    Set<String> names = file.shapes().keySet();
    String prefix = names.stream().anyMatch(name -> name.startsWith(VAE)) ? VAE : "";
    for (String name : names) {
      String bare = name.startsWith(prefix) ? name.substring(prefix.length()) : "";
      if (bare.matches("((en|de)coder|(post_)?quant_conv)\\..+")) {
        tensors.put(bare, name);
      } else if (prefix.isEmpty() && !UNUSED.matcher(VAE + name).matches()) {
        strange.add(name);
      }
    }
    Map<String, Origin> origins = vae(tensors, strange);
    if (!strange.isEmpty() || origins.isEmpty()) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          file.name()
              + " is no auto-encoder of Stable Diffusion in one file; it holds "
              + TensorSource.like("tensors", strange));
    }
    return new RenamedSource(file, origins);
  }

  private static Map<String, Origin> unchanged(Map<String, String> tensors) {
    Map<String, Origin> origins = new LinkedHashMap<>();
    tensors.forEach((name, full) -> origins.put(name, new Origin(full, Change.NONE)));
    return origins;
  }

  /** {@code name} with its beginning replaced as the table says; {@code null} if no line fits. */
  private static String replaced(String[][] table, String name) {
    for (String[] line : table) {
      if (name.equals(line[0]) || name.startsWith(line[0] + ".")) {
        return line[1] + name.substring(line[0].length());
      }
    }
    return null;
  }

  private static String orSame(String replaced, String name) {
    return replaced == null ? name : replaced;
  }

  private static void add(
      Map<String, Origin> origins, String name, String full, Change change, List<String> strange) {
    if (name == null || origins.putIfAbsent(name, new Origin(full, change)) != null) {
      strange.add(full);
    }
  }

  // ---- latent diffusion's U-Net: blocks counted through all levels

  private static Map<String, Origin> unet(Map<String, String> tensors, List<String> strange) {
    int perLevel = blocksPerLevel(tensors.keySet());
    Map<String, Origin> origins = new LinkedHashMap<>();
    tensors.forEach(
        (name, full) -> add(origins, unetName(name, perLevel), full, Change.NONE, strange));
    return origins;
  }

  /** Residual blocks of a level and one: the number of the first block that only samples down. */
  private static int blocksPerLevel(Set<String> names) {
    int first = Integer.MAX_VALUE;
    int count = 0;
    for (String name : names) {
      Matcher m = UNET_BLOCK.matcher(name);
      if (m.matches() && m.group(1).equals("input")) {
        int block = index(m.group(2));
        count = Math.max(count, block + 1);
        if (m.group(4).startsWith("op.")) {
          first = Math.min(first, block);
        }
      }
    }
    return Math.max(1, Math.min(first, count));
  }

  private static String unetName(String name, int perLevel) {
    String top = replaced(UNET, name);
    if (top != null) {
      return top.contains(".resnets.") ? within(top, ".resnets.", UNET_RESNET) : top;
    }
    Matcher m = UNET_BLOCK.matcher(name);
    if (!m.matches()) {
      return null;
    }
    boolean down = m.group(1).equals("input");
    int block = index(m.group(2)) - (down ? 1 : 0);
    int level = block / perLevel;
    int place = block % perLevel;
    boolean attention = m.group(3).equals("1");
    String rest = m.group(4);
    if (down && place == perLevel - 1) {
      return rest.startsWith("op.")
          ? "down_blocks." + level + ".downsamplers.0.conv" + rest.substring(2)
          : null;
    }
    String prefix = (down ? "down_blocks." : "up_blocks.") + level + ".";
    if (m.group(3).equals("0")) {
      String inner = replaced(UNET_RESNET, rest);
      return inner == null ? null : prefix + "resnets." + place + "." + inner;
    }
    if (!down && rest.startsWith("conv.")) {
      return prefix + "upsamplers.0." + rest;
    }
    return attention ? prefix + "attentions." + place + "." + rest : null;
  }

  /** A name whose part after {@code marker} and a number is renamed by the table. */
  private static String within(String name, String marker, String[][] table) {
    int end = name.indexOf('.', name.indexOf(marker) + marker.length()) + 1;
    String inner = replaced(table, name.substring(end));
    return inner == null ? null : name.substring(0, end) + inner;
  }

  /**
   * The original names of a U-Net's modules (names without {@code .weight}), each with its
   * diffusers name.
   *
   * @param names of the tensors, as diffusers calls them
   */
  static Map<String, String> unetModules(Set<String> names) {
    int perLevel =
        1
            + (int)
                names.stream()
                    .filter(n -> n.matches("down_blocks\\.0\\.resnets\\.\\d+\\.conv1\\.weight"))
                    .count();
    Map<String, String> modules = new LinkedHashMap<>();
    for (String name : names) {
      if (name.endsWith(".weight")) {
        String module = name.substring(0, name.length() - ".weight".length());
        for (String original : unetOriginals(module, perLevel)) {
          if (module.equals(unetModule(original, perLevel))) {
            modules.put(original, module);
          }
        }
      }
    }
    return modules;
  }

  private static String unetModule(String original, int perLevel) {
    String name = unetName(original + ".weight", perLevel);
    return name == null ? null : name.substring(0, name.length() - ".weight".length());
  }

  /** Names that {@link #unetName} may turn into this module's. */
  private static List<String> unetOriginals(String module, int perLevel) {
    List<String> candidates = new ArrayList<>();
    Matcher m = DIFFUSERS_BLOCK.matcher(module);
    String top = reversed(UNET, module);
    if (top != null) {
      int inner = module.indexOf(".resnets.");
      String rest = inner < 0 ? null : module.substring(module.indexOf('.', inner + 9) + 1);
      candidates.add(
          rest == null
              ? top
              : top.substring(0, top.length() - rest.length()) + reversed(UNET_RESNET, rest));
    } else if (m.matches()) {
      boolean down = m.group(1).equals("down");
      int level = index(m.group(2));
      String side = down ? "input_blocks." : "output_blocks.";
      int block = level * perLevel + index(m.group(4)) + (down ? 1 : 0);
      switch (m.group(3)) {
        case "resnets" -> candidates.add(side + block + ".0." + reversed(UNET_RESNET, m.group(5)));
        case "attentions" -> candidates.add(side + block + ".1." + m.group(5));
        case "downsamplers" -> candidates.add(side + (level + 1) * perLevel + ".0.op");
        default -> {
          int last = (level + 1) * perLevel - 1;
          // behind the attention, if the level has one
          candidates.add(side + last + ".1." + m.group(5));
          candidates.add(side + last + ".2." + m.group(5));
        }
      }
    }
    return candidates;
  }

  /** {@link #replaced} from right to left. */
  private static String reversed(String[][] table, String name) {
    for (String[] line : table) {
      if (name.equals(line[1]) || name.startsWith(line[1] + ".")) {
        return line[0] + name.substring(line[1].length());
      }
    }
    return null;
  }

  private static int index(String digits) {
    return digits.length() > 4 ? 9999 : Integer.parseInt(digits);
  }

  // ---- its auto-encoder: the decoder's levels counted from the picture

  private static Map<String, Origin> vae(Map<String, String> tensors, List<String> strange) {
    int levels = 0;
    for (String name : tensors.keySet()) {
      if (name.startsWith("decoder.")) {
        Matcher m = VAE_BLOCK.matcher(name.substring("decoder.".length()));
        if (m.matches()) {
          levels = Math.max(levels, index(m.group(2)) + 1);
        }
      }
    }
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (Map.Entry<String, String> tensor : tensors.entrySet()) {
      String name = tensor.getKey();
      if (name.startsWith("quant_conv.") || name.startsWith("post_quant_conv.")) {
        add(origins, name, tensor.getValue(), Change.NONE, strange);
        continue;
      }
      int dot = name.indexOf('.');
      String half = name.substring(0, dot + 1);
      String renamed = vaeName(name.substring(dot + 1), levels);
      boolean matrix =
          renamed != null
              && renamed.contains(".attentions.")
              && renamed.endsWith(".weight")
              && !renamed.contains("group_norm");
      add(
          origins,
          renamed == null ? null : half + renamed,
          tensor.getValue(),
          matrix ? Change.MATRIX : Change.NONE,
          strange);
    }
    return origins;
  }

  private static String vaeName(String name, int levels) {
    Matcher m = VAE_BLOCK.matcher(name);
    if (m.matches()) {
      boolean down = m.group(1).equals("down");
      int level = down ? index(m.group(2)) : levels - 1 - index(m.group(2));
      String prefix = m.group(1) + "_blocks." + level + ".";
      if (m.group(4) != null) {
        return prefix
            + "resnets."
            + m.group(4)
            + "."
            + orSame(replaced(VAE_RESNET, m.group(5)), m.group(5));
      }
      return prefix + m.group(3) + "rs.0." + m.group(5);
    }
    String renamed = orSame(replaced(VAE_HALF, name), name);
    if (renamed.contains(".resnets.")) {
      String inner = within(renamed, ".resnets.", VAE_RESNET);
      return orSame(inner, renamed);
    }
    return renamed.contains(".attentions.")
        ? within(renamed, ".attentions.", VAE_ATTENTION)
        : renamed;
  }

  // ---- OpenCLIP's text encoder: one matrix for query, key and value

  /**
   * @param penultimate whether the last layer is left out, as Stable Diffusion 2 does
   */
  private static Map<String, Origin> openClip(
      Map<String, String> tensors, boolean penultimate, List<String> strange) {
    int layers = 0;
    for (String name : tensors.keySet()) {
      Matcher m = OPEN_CLIP_BLOCK.matcher(name);
      if (m.matches()) {
        layers = Math.max(layers, index(m.group(1)) + 1);
      }
    }
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (Map.Entry<String, String> tensor : tensors.entrySet()) {
      String name = tensor.getKey();
      String full = tensor.getValue();
      Matcher m = OPEN_CLIP_BLOCK.matcher(name);
      if (name.equals("text_projection")) {
        if (!penultimate) {
          add(origins, "text_projection.weight", full, Change.TRANSPOSED, strange);
        }
      } else if (!m.matches()) {
        add(origins, replaced(OPEN_CLIP, name), full, Change.NONE, strange);
      } else if (!penultimate || index(m.group(1)) < layers - 1) {
        String prefix = "text_model.encoder.layers." + m.group(1) + ".";
        String rest = m.group(2);
        if (rest.startsWith("attn.in_proj_")) {
          String kind = rest.substring("attn.in_proj_".length());
          for (int i = 0; i < 3; i++) {
            String projection = "self_attn." + "qkv".charAt(i) + "_proj." + kind;
            add(origins, prefix + projection, full, THIRDS[i], strange);
          }
        } else {
          String inner = replaced(OPEN_CLIP_LAYER, rest);
          add(origins, inner == null ? null : prefix + inner, full, Change.NONE, strange);
        }
      }
    }
    return origins;
  }

  // ---- Stable Diffusion 3's transformer

  private static Map<String, Origin> transformer(
      Map<String, String> tensors, List<String> strange) {
    int blocks = 0;
    for (String name : tensors.keySet()) {
      Matcher m = SD3_JOINT.matcher(name);
      if (m.matches()) {
        blocks = Math.max(blocks, index(m.group(1)) + 1);
      }
    }
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (Map.Entry<String, String> tensor : tensors.entrySet()) {
      String name = tensor.getKey();
      String full = tensor.getValue();
      Matcher m = SD3_JOINT.matcher(name);
      if (m.matches()) {
        boolean last = index(m.group(1)) == blocks - 1;
        block(origins, "transformer_blocks." + m.group(1) + ".", m.group(2), last, full, strange);
      } else if (name.startsWith("final_layer.adaLN_modulation.1.")) {
        // shift and scale there, scale and shift here
        String kind = name.substring(name.lastIndexOf('.'));
        add(origins, "norm_out.linear" + kind, full, Change.SWAPPED_HALVES, strange);
      } else {
        add(origins, replaced(SD3, name), full, Change.NONE, strange);
      }
    }
    return origins;
  }

  private static void block(
      Map<String, Origin> origins,
      String prefix,
      String rest,
      boolean last,
      String full,
      List<String> strange) {
    for (String[] triple : SD3_TRIPLES) {
      if (rest.startsWith(triple[0] + ".")) {
        String kind = rest.substring(triple[0].length());
        for (int i = 0; i < 3; i++) {
          add(origins, prefix + triple[i + 1] + kind, full, THIRDS[i], strange);
        }
        return;
      }
    }
    if (rest.startsWith("context_block.adaLN_modulation.1.")) {
      // the last block's text is only normalised: shift and scale there, scale and shift here
      String kind = rest.substring(rest.lastIndexOf('.'));
      Change change = last ? Change.SWAPPED_HALVES : Change.NONE;
      add(origins, prefix + "norm1_context.linear" + kind, full, change, strange);
      return;
    }
    String inner = replaced(SD3_BLOCK, rest);
    add(origins, inner == null ? null : prefix + inner, full, Change.NONE, strange);
  }
}
