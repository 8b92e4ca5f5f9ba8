package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;

/**
 * What every solver with a diffusion prior shares: preconditions, a manager of its own that frees
 * whatever a failing or cancelled solve leaves behind, and batches of independent chains for the
 * same measurement.
 */
abstract class LatentSolver implements InverseSolver {
  @Override
  public final NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    return solve(problem, model, context, 1);
  }

  /** {@code chains} independent solves as one batch, {@code [chains, C, H, W]}. */
  final NDArray solve(
      Problem problem, LatentDiffusionModel model, SolveContext context, int chains) {
    if (model == null) {
      throw new PriorArtException(ErrorKind.FAILED_PRECONDITION, "this solver needs a model");
    }
    if (!model.imageShape().equals(problem.operator().imageShape())) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "the operator acts on pictures of "
              + problem.operator().imageShape()
              + ", the model is bound to "
              + model.imageShape());
    }
    try (NDManager work = context.manager().newSubManager()) {
      NDArray picture = run(problem, model, context, work, chains);
      picture.attach(context.manager());
      return picture;
    }
  }

  /**
   * The loop.
   *
   * @param work owns every array of the solve, closed after it
   * @return {@code [chains, C, H, W]}, finite, in {@code work}
   */
  abstract NDArray run(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains);

  /** For a method with {@link io.priorart.solver.SolverMethod.Need#PIXEL_SPACE}. */
  static void requirePixelSpace(LatentDiffusionModel model) {
    if (!model.pixelSpace()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: this solver needs a pixel-space prior, without an auto-encoder");
    }
  }

  /** Offers the first chain's picture as a preview, if anyone wants this step's. */
  static void preview(SolveContext context, int step, NDArray pictures) {
    if (context.listener().wantsPreview(step)) {
      context.preview(step, pictures.get("0:1"));
    }
  }

  /** {@code [chains, c, h, w]} of standard normal values. */
  static NDArray noise(
      SolveContext context, NDManager work, LatentDiffusionModel model, int chains) {
    return context.noise().normal(work, new Shape(chains).addAll(model.latentShape()));
  }
}
