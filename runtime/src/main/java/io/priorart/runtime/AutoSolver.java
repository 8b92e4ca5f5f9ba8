package io.priorart.runtime;

import io.priorart.models.PriorTraits;
import io.priorart.solver.PriorArtException;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What runs when nobody names a solver, by the kind of the prior and the task. The rules come from
 * {@code docs/results.md}: missing pixels and noise are what a prior with a noise level for each
 * pixel restores by itself ({@code rad}); otherwise one best picture ({@code dpir}) is nearer to
 * the truth than a sample, and missing pixels need more steps than blur or sampling; several
 * samples must differ, so they are drawn ({@code diffpir}); a latent prior has {@code
 * prox-diffusion}, the one that needs no network gradients.
 */
public final class AutoSolver {
  /** The name that asks for a choice. */
  public static final String NAME = "auto";

  /** The operator that leaves gaps. */
  private static final String GAPS = "inpainting";

  private static final Set<String> MASKS = Set.of(GAPS, "identity");

  /** Presets for one picture with gaps or noise, where the usual one is meant for other tasks. */
  private static final Map<String, String> FOR_GAPS = Map.of("dpir", "inpainting", "rad", "mean");

  private AutoSolver() {}

  /**
   * A request that names its solver.
   *
   * @param reason why this one; empty when the request named it itself
   */
  public record Choice(Restorer.Request request, String reason) {}

  /**
   * Chooses, where the request leaves it open.
   *
   * @throws PriorArtException INVALID_ARGUMENT for parameters of a solver that nobody named
   */
  public static Choice choose(Restorer.Request request, PriorTraits prior) {
    if (!request.solver().equals(NAME)) {
      return new Choice(request, "");
    }
    if (!request.parameters().isEmpty()) {
      throw PriorArtException.badField(
          "solver", "is auto: name one to give it parameters of its own");
    }
    boolean one = request.samples() == 1;
    List<OperatorRequest> operators = request.operators();
    if (!prior.pixelSpace()) {
      return choice(request, "prox-diffusion", "latent prior, no network gradients");
    }
    if (prior.noiseMap() && operators.size() == 1 && MASKS.contains(operators.get(0).name())) {
      return one
          ? choice(request, "rad", "missing pixels or noise alone, one picture: the mean")
          : new Choice(
              request.withSolver("rad", request.preset()),
              "missing pixels or noise alone, several samples that differ");
    }
    return one
        ? choice(request, "dpir", "pixel-space prior, one picture")
        : choice(request, "diffpir", "pixel-space prior, several samples that differ");
  }

  private static Choice choice(Restorer.Request request, String solver, String reason) {
    String preset = preset(solver, request.operators(), request.preset());
    return new Choice(request.withSolver(solver, preset), reason);
  }

  /** A solver's preset for one picture: where the usual one is asked for, the one for the task. */
  public static String preset(String solver, List<OperatorRequest> operators, String asked) {
    boolean gaps = operators.stream().anyMatch(o -> o.name().equals(GAPS));
    boolean special = asked.equals(Restorer.USUAL_PRESET) && (gaps || solver.equals("rad"));
    return special ? FOR_GAPS.getOrDefault(solver, asked) : asked;
  }
}
