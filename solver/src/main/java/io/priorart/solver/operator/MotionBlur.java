package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import java.util.Map;

/**
 * Blur along a straight, even movement: the kernel is a line segment centred on the middle pixel,
 * each pixel weighed by the length of the segment inside its square. At 0 degrees an odd whole
 * length L gives L weights of 1/L.
 *
 * <p>With the circular boundary pseudo-inverse and proximal map are exact, otherwise iterative.
 *
 * @param length of the segment in pixels
 * @param angle of the segment in degrees, counter-clockwise from the x axis
 * @param boundary what the kernel sees beyond the edge
 */
public record MotionBlur(
    @Parameter(doc = "Length of the movement.", unit = "pixels", min = 1, max = 512) Double length,
    @Parameter(
            doc = "Direction of the movement, counter-clockwise from horizontal.",
            unit = "degrees",
            min = -360,
            max = 360)
        double angle,
    @Parameter(doc = "What the kernel sees beyond the picture's edge.") Boundary boundary) {
  /** The operator's public face. */
  public static final OperatorKind<MotionBlur> KIND =
      new OperatorKind<>(
          "motion-blur",
          "Blur along a straight movement",
          MotionBlur.class,
          new MotionBlur(null, 0, Boundary.REFLECT),
          (spec, imageShape, random) -> new OperatorKind.Drawn(spec.on(imageShape), Map.of()));

  private static final ParameterSchema<MotionBlur> SCHEMA = ParameterSchema.of(MotionBlur.class);

  /**
   * The blur of pictures {@code [C, H, W]}.
   *
   * @throws io.priorart.solver.PriorArtException INVALID_ARGUMENT naming the parameter
   */
  public LinearOperator on(Shape imageShape) {
    SCHEMA.check("", this);
    return kernel().on(imageShape, boundary);
  }

  Kernel kernel() {
    double dx = Math.cos(Math.toRadians(angle));
    double dy = -Math.sin(Math.toRadians(angle));
    int rows = reach(dy);
    int columns = reach(dx);
    double[][] values = new double[2 * rows + 1][2 * columns + 1];
    double sum = 0;
    for (int i = -rows; i <= rows; i++) {
      for (int j = -columns; j <= columns; j++) {
        values[i + rows][j + columns] = inside(dx, j, dy, i);
        sum += values[i + rows][j + columns];
      }
    }
    for (double[] row : values) {
      for (int j = 0; j < row.length; j++) {
        row[j] /= sum;
      }
    }
    return new Kernel(values);
  }

  /** Pixels to either side that the segment touches along an axis. */
  private int reach(double direction) {
    return (int) Math.ceil(Math.abs(direction) * length / 2 - 0.5 - 1e-9);
  }

  /** Length of {@code t (dx, dy)}, {@code |t| <= length / 2}, inside the unit square at (x, y). */
  private double inside(double dx, int x, double dy, int y) {
    double from = -length / 2;
    double to = length / 2;
    double[] directions = {dx, dy};
    int[] centres = {x, y};
    for (int axis = 0; axis < 2; axis++) {
      double d = directions[axis];
      if (Math.abs(d) < 1e-12) {
        // Parallel to the axis' edges and through the middle of the squares at 0.
        if (centres[axis] != 0) {
          return 0;
        }
      } else {
        double a = (centres[axis] - 0.5) / d;
        double b = (centres[axis] + 0.5) / d;
        from = Math.max(from, Math.min(a, b));
        to = Math.min(to, Math.max(a, b));
      }
    }
    return Math.max(0, to - from);
  }
}
