package io.priorart.solver.operator;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import java.util.Map;

/**
 * Computed tomography from few directions: the Radon transform in parallel rays. View k of n looks
 * along the angle {@code k pi / n}; a pixel's value falls onto the two detectors beside the point
 * that its centre is projected to, in proportion (pixel-driven projection, linear interpolation),
 *
 * <pre>
 *   t = (x - cx) cos a + (y - cy) sin a,   detectors 1 pixel wide, as many as the diagonal is long
 * </pre>
 *
 * and sums are divided by the diagonal, so that a measurement of values in [-1,1] lies there, too.
 * The measurement's rows are the views, its columns the detectors.
 *
 * @param views n
 */
public record SparseViewCt(
    @Parameter(doc = "Directions, evenly over half a turn.", min = 1, max = 720) Integer views) {
  /** The operator's public face. */
  public static final OperatorKind<SparseViewCt> KIND =
      new OperatorKind<>(
          "sparse-view-ct",
          "Project along parallel rays from few directions; restoring it is tomography",
          SparseViewCt.class,
          new SparseViewCt(30),
          new Factory());

  private static final ParameterSchema<SparseViewCt> SCHEMA =
      ParameterSchema.of(SparseViewCt.class);

  private static final class Factory implements OperatorKind.Factory<SparseViewCt> {
    @Override
    public OperatorKind.Drawn create(SparseViewCt spec, Shape imageShape, NoiseSource random) {
      return new OperatorKind.Drawn(spec.on(imageShape), Map.of());
    }

    /** {@inheritDoc} The largest square whose diagonal the detectors cover. */
    @Override
    public Shape imageShape(SparseViewCt spec, Shape measurementShape) {
      SCHEMA.check("", spec);
      Tensors.requireImageShape(measurementShape);
      long side = Math.max(1, (long) (measurementShape.get(2) / Math.sqrt(2)));
      return new Shape(measurementShape.get(0), side, side);
    }
  }

  /**
   * The projections of pictures {@code [C, H, W]}, H and W at most 4096.
   *
   * @throws io.priorart.solver.PriorArtException INVALID_ARGUMENT naming the parameter
   */
  public LinearOperator on(Shape imageShape) {
    SCHEMA.check("", this);
    return new Projection(Tensors.requireModerateSides(imageShape), views);
  }

  /** Forward and back on the host, where both are the same walk over pixels. */
  private static final class Projection extends IterativeOperator {
    private final Shape imageShape;
    private final Shape measurementShape;
    private final double diagonal;

    Projection(Shape imageShape, int views) {
      this.imageShape = imageShape;
      diagonal = Math.hypot(imageShape.get(1), imageShape.get(2));
      measurementShape = new Shape(imageShape.get(0), views, (long) Math.ceil(diagonal) + 1);
    }

    @Override
    public Shape imageShape() {
      return imageShape;
    }

    @Override
    public Shape measurementShape() {
      return measurementShape;
    }

    @Override
    public NDArray apply(NDArray x) {
      Tensors.require("x", x, imageShape);
      return walked(x, imageShape, measurementShape, true);
    }

    @Override
    public NDArray adjoint(NDArray y) {
      Tensors.require("y", y, measurementShape);
      return walked(y, measurementShape, imageShape, false);
    }

    private NDArray walked(NDArray in, Shape from, Shape to, boolean forward) {
      int planes = (int) (in.getShape().get(0) * from.get(0));
      int fromPlane = (int) (from.get(1) * from.get(2));
      int toPlane = (int) (to.get(1) * to.get(2));
      float[] source = in.toFloatArray();
      float[] target = new float[planes * toPlane];
      for (int p = 0; p < planes; p++) {
        walk(source, p * fromPlane, target, p * toPlane, forward);
      }
      return in.getManager().create(target, new Shape(in.getShape().get(0)).addAll(to));
    }

    private void walk(float[] source, int from, float[] target, int to, boolean forward) {
      int height = (int) imageShape.get(1);
      int width = (int) imageShape.get(2);
      int views = (int) measurementShape.get(1);
      int detectors = (int) measurementShape.get(2);
      double centre = (detectors - 1) / 2.0;
      float scale = (float) (1 / diagonal);
      for (int k = 0; k < views; k++) {
        double cos = Math.cos(k * Math.PI / views);
        double sin = Math.sin(k * Math.PI / views);
        for (int y = 0; y < height; y++) {
          double t = (y - (height - 1) / 2.0) * sin - (width - 1) / 2.0 * cos + centre;
          for (int x = 0; x < width; x++, t += cos) {
            int bin = Math.max(0, Math.min(detectors - 2, (int) t));
            float share = (float) (t - bin) * scale;
            int pixel = y * width + x;
            int detector = k * detectors + bin;
            if (forward) {
              target[to + detector] += source[from + pixel] * (scale - share);
              target[to + detector + 1] += source[from + pixel] * share;
            } else {
              target[to + pixel] +=
                  source[from + detector] * (scale - share) + source[from + detector + 1] * share;
            }
          }
        }
      }
    }
  }
}
