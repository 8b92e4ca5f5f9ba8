package io.priorart.runtime;

import io.priorart.solver.PriorArtException;
import java.util.List;

/**
 * What runs when nobody names a solver, by the kind of the prior and the task. The rules come from
 * {@code docs/results.md}: with a pixel-space prior one best picture ({@code dpir}) is nearer to
 * the truth than a sample, and missing pixels need more steps than blur or sampling; several
 * samples must differ, so they are drawn ({@code diffpir}); a latent prior has {@code
 * prox-diffusion}, the one that needs no network gradients.
 */
public final class AutoSolver {
  /** The name that asks for a choice. */
  public static final String NAME = "auto";

  /** The operator that leaves gaps, and the preset for it. */
  private static final String FOR_GAPS = "inpainting";

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
   * @param pixelSpace whether the prior is one of pictures themselves
   * @throws PriorArtException INVALID_ARGUMENT for parameters of a solver that nobody named
   */
  public static Choice choose(Restorer.Request request, boolean pixelSpace) {
    if (!request.solver().equals(NAME)) {
      return new Choice(request, "");
    }
    if (!request.parameters().isEmpty()) {
      throw PriorArtException.badField(
          "solver", "is auto: name one to give it parameters of its own");
    }
    if (!pixelSpace) {
      return choice(request, "prox-diffusion", "latent prior, no network gradients");
    }
    if (request.samples() > 1) {
      return choice(request, "diffpir", "pixel-space prior, several samples that differ");
    }
    return choice(request, "dpir", "pixel-space prior, one picture");
  }

  private static Choice choice(Restorer.Request request, String solver, String reason) {
    String preset = preset(solver, request.operators(), request.preset());
    return new Choice(request.withSolver(solver, preset), reason);
  }

  /**
   * A solver's preset for a task: where the usual one is asked for and pixels are missing, the one
   * for that.
   */
  public static String preset(String solver, List<OperatorRequest> operators, String asked) {
    boolean missing = operators.stream().anyMatch(o -> o.name().equals(FOR_GAPS));
    boolean special =
        missing
            && asked.equals(Restorer.USUAL_PRESET)
            && Restorer.SOLVERS.byId(solver).presets().containsKey(FOR_GAPS);
    return special ? FOR_GAPS : asked;
  }
}
