package io.priorart.runtime;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;

/** An operator that adds up the wall time inside its calls. Safe for concurrent use. */
class TimedOperator implements ForwardOperator {
  private final ForwardOperator operator;
  private final LongAdder nanos = new LongAdder();

  private TimedOperator(ForwardOperator operator) {
    this.operator = operator;
  }

  /** Linear where the operator is. */
  static TimedOperator of(ForwardOperator operator) {
    return operator instanceof LinearOperator linear
        ? new Linear(linear)
        : new TimedOperator(operator);
  }

  double seconds() {
    return nanos.sum() * 1e-9;
  }

  final <T> T timed(Supplier<T> call) {
    long begin = System.nanoTime();
    try {
      return call.get();
    } finally {
      nanos.add(System.nanoTime() - begin);
    }
  }

  @Override
  public Shape imageShape() {
    return operator.imageShape();
  }

  @Override
  public Shape measurementShape() {
    return operator.measurementShape();
  }

  @Override
  public NDArray apply(NDArray x) {
    return timed(() -> operator.apply(x));
  }

  @Override
  public Linearization at(NDArray x) {
    Linearization at = timed(() -> operator.at(x));
    return Linearization.of(
        at.value(), cotangent -> timed(() -> at.pullback(cotangent)), at::close);
  }

  @Override
  public HostTensor observed() {
    return operator.observed();
  }

  @Override
  public long observedCount() {
    return operator.observedCount();
  }

  private static final class Linear extends TimedOperator implements LinearOperator {
    private final LinearOperator operator;

    Linear(LinearOperator operator) {
      super(operator);
      this.operator = operator;
    }

    @Override
    public NDArray adjoint(NDArray y) {
      return timed(() -> operator.adjoint(y));
    }

    @Override
    public NDArray pseudoInverse(NDArray y, double rcond) {
      return timed(() -> operator.pseudoInverse(y, rcond));
    }

    @Override
    public NDArray proximal(NDArray x, NDArray y, double gamma) {
      return timed(() -> operator.proximal(x, y, gamma));
    }

    @Override
    public boolean isMask() {
      return operator.isMask();
    }

    @Override
    public boolean damps() {
      return operator.damps();
    }

    @Override
    public double norm() {
      return timed(operator::norm);
    }
  }
}
