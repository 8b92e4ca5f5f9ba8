package io.priorart.solver;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What everything that names methods needs of one: catalogues, command lines, requests.
 *
 * @param <P> the parameter record
 */
public interface PublishedMethod<P extends Record> {
  /** Name on every wire, kebab-case. */
  String id();

  /** One sentence. */
  String summary();

  /** Papers that it is from; empty for a classical method without one. */
  List<Citation> citations();

  /** Checked before any network runs. */
  Set<SolverMethod.Need> needs();

  /** The parameter record's class; each component carries {@link Parameter}. */
  Class<P> spec();

  /** By name, "fast" and "paper" among them. */
  Map<String, P> presets();

  /** The papers in one line each, joined by semicolons; empty for none. */
  default String citation() {
    return citations().stream().map(Citation::text).collect(Collectors.joining("; "));
  }

  /** The preset used when none is named. */
  default P defaults() {
    return presets().get("fast");
  }

  /**
   * A preset with parameters over it.
   *
   * @param path what a message calls the parameters
   * @param steps over the parameter of this name; {@code null} to leave it
   * @throws PriorArtException INVALID_ARGUMENT naming the field
   */
  default P bind(String path, String preset, Map<String, ?> parameters, Integer steps) {
    P chosen = presets().get(preset);
    if (chosen == null) {
      throw PriorArtException.badField("preset", preset + " is none of " + presets().keySet());
    }
    Map<String, Object> values = new LinkedHashMap<>(parameters);
    if (steps != null && values.putIfAbsent("steps", steps) != null) {
      throw PriorArtException.badField("steps", "is given twice");
    }
    return ParameterSchema.of(spec()).bind(path, values, chosen);
  }
}
