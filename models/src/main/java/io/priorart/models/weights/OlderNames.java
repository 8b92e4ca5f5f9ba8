package io.priorart.models.weights;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.weights.RenamedSource.Change;
import io.priorart.models.weights.RenamedSource.Origin;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Diffusers' files of before 2023 call the parts of a picture's attention to itself otherwise; its
 * own loader renames them, too.
 */
public final class OlderNames {
  private static final Pattern OLD =
      Pattern.compile("(.*\\.attentions\\.\\d+\\.)(query|key|value|proj_attn)(\\.(weight|bias))");

  private static final Map<String, String> NOW =
      Map.of("query", "to_q", "key", "to_k", "value", "to_v", "proj_attn", "to_out.0");

  private OlderNames() {}

  /** The tensors under today's names; the source itself where it has those. */
  public static TensorSource renamed(TensorSource source) {
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
