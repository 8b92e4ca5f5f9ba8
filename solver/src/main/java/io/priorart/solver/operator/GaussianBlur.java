package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import java.util.Map;

/**
 * Convolution with {@code exp(-(i^2 + j^2) / (2 sigma^2))}, cut at {@code |i|, |j| <= ceil(4
 * sigma)} and normalised to sum 1.
 *
 * <p>Separable: pseudo-inverse and proximal map are exact for every boundary.
 *
 * @param sigma standard deviation in pixels
 * @param boundary what the kernel sees beyond the edge
 */
public record GaussianBlur(
    @Parameter(doc = "Standard deviation of the blur.", unit = "pixels", min = 0.1, max = 200)
        Double sigma,
    @Parameter(doc = "What the kernel sees beyond the picture's edge.") Boundary boundary) {
  /** The operator's public face. */
  public static final OperatorKind<GaussianBlur> KIND =
      new OperatorKind<>(
          "gaussian-blur",
          "Blur by a Gaussian, as of a lens out of focus",
          GaussianBlur.class,
          new GaussianBlur(null, Boundary.REFLECT),
          (spec, imageShape, random) -> new OperatorKind.Drawn(spec.on(imageShape), Map.of()));

  private static final ParameterSchema<GaussianBlur> SCHEMA =
      ParameterSchema.of(GaussianBlur.class);

  /**
   * The blur of pictures {@code [C, H, W]}, H and W at most 4096.
   *
   * @throws io.priorart.solver.PriorArtException INVALID_ARGUMENT naming the parameter
   */
  public LinearOperator on(Shape imageShape) {
    SCHEMA.check("", this);
    Tensors.requireModerateSides(imageShape);
    int height = Math.toIntExact(imageShape.get(1));
    int width = Math.toIntExact(imageShape.get(2));
    Factor vertical = factor(height);
    return new SeparableOperator(
        imageShape.get(0), vertical, width == height ? vertical : factor(width));
  }

  private Factor factor(int size) {
    int radius = (int) Math.ceil(4 * sigma);
    double[] weights = new double[radius + 1];
    double sum = 0;
    for (int k = 0; k <= radius; k++) {
      weights[k] = Math.exp(-0.5 * (k / sigma) * (k / sigma));
      sum += k == 0 ? weights[k] : 2 * weights[k];
    }
    double[][] matrix = new double[size][size];
    for (int i = 0; i < size; i++) {
      for (int k = -radius; k <= radius; k++) {
        matrix[i][boundary.index(i + k, size)] += weights[Math.abs(k)] / sum;
      }
    }
    return new Factor(matrix);
  }
}
