package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.SolveContext;
import io.priorart.solver.TensorScope;
import java.util.ArrayList;
import java.util.List;

/** Climbs a {@link DdimPath} from the clean latent, a level at a time. */
abstract class StepwiseInverter implements Inverter {
  private final int steps;

  StepwiseInverter(int steps) {
    this.steps = steps;
  }

  /** A state at the next level, and how it was found. */
  record Found(NDArray z, int iterations, double residual) {}

  /** One step of the climb, with all that it needs; its arrays are freed after it. */
  record Climb(
      DdimPath path,
      int i,
      NDArray below,
      NDArray clean,
      LatentDiffusionModel model,
      Conditioning conditioning,
      SolveContext context) {
    double sigma() {
      return path.sigma(i);
    }
  }

  abstract Found step(Climb climb);

  @Override
  public final Inversion invert(LatentDiffusionModel model, NDArray clean, SolveContext context) {
    try (NDList pivots = new NDList()) {
      return climb(model, clean, context.conditioning(), context, pivots);
    }
  }

  /**
   * @param pivots takes the states of all levels but the highest, lowest first
   */
  final Inversion climb(
      LatentDiffusionModel model,
      NDArray clean,
      Conditioning conditioning,
      SolveContext context,
      NDList pivots) {
    DdimPath path = new DdimPath(model.schedule(), steps);
    List<Inversion.Step> told = new ArrayList<>();
    NDArray start;
    NDArray noise;
    try (TensorScope scope = new TensorScope()) {
      start = clean.duplicate();
      start.attach(context.manager());
      scope.keep(start);
    }
    NDArray z = start;
    for (int i = steps - 1; i >= 0; i--) {
      context.checkpoint();
      double size;
      NDArray below = z;
      try (TensorScope scope = new TensorScope()) {
        Found found = step(new Climb(path, i, below, start, model, conditioning, context));
        z = scope.keep(found.z());
        size = DdimPath.rms(z);
        told.add(new Inversion.Step(path.sigma(i), found.iterations(), found.residual()));
      }
      pivots.add(below);
      path.requireFinite(context, steps - 1 - i, size);
      context.step(steps - i, steps);
    }
    try (TensorScope scope = new TensorScope()) {
      noise = scope.keep(z.div(path.root(0)));
    }
    z.close();
    return new Inversion(noise, new NDList(), told);
  }
}
