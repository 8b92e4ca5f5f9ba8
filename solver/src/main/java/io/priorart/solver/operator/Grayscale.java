package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.util.Map;

/**
 * Takes the colour out of a picture: {@code y = 0.299 r + 0.587 g + 0.114 b}, the luma of ITU-R
 * BT.601 on the samples as they are stored; solving it is colourisation. Pseudo-inverse and
 * proximal map are exact.
 */
public record Grayscale() {
  private static final float[] LUMA = {0.299f, 0.587f, 0.114f};

  /** The operator's public face. */
  public static final OperatorKind<Grayscale> KIND =
      new OperatorKind<>(
          "grayscale",
          "Take the colour out; restoring it is colourisation",
          Grayscale.class,
          new Grayscale(),
          new Factory());

  private static final class Factory implements OperatorKind.Factory<Grayscale> {
    @Override
    public OperatorKind.Drawn create(Grayscale spec, Shape imageShape, NoiseSource random) {
      return new OperatorKind.Drawn(spec.on(imageShape), Map.of());
    }

    /** {@inheritDoc} Of three channels. */
    @Override
    public Shape imageShape(Grayscale spec, Shape measurementShape) {
      Tensors.requireImageShape(measurementShape);
      if (measurementShape.get(0) != 1) {
        throw PriorArtException.badField(
            "image", "must be a grey picture, of one channel: it is what grayscale measures");
      }
      return new Shape(LUMA.length, measurementShape.get(1), measurementShape.get(2));
    }
  }

  /**
   * The luma of pictures {@code [3, H, W]}, {@code [1, H, W]}.
   *
   * @throws PriorArtException INVALID_ARGUMENT for pictures without colour
   */
  public LinearOperator on(Shape imageShape) {
    Tensors.requireImageShape(imageShape);
    if (imageShape.get(0) != LUMA.length) {
      throw PriorArtException.badField(
          "image", "must have three channels for grayscale, was " + imageShape);
    }
    return new Luma(imageShape);
  }

  /** {@code A A^T} is a number, so that everything has a closed form. */
  private record Luma(Shape imageShape) implements LinearOperator {
    private static final double SQUARE = LUMA[0] * LUMA[0] + LUMA[1] * LUMA[1] + LUMA[2] * LUMA[2];

    @Override
    public Shape measurementShape() {
      return new Shape(1, imageShape.get(1), imageShape.get(2));
    }

    private static NDArray weights(NDArray like) {
      return like.getManager().create(LUMA, new Shape(1, LUMA.length, 1, 1));
    }

    @Override
    public NDArray apply(NDArray x) {
      Tensors.require("x", x, imageShape);
      return TensorScope.only(() -> x.mul(weights(x)).sum(new int[] {1}, true));
    }

    @Override
    public NDArray adjoint(NDArray y) {
      Tensors.require("y", y, measurementShape());
      return TensorScope.only(() -> y.mul(weights(y)));
    }

    /** {@inheritDoc} {@code A^T y / ||A||^2}: all singular values are equal. */
    @Override
    public NDArray pseudoInverse(NDArray y, double rcond) {
      Tensors.require("y", y, measurementShape());
      Tensors.requireRcond(rcond);
      return TensorScope.only(() -> y.mul(weights(y)).mul(1 / SQUARE));
    }

    /** {@inheritDoc} {@code x + A^T (y - A x) / (1/gamma + ||A||^2)}. */
    @Override
    public NDArray proximal(NDArray x, NDArray y, double gamma) {
      Tensors.requireProximal(x, imageShape, y, measurementShape(), gamma);
      return TensorScope.only(() -> x.add(adjoint(y.sub(apply(x))).mul(1 / (1 / gamma + SQUARE))));
    }

    @Override
    public double norm() {
      return Math.sqrt(SQUARE);
    }
  }
}
