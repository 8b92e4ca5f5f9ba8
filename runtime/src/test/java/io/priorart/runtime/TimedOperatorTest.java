package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import java.lang.reflect.Method;
import org.junit.jupiter.api.Test;

/** What is passed on, and what is counted. */
class TimedOperatorTest {
  private static final Shape SHAPE = new Shape(1, 2, 2);
  private static final double PAUSE = 0.02;

  private static NDArray slow(NDArray x) {
    try {
      Thread.sleep(Math.round(1000 * PAUSE));
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
    return x;
  }

  /** Squares. */
  private static class Slow implements ForwardOperator {
    @Override
    public Shape imageShape() {
      return SHAPE;
    }

    @Override
    public Shape measurementShape() {
      return SHAPE;
    }

    @Override
    public NDArray apply(NDArray x) {
      return slow(x.mul(x));
    }

    @Override
    public Linearization at(NDArray x) {
      return Linearization.linear(apply(x), u -> slow(u.mul(x).mul(2)));
    }

    @Override
    public HostTensor observed() {
      return null;
    }
  }

  /** Doubles. */
  private static final class SlowLinear extends Slow implements LinearOperator {
    @Override
    public NDArray apply(NDArray x) {
      return slow(x.mul(2));
    }

    @Override
    public Linearization at(NDArray x) {
      return LinearOperator.super.at(x);
    }

    @Override
    public NDArray adjoint(NDArray y) {
      return slow(y.mul(2));
    }

    @Override
    public NDArray pseudoInverse(NDArray y, double rcond) {
      return slow(y.mul(0.5 + rcond));
    }

    @Override
    public NDArray proximal(NDArray x, NDArray y, double gamma) {
      return slow(x.add(y.mul(2 * gamma)).div(1 + 4 * gamma));
    }

    @Override
    public double norm() {
      return 2;
    }
  }

  @Test
  void everyCallIsPassedOnAndCounted() {
    try (NDManager manager = ScriptModule.newManager()) {
      NDArray x = manager.create(new float[] {1, -2, 3, 0.5f}, new Shape(1).addAll(SHAPE));
      LinearOperator operator = new SlowLinear();
      TimedOperator timed = TimedOperator.of(operator);
      LinearOperator linear = assertInstanceOf(LinearOperator.class, timed);
      assertEquals(0, timed.seconds());
      assertEquals(operator.apply(x), linear.apply(x));
      assertEquals(operator.adjoint(x), linear.adjoint(x));
      assertEquals(operator.pseudoInverse(x, 0.25), linear.pseudoInverse(x, 0.25));
      assertEquals(operator.proximal(x, x, 3), linear.proximal(x, x, 3));
      assertEquals(2, linear.norm());
      assertFalse(linear.isMask());
      assertTrue(timed.seconds() >= 4 * PAUSE, "four slow calls");
      double before = timed.seconds();
      try (Linearization at = linear.at(x)) {
        assertEquals(operator.apply(x), at.value());
        assertEquals(operator.adjoint(x), at.pullback(x));
      }
      assertTrue(timed.seconds() >= before + 2 * PAUSE, "value and pullback");
    }
  }

  /** An answer by default would be the wrapper's own, not the operator's. */
  @Test
  void nothingIsAnsweredByDefault() {
    Class<?> wrapper = TimedOperator.of(new SlowLinear()).getClass();
    for (Method method : LinearOperator.class.getMethods()) {
      Method own =
          assertDoesNotThrow(() -> wrapper.getMethod(method.getName(), method.getParameterTypes()));
      assertFalse(own.isDefault(), method.getName());
    }
  }

  @Test
  void whatIsNotLinearStaysSo() {
    try (NDManager manager = ScriptModule.newManager()) {
      NDArray x = manager.create(new float[] {1, -2, 3, 0.5f}, new Shape(1).addAll(SHAPE));
      TimedOperator timed = TimedOperator.of(new Slow());
      assertFalse(timed instanceof LinearOperator);
      assertSame(SHAPE, timed.imageShape());
      assertSame(SHAPE, timed.measurementShape());
      assertEquals(4, timed.observedCount());
      try (Linearization at = timed.at(x)) {
        assertEquals(x.mul(x), at.value());
        assertEquals(x.mul(x).mul(2), at.pullback(x));
      }
      assertTrue(timed.seconds() >= 2 * PAUSE);
    }
  }
}
