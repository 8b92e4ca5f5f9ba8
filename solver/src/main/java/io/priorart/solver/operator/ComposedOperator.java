package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * Operators one after the other: {@code A = A_k ... A_2 A_1}, the first in the list acting first. A
 * chain of linear operators is linear; its pseudo-inverse and proximal map are iterative ({@link
 * ConjugateGradient}).
 */
public final class ComposedOperator implements ForwardOperator {
  private final List<ForwardOperator> parts;

  private ComposedOperator(List<ForwardOperator> parts) {
    this.parts = parts;
  }

  /**
   * Composes operators in the order in which they act. One alone is returned as it is.
   *
   * @return a {@link LinearOperator} exactly if all parts are
   * @throws PriorArtException INVALID_ARGUMENT when there is none, or one does not take what the
   *     one before it measures
   */
  public static ForwardOperator of(List<? extends ForwardOperator> operators) {
    List<ForwardOperator> parts = List.copyOf(operators);
    if (parts.isEmpty()) {
      throw PriorArtException.badField("operators", "name at least one");
    }
    for (int i = 1; i < parts.size(); i++) {
      Shape before = parts.get(i - 1).measurementShape();
      if (!parts.get(i).imageShape().equals(before)) {
        throw PriorArtException.badField(
            "operators[" + i + "]",
            "takes " + parts.get(i).imageShape() + ", the one before it measures " + before);
      }
    }
    if (parts.size() == 1) {
      return parts.get(0);
    }
    return parts.stream().allMatch(LinearOperator.class::isInstance)
        ? new Linear(parts.stream().map(LinearOperator.class::cast).toList())
        : new ComposedOperator(parts);
  }

  @Override
  public Shape imageShape() {
    return parts.get(0).imageShape();
  }

  @Override
  public Shape measurementShape() {
    return parts.get(parts.size() - 1).measurementShape();
  }

  @Override
  public NDArray apply(NDArray x) {
    return applied(parts, x);
  }

  /** {@inheritDoc} The pullback is the chain rule over the parts' own. */
  @Override
  public Linearization at(NDArray x) {
    Tensors.require("x", x, imageShape());
    Deque<Linearization> chain = new ArrayDeque<>();
    try {
      NDArray value = x;
      for (ForwardOperator part : parts) {
        chain.push(part.at(value));
        value = chain.peek().value();
      }
    } catch (RuntimeException e) {
      chain.forEach(Linearization::close);
      throw e;
    }
    return Linearization.of(
        chain.peek().value(),
        cotangent -> {
          return TensorScope.only(
              () -> {
                NDArray v = cotangent;
                for (Linearization link : chain) {
                  v = link.pullback(v);
                }
                return v;
              });
        },
        () -> {
          chain.forEach(Linearization::close);
        });
  }

  @Override
  public HostTensor observed() {
    return observed(parts);
  }

  private static NDArray applied(List<? extends ForwardOperator> parts, NDArray x) {
    Tensors.require("x", x, parts.get(0).imageShape());
    return TensorScope.only(
        () -> {
          NDArray value = x;
          for (ForwardOperator part : parts) {
            value = part.apply(value);
          }
          return value;
        });
  }

  /** What the last blur or sampling measures is observed; masks after it take away. */
  private static HostTensor observed(List<? extends ForwardOperator> parts) {
    HostTensor observed = null;
    for (ForwardOperator part : parts) {
      HostTensor own = part.observed();
      if (!(part instanceof MaskOperator)) {
        observed = own;
      } else if (observed == null) {
        observed = own;
      } else if (own != null) {
        float[] both = own.values().clone();
        for (int i = 0; i < both.length; i++) {
          both[i] *= observed.values()[i];
        }
        observed = new HostTensor(own.shape(), both);
      }
    }
    return observed;
  }

  /** A chain of linear operators. */
  private static final class Linear extends IterativeOperator {
    private final List<LinearOperator> parts;

    Linear(List<LinearOperator> parts) {
      this.parts = parts;
    }

    @Override
    public Shape imageShape() {
      return parts.get(0).imageShape();
    }

    @Override
    public Shape measurementShape() {
      return parts.get(parts.size() - 1).measurementShape();
    }

    @Override
    public NDArray apply(NDArray x) {
      return applied(parts, x);
    }

    @Override
    public NDArray adjoint(NDArray y) {
      Tensors.require("y", y, measurementShape());
      return TensorScope.only(
          () -> {
            NDArray value = y;
            for (int i = parts.size() - 1; i >= 0; i--) {
              value = parts.get(i).adjoint(value);
            }
            return value;
          });
    }

    @Override
    public HostTensor observed() {
      return ComposedOperator.observed(parts);
    }
  }
}
