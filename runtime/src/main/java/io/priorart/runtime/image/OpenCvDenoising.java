package io.priorart.runtime.image;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.opencv.core.CvType;
import org.opencv.core.Mat;
import org.opencv.photo.Photo;

/**
 * Non-local means as OpenCV has it, a baseline of denoising: each pixel becomes the mean of those
 * around it, weighed by {@code exp(-max(0, d - 2 s^2) / h^2)}, {@code d} the mean squared
 * difference of the patches around both. It sees 8-bit pictures.
 */
public final class OpenCvDenoising implements InverseSolver {
  private static final int PATCH = 7;
  private static final int WINDOW = 21;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "opencv-nlm",
          "Non-local means, a classical baseline of denoising without a model.",
          List.of(
              new Citation(
                  "buades2005",
                  "Buades, Antoni and Coll, Bartomeu and Morel, Jean-Michel",
                  "A Non-Local Algorithm for Image Denoising",
                  "CVPR",
                  2005,
                  "")),
          Set.of(SolverMethod.Need.LINEAR, SolverMethod.Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(0.8, false), "paper", new Spec(0.8, false)),
          OpenCvDenoising::new);

  /**
   * Parameters.
   *
   * @param strength {@code h} in deviations of the noise
   * @param lab whether lightness and colour are filtered apart, in CIELAB
   */
  public record Spec(
      @Parameter(
              doc = "Filter strength h",
              unit = "standard deviations of the noise",
              min = 0.01,
              max = 100)
          double strength,
      @Parameter(doc = "Filter lightness and colour apart, in CIELAB; colour pictures only")
          boolean lab) {}

  static {
    OpenCv.load();
  }

  private final Spec spec;

  public OpenCvDenoising(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  public NDArray solve(Problem problem, LatentDiffusionModel model, SolveContext context) {
    LinearOperator operator = problem.linearOperator();
    if (!operator.isMask() || operator.observed() != null) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "this solver needs the operator identity alone");
    }
    context.checkpoint();
    Shape shape = operator.imageShape();
    int channels = (int) shape.get(0);
    int h = (int) shape.get(1);
    int w = (int) shape.get(2);
    int plane = h * w;
    byte[] pixels = new byte[plane * channels];
    for (int i = 0; i < pixels.length; i++) {
      double level = Math.rint((problem.measurement().values()[i] + 1) * 127.5);
      pixels[i % plane * channels + i / plane] = (byte) (int) Math.max(0, Math.min(255, level));
    }
    Mat in = new Mat(h, w, CvType.CV_8UC(channels));
    Mat out = new Mat();
    in.put(0, 0, pixels);
    float strength = (float) (spec.strength() * problem.effectiveSigma() * 127.5);
    if (spec.lab() && channels == 3) {
      Photo.fastNlMeansDenoisingColored(in, out, strength, strength, PATCH, WINDOW);
    } else {
      Photo.fastNlMeansDenoising(in, out, strength, PATCH, WINDOW);
    }
    out.get(0, 0, pixels);
    in.release();
    out.release();
    float[] result = new float[pixels.length];
    double sum = 0;
    for (int i = 0; i < result.length; i++) {
      result[i] = (pixels[i % plane * channels + i / plane] & 0xff) / 127.5f - 1;
      sum += Math.pow(result[i] - problem.measurement().values()[i], 2);
    }
    context.step(1, 1, Math.sqrt(sum / result.length));
    return context.manager().create(result, new Shape(1).addAll(shape));
  }
}
