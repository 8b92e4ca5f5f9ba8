package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.OperatorKind;
import java.util.Map;

/** {@code A(x) = x}: with declared noise, solving it is denoising. */
public record Identity() {
  /** The operator's public face. */
  public static final OperatorKind<Identity> KIND =
      new OperatorKind<>(
          "identity",
          "Leave the picture as it is; restoring it is denoising",
          Identity.class,
          new Identity(),
          (spec, imageShape, random) -> new OperatorKind.Drawn(spec.on(imageShape), Map.of()));

  /** The identity on pictures {@code [C, H, W]}. */
  public LinearOperator on(Shape imageShape) {
    return new MaskOperator(Tensors.requireImageShape(imageShape), null);
  }
}
