package io.priorart.models.weights;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.weights.RenamedSource.Change;
import io.priorart.models.weights.RenamedSource.Origin;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names that exporters of other times give the same tensors, under one naming. */
public final class OlderNames {
  private static final Pattern OLD =
      Pattern.compile("(.*\\.attentions\\.\\d+\\.)(query|key|value|proj_attn)(\\.(weight|bias))");

  private static final Map<String, String> NOW =
      Map.of("query", "to_q", "key", "to_k", "value", "to_v", "proj_attn", "to_out.0");

  private static final String CLIP = "text_model.";

  private OlderNames() {}

  /**
   * CLIP's text encoder: without buffers that older exporters wrote beside the weights, and with
   * the {@code text_model.} that newer ones leave out.
   */
  public static TensorSource clipText(TensorSource source) {
    boolean bare = source.shapes().keySet().stream().noneMatch(n -> n.startsWith(CLIP));
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (String name : source.shapes().keySet()) {
      if (!name.endsWith("position_ids")) {
        boolean shortened = bare && !name.startsWith("text_projection.");
        origins.put(shortened ? CLIP + name : name, new Origin(name, Change.NONE));
      }
    }
    return new RenamedSource(source, origins);
  }

  /** T5's encoder: its table of tokens once, where a file has it under both of its names. */
  public static TensorSource t5(TensorSource source) {
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (String name : source.shapes().keySet()) {
      boolean tied = name.equals("encoder.embed_tokens.weight");
      origins.putIfAbsent(tied ? "shared.weight" : name, new Origin(name, Change.NONE));
    }
    return new RenamedSource(source, origins);
  }

  /**
   * A picture's attention to itself, whose parts diffusers' files of before 2023 call otherwise;
   * its own loader renames them, too. The source itself where nothing is to be renamed.
   */
  public static TensorSource attention(TensorSource source) {
    Map<String, Shape> shapes = source.shapes();
    if (shapes.keySet().stream().noneMatch(name -> OLD.matcher(name).matches())) {
      return source;
    }
    Map<String, Origin> origins = new LinkedHashMap<>();
    for (String name : shapes.keySet()) {
      Matcher m = OLD.matcher(name);
      if (m.matches()) {
        boolean matrix = m.group(4).equals("weight");
        origins.put(
            m.group(1) + NOW.get(m.group(2)) + m.group(3),
            new Origin(name, matrix ? Change.MATRIX : Change.NONE));
      } else {
        origins.put(name, new Origin(name, Change.NONE));
      }
    }
    return new RenamedSource(source, origins);
  }
}
