package io.priorart.solver.method;

import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolverMethod;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The solvers there are, the default first. Immutable.
 *
 * <p>To add one: a file in this package and a line in {@link #BUILT_IN}. A module that solver may
 * not depend on brings its own through {@link #Solvers(List)}.
 */
public final class Solvers {
  /** The methods of this package. */
  public static final List<SolverMethod<?>> BUILT_IN =
      List.of(
          Dpir.METHOD,
          DiffPir.METHOD,
          Rad.METHOD,
          Mmps.METHOD,
          PnpFlow.METHOD,
          RedDiff.METHOD,
          Daps.METHOD,
          Cdim.METHOD,
          Sitcom.METHOD,
          ProxDiffusion.METHOD,
          Latino.METHOD,
          LatinoPro.METHOD,
          Treg.METHOD,
          ReSample.METHOD,
          Psld.METHOD,
          P2l.METHOD,
          Flair.METHOD,
          Lpn.METHOD,
          Mcg.METHOD,
          Dps.METHOD,
          TotalVariation.METHOD,
          Wiener.METHOD,
          Interpolation.BICUBIC,
          Interpolation.LANCZOS,
          PseudoInverse.METHOD);

  private final Map<String, SolverMethod<?>> byId = new LinkedHashMap<>();

  /** The built-in methods alone. */
  public Solvers() {
    this(List.of());
  }

  /** The built-in methods, then {@code extra}. */
  public Solvers(List<SolverMethod<?>> extra) {
    for (List<SolverMethod<?>> methods : List.of(BUILT_IN, extra)) {
      for (SolverMethod<?> method : methods) {
        if (byId.put(method.id(), method) != null) {
          throw new IllegalArgumentException("two solvers are called " + method.id());
        }
      }
    }
  }

  /** All of them, the default first. */
  public List<SolverMethod<?>> list() {
    return List.copyOf(byId.values());
  }

  /** What usually runs when nobody names a solver; the runtime knows the exceptions. */
  public SolverMethod<?> defaultMethod() {
    return Dpir.METHOD;
  }

  /**
   * The method of a name.
   *
   * @throws PriorArtException NOT_FOUND with the nearest name
   */
  public SolverMethod<?> byId(String id) {
    SolverMethod<?> method = byId.get(id);
    if (method == null) {
      throw Names.notFound("solver", id, byId.keySet());
    }
    return method;
  }
}
