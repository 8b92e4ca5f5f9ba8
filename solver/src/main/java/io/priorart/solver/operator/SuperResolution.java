package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import java.util.Map;

/**
 * Shrinks a picture by a whole factor f; solving it is super-resolution.
 *
 * <p>A side of n pixels becomes {@code ceil(n/f)}; beyond its edges the picture is reflected (as
 * {@link Boundary#REFLECT}), which on the right and bottom also fills it up to a multiple of f. Low
 * pixel i covers high pixels {@code i f} to {@code i f + f - 1}: pixels are areas, centres lie at
 * half coordinates.
 *
 * <p>Separable: pseudo-inverse and proximal map are exact.
 *
 * @param factor f
 * @param kernel how high pixels are weighed
 */
public record SuperResolution(
    @Parameter(doc = "How many times smaller each side is.", min = 2, max = 32) Integer factor,
    @Parameter(doc = "How the pixels that fall on one are weighed.") Kernel kernel) {
  /** How high pixels are weighed. */
  public enum Kernel {
    /** The mean of the f by f pixels. */
    AVERAGE {
      @Override
      double weight(double t) {
        return Math.abs(t) < 0.5 ? 1 : 0;
      }

      @Override
      double radius() {
        return 0.5;
      }
    },
    /**
     * Keys' cubic kernel with a = -1/2, stretched by f against aliasing and normalised to sum 1, as
     * MATLAB's imresize does (R. Keys, Cubic convolution interpolation for digital image
     * processing, IEEE TASSP 29, 1981).
     */
    BICUBIC {
      @Override
      double weight(double t) {
        double d = Math.abs(t);
        if (d < 1) {
          return (1.5 * d - 2.5) * d * d + 1;
        }
        return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
      }

      @Override
      double radius() {
        return 2;
      }
    };

    /** Weight at {@code t} low pixels from the low pixel's centre, not normalised. */
    abstract double weight(double t);

    /** Where the weight ends, in low pixels. */
    abstract double radius();
  }

  /** The operator's public face. */
  public static final OperatorKind<SuperResolution> KIND =
      new OperatorKind<>(
          "super-resolution",
          "Shrink by a whole factor; restoring it is super-resolution",
          SuperResolution.class,
          new SuperResolution(4, Kernel.BICUBIC),
          new Factory());

  private static final ParameterSchema<SuperResolution> SCHEMA =
      ParameterSchema.of(SuperResolution.class);

  private static final class Factory implements OperatorKind.Factory<SuperResolution> {
    @Override
    public OperatorKind.Drawn create(SuperResolution spec, Shape imageShape, NoiseSource random) {
      return new OperatorKind.Drawn(spec.on(imageShape), Map.of());
    }

    /** {@inheritDoc} f times as wide and high. */
    @Override
    public Shape imageShape(SuperResolution spec, Shape measurementShape) {
      SCHEMA.check("", spec);
      Tensors.requireImageShape(measurementShape);
      return new Shape(
          measurementShape.get(0),
          Math.multiplyExact(measurementShape.get(1), spec.factor),
          Math.multiplyExact(measurementShape.get(2), spec.factor));
    }
  }

  /**
   * The shrinking of pictures {@code [C, H, W]}, H and W at most 4096.
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
    int low = (size + factor - 1) / factor;
    double[][] matrix = new double[low][size];
    int reach = (int) Math.ceil(kernel.radius() * factor);
    for (int i = 0; i < low; i++) {
      double centre = (i + 0.5) * factor - 0.5;
      int from = (int) Math.floor(centre) - reach;
      int to = (int) Math.ceil(centre) + reach;
      double sum = 0;
      for (int j = from; j <= to; j++) {
        sum += kernel.weight((j - centre) / factor);
      }
      for (int j = from; j <= to; j++) {
        matrix[i][Boundary.REFLECT.index(j, size)] += kernel.weight((j - centre) / factor) / sum;
      }
    }
    return new Factor(matrix);
  }
}
