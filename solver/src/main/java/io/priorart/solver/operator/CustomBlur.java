package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import java.util.Map;

/**
 * Convolution with a given kernel, normalised to sum 1: {@code y(p) = sum_a k(a) x(p - (a -
 * centre))} with the centre at {@code (floor(height/2), floor(width/2))}. The kernel is the picture
 * of a point of light, not its mirror image.
 *
 * <p>With the circular boundary pseudo-inverse and proximal map are exact, otherwise iterative.
 *
 * @param kernel {@code [height, width]} or {@code [1, height, width]}, each side at most 1024, with
 *     a positive sum; single values may be negative
 * @param boundary what the kernel sees beyond the edge
 */
public record CustomBlur(
    @Parameter(doc = "Point spread function, a grey picture or array; scaled to sum 1.")
        HostTensor kernel,
    @Parameter(doc = "What the kernel sees beyond the picture's edge.") Boundary boundary) {
  /** The operator's public face. */
  public static final OperatorKind<CustomBlur> KIND =
      new OperatorKind<>(
          "custom-blur",
          "Blur by a given kernel",
          CustomBlur.class,
          new CustomBlur(null, Boundary.REFLECT),
          (spec, imageShape, random) -> new OperatorKind.Drawn(spec.on(imageShape), Map.of()));

  private static final ParameterSchema<CustomBlur> SCHEMA = ParameterSchema.of(CustomBlur.class);
  private static final int MAX_SIDE = 1024;

  /**
   * The blur of pictures {@code [C, H, W]}.
   *
   * @throws PriorArtException INVALID_ARGUMENT naming the parameter
   */
  public LinearOperator on(Shape imageShape) {
    SCHEMA.check("", this);
    return normalised().on(imageShape, boundary);
  }

  private Kernel normalised() {
    Shape shape = kernel.shape();
    int axes = shape.dimension();
    if (axes < 2 || axes > 3 || axes == 3 && shape.get(0) != 1) {
      throw PriorArtException.badField(
          "kernel", "must be grey, [height, width] or [1, height, width], was " + shape);
    }
    long height = shape.get(axes - 2);
    long width = shape.get(axes - 1);
    if (height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE) {
      throw PriorArtException.badField(
          "kernel", "sides must be 1 to " + MAX_SIDE + " pixels, was " + shape);
    }
    double sum = 0;
    double magnitude = 0;
    for (float v : kernel.values()) {
      sum += v;
      magnitude += Math.abs(v);
    }
    if (!Double.isFinite(magnitude)) {
      throw PriorArtException.badField("kernel", "has values that are not finite numbers");
    }
    if (!(sum > 1e-6 * magnitude)) {
      throw PriorArtException.badField(
          "kernel", "must sum to more than 0 to be scaled to sum 1, its sum is " + sum);
    }
    double[][] values = new double[(int) height][(int) width];
    for (int i = 0; i < height; i++) {
      for (int j = 0; j < width; j++) {
        values[i][j] = kernel.values()[i * (int) width + j] / sum;
      }
    }
    return new Kernel(values);
  }
}
