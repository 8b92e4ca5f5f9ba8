package io.priorart.runtime;

import io.priorart.models.PriorTraits;
import io.priorart.solver.PriorArtException;
import java.time.Duration;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * What runs when nobody names a solver, by the kind of the prior and the task. The rules come from
 * {@code docs/results.md}: with a pixel-space prior one best picture ({@code dpir}) is nearer to
 * the truth than a sample, and missing pixels need more steps than blur or sampling; several
 * samples must differ, so they are drawn: from the posterior itself ({@code rad}) where only pixels
 * are missing and the prior takes a noise level for each, by {@code diffpir} elsewhere; a latent
 * prior has {@code prox-diffusion}, the one that needs no network gradients, or {@code latino}
 * where it is a few-step one.
 */
public final class AutoSolver {
  /** The name that asks for a choice. */
  public static final String NAME = "auto";

  /** The operator that leaves gaps, and the preset for it. */
  private static final String GAPS = "inpainting";

  /** The operator that leaves no fine detail, and the preset for it. */
  private static final String SMOOTHING = "gaussian-blur";

  /** The operator that leaves no colour. */
  private static final String COLOURLESS = "grayscale";

  /** The solver that draws it. */
  private static final String COLOURING = "mcg";

  private static final String LATENT = "latent";

  private static final String DETAIL = "detail";

  private AutoSolver() {}

  /**
   * A request that names its solver.
   *
   * @param reason why this one; empty when the request named it itself
   */
  public record Choice(Restorer.Request request, String reason) {}

  /**
   * Chooses, where the request leaves it open. A budget, with neither preset nor steps asked for,
   * decides by {@link MeasuredPresets}; where they have nothing, the reason says so.
   *
   * @param budget for solving; {@code null} for none
   * @param pixels of the picture to be restored, asked for with a budget alone
   * @throws PriorArtException INVALID_ARGUMENT for parameters of a solver that nobody named
   */
  public static Choice choose(
      Restorer.Request request, PriorTraits prior, Duration budget, LongSupplier pixels) {
    Choice usual = choose(request, prior);
    boolean open =
        request.solver().equals(NAME)
            && request.preset().equals(Restorer.USUAL_PRESET)
            && request.steps() == null;
    if (budget == null || !open) {
      return usual;
    }
    Choice unmeasured =
        new Choice(
            usual.request(),
            usual.reason() + "; nothing like it was measured, so the budget only cuts it short");
    if (usual.request().solver().equals(COLOURING)) {
      return unmeasured;
    }
    return MeasuredPresets.bundled()
        .best(
            prior,
            request.operators(),
            request.samples(),
            pixels.getAsLong() * (guided(request, prior) ? 2 : 1),
            budget,
            MachineSpeed::seconds)
        .map(
            fit ->
                new Choice(
                    request
                        .withSolver(fit.entry().solver(), fit.entry().preset())
                        .withSteps(fit.entry().steps()),
                    MeasuredPresets.reason(fit, budget)))
        .orElse(unmeasured);
  }

  private static boolean guided(Restorer.Request request, PriorTraits prior) {
    return prior.text() && request.prompt().guidanceScale() != 1;
  }

  /**
   * Chooses, where the request leaves it open.
   *
   * @throws PriorArtException INVALID_ARGUMENT for parameters of a solver that nobody named
   */
  public static Choice choose(Restorer.Request request, PriorTraits prior) {
    if (!request.solver().equals(NAME)) {
      String preset = ofPrior(request.solver(), request.preset(), prior);
      return new Choice(request.withSolver(request.solver(), preset), "");
    }
    if (!request.parameters().isEmpty()) {
      throw PriorArtException.badField(
          "solver", "is auto: name one to give it parameters of its own");
    }
    if (prior.proximal()) {
      return choice(request, "lpn", "learned proximal operator");
    }
    if (!prior.pixelSpace() && prior.fewStep()) {
      return choice(request, "latino", "few-step latent prior");
    }
    if (!prior.pixelSpace()) {
      return choice(request, "prox-diffusion", "latent prior, no network gradients");
    }
    if (request.operators().stream().anyMatch(o -> o.name().equals(COLOURLESS))) {
      return choice(request, COLOURING, "colour that was taken out has to be drawn, not smoothed");
    }
    if (request.samples() == 1) {
      return choice(request, "dpir", "pixel-space prior, one picture");
    }
    boolean gapsAlone =
        request.operators().size() == 1 && request.operators().get(0).name().equals(GAPS);
    return gapsAlone && prior.noiseMap()
        ? choice(request, "rad", "missing pixels alone, several samples of what they may have been")
        : choice(request, "diffpir", "pixel-space prior, several samples that differ");
  }

  private static Choice choice(Restorer.Request request, String solver, String reason) {
    String preset = preset(solver, request.operators(), request.preset());
    return new Choice(request.withSolver(solver, preset), reason);
  }

  /**
   * A solver's preset for a kind of prior: one that also works on latents may have presets of its
   * own there, {@code latent} for {@code fast} and {@code latent-paper} for {@code paper}, since
   * its steps cost more or overshoot.
   */
  private static String ofPrior(String solver, String asked, PriorTraits prior) {
    String own = asked.equals(Restorer.USUAL_PRESET) ? LATENT : LATENT + "-" + asked;
    boolean has = Restorer.SOLVERS.byId(solver).presets().containsKey(own);
    return has && !prior.pixelSpace() ? own : asked;
  }

  /** {@link #preset(String, List, String)}, or what the solver has for the kind of prior. */
  public static String preset(
      String solver, List<OperatorRequest> operators, String asked, PriorTraits prior) {
    return preset(solver, operators, ofPrior(solver, asked, prior));
  }

  /**
   * A solver's preset for a task: where the usual one is asked for and the solver has one for
   * missing pixels or lost detail, that.
   */
  public static String preset(String solver, List<OperatorRequest> operators, String asked) {
    if (!asked.equals(Restorer.USUAL_PRESET)) {
      return asked;
    }
    boolean gaps = operators.stream().anyMatch(o -> o.name().equals(GAPS));
    boolean smooth =
        !operators.isEmpty() && operators.stream().allMatch(o -> o.name().equals(SMOOTHING));
    String special = gaps ? GAPS : smooth ? DETAIL : asked;
    return Restorer.SOLVERS.byId(solver).presets().containsKey(special) ? special : asked;
  }
}
