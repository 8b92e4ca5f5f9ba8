package io.priorart.solver.inversion;

import io.priorart.solver.Citation;
import io.priorart.solver.PublishedMethod;
import io.priorart.solver.SolverMethod.Need;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * An inversion's public face, as {@link io.priorart.solver.SolverMethod} is a solver's.
 *
 * @param id name on every wire, kebab-case
 * @param summary one sentence
 * @param citations papers that it is from
 * @param needs checked before any network runs
 * @param spec the parameter record's class; its first component is {@code steps}
 * @param presets by name, "fast" and "paper" among them
 * @param create builds the configured inverter
 * @param <P> the parameter record
 */
public record InversionMethod<P extends Record>(
    String id,
    String summary,
    List<Citation> citations,
    Set<Need> needs,
    Class<P> spec,
    Map<String, P> presets,
    Function<P, Inverter> create)
    implements PublishedMethod<P> {
  public InversionMethod {
    citations = List.copyOf(citations);
    needs = Set.copyOf(needs);
    presets = Map.copyOf(presets);
    if (!presets.containsKey("fast") || !presets.containsKey("paper")) {
      throw new IllegalArgumentException(id + " lacks a preset");
    }
  }
}
