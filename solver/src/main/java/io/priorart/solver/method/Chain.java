package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.Problem;

/** {@code outer} after {@code inner}. */
record Chain(Linearization inner, Linearization outer) implements Linearization {
  /** {@code A(D(z))} at a latent. */
  static Chain measured(Problem problem, LatentDiffusionModel model, NDArray z) {
    Linearization decoder = model.decodeAt(z);
    return new Chain(decoder, problem.operator().at(decoder.value()));
  }

  @Override
  public NDArray value() {
    return outer.value();
  }

  @Override
  public NDArray pullback(NDArray cotangent) {
    return inner.pullback(outer.pullback(cotangent));
  }

  @Override
  public void close() {
    outer.close();
    inner.close();
  }
}
