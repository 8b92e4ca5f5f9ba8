package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveState;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.HashSet;
import java.util.Set;

/**
 * What every solver with a prior shares: preconditions, a manager of its own that frees whatever a
 * failing or cancelled solve leaves behind, batches of independent chains for the same measurement,
 * and the loop over its steps, between which a solve can be written away and gone on with, or be
 * cut short.
 */
abstract class LatentSolver implements InverseSolver {
  /** Keeps the linear systems of data steps in float32's reach. */
  static final double MAX_GAMMA = 1e6;

  /** Of all timesteps, by those of a solve that starts from noise alone. */
  private static final double LEAST_COVERED = 0.9;

  /**
   * A solve as a row of steps. What goes from one step to the next is a list of arrays and nothing
   * else, so that it can be kept; whatever else a step needs follows from its number.
   */
  interface Steps {
    int count();

    /** What the first step starts from. */
    NDList start();

    /**
     * One step, with {@link SolveContext#step} and {@link SolveContext#estimate} in it.
     *
     * @param i from 0
     * @param state not to be closed
     * @return what the next step starts from; may hold arrays of {@code state}
     */
    NDList next(int i, NDList state);

    /** The pictures after the last step, {@code [chains, C, H, W]}; may be one of the arrays. */
    default NDArray pictures(NDList state) {
      return state.get(0);
    }
  }

  @Override
  public final NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    return solve(problem, model, context, context.samples());
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
      NDArray pictures = run(problem, model, context, work, chains);
      pictures.attach(context.manager());
      return pictures;
    }
  }

  private NDArray run(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    context.drawFromStream(0);
    Steps steps = begin(problem, model, context, work, chains);
    SolveState saved = context.states().saved();
    NDList state = saved == null ? kept(steps::start) : restored(saved, work);
    for (int i = saved == null ? 0 : saved.step(); i < steps.count(); i++) {
      context.drawFromStream(i + 1L);
      int step = i;
      NDList before = state;
      try {
        state = kept(() -> steps.next(step, before));
      } catch (PriorArtException e) {
        boolean stopped =
            e.kind() == ErrorKind.CANCELLED || e.kind() == ErrorKind.DEADLINE_EXCEEDED;
        if (stopped && i > 0 && context.states().whenStopped()) {
          context.states().save(stateAfter(i, before));
        }
        throw e;
      }
      closeAllBut(state, before);
      if (i + 1 < steps.count() && context.states().due(i + 1)) {
        context.states().save(stateAfter(i + 1, state));
      }
    }
    context.drawFromStream(steps.count() + 1L);
    NDList last = state;
    return kept(() -> new NDList(Outcome.finite(steps.pictures(last)))).get(0);
  }

  private static SolveState stateAfter(int step, NDList state) {
    return new SolveState(step, state.stream().map(HostTensor::of).toList());
  }

  private interface Making {
    NDList make();
  }

  /** Frees everything that {@code making} makes except its result. */
  private static NDList kept(Making making) {
    try (TensorScope scope = new TensorScope()) {
      NDList made = making.make();
      made.forEach(scope::keep);
      return made;
    }
  }

  private static NDList restored(SolveState saved, NDManager work) {
    NDList state = new NDList();
    saved.arrays().forEach(a -> state.add(a.to(work)));
    return state;
  }

  private static void closeAllBut(NDList state, NDList before) {
    Set<String> living = new HashSet<>();
    state.forEach(a -> living.add(a.getUid()));
    for (NDArray array : before) {
      if (!living.contains(array.getUid())) {
        array.close();
      }
    }
  }

  /**
   * Prepares a solve.
   *
   * @param work owns every array of the solve, closed after it
   */
  abstract Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains);

  /**
   * Timesteps of {@link TimestepSpacing#LEADING} for a solve that starts from pure noise. Their
   * distance is a whole number, so that some counts leave many of the noisiest ones out.
   */
  static int[] leading(NoiseSchedule schedule, int steps) {
    int train = schedule.trainTimesteps();
    int covered = train / steps * steps;
    if (covered < LEAST_COVERED * train) {
      throw PriorArtException.badField(
          "steps",
          "would begin at timestep "
              + covered
              + " of "
              + train
              + "; take a number that divides "
              + train
              + ", was "
              + steps);
    }
    return schedule.timesteps(steps, TimestepSpacing.LEADING);
  }

  /** {@code D(E(x))}, the nearest that the model comes to a picture. */
  static NDArray reencoded(NDArray x, LatentDiffusionModel model, SolveContext context) {
    context.checkpoint();
    NDArray z = model.encode(x);
    context.checkpoint();
    return model.decode(z);
  }

  /** For a method with {@link io.priorart.solver.SolverMethod.Need#PIXEL_SPACE}. */
  static void requirePixelSpace(LatentDiffusionModel model) {
    if (!model.pixelSpace()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: this solver needs a pixel-space prior, without an auto-encoder");
    }
  }

  /**
   * The prompt's embedding, one for each chain, {@code [chains, tokens, width]} in {@code work}.
   * For a method with {@link io.priorart.solver.SolverMethod.Need#TEXT_GRADIENT}.
   */
  static NDArray embedding(SolveContext context, NDManager work, int chains) {
    NDArray positive = context.conditioning().positive();
    if (positive == null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "model: this solver needs a prior that takes text");
    }
    NDArray one = HostTensor.of(positive).to(work);
    return chains == 1 ? one : one.repeat(0, chains);
  }

  /**
   * The solve's text with another embedding of its prompt, whose branch alone is evaluated. A
   * guidance scale that the network itself takes stays.
   */
  static Conditioning prompted(SolveContext context, NDArray embedding) {
    Conditioning own = context.conditioning();
    return (own.guided() ? own.positiveAlone() : own).withPositive(embedding);
  }

  /** {@code [chains, c, h, w]} of standard normal values. */
  static NDArray noise(
      SolveContext context, NDManager work, LatentDiffusionModel model, int chains) {
    return context.normal(work, chains, model.latentShape());
  }
}
