package io.priorart.runtime.image;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Citation;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.Parameter;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.opencv.core.CvType;
import org.opencv.core.Mat;
import org.opencv.photo.Photo;

/**
 * OpenCV's two classical inpainting methods, as baselines. They see 8-bit pictures; observed pixels
 * stay exact.
 */
public final class OpenCvInpainting {
  /**
   * @param radius of the neighbourhood that a pixel is filled from
   */
  public record Spec(
      @Parameter(
              doc = "Radius of the neighbourhood that a pixel is filled from.",
              unit = "pixels",
              min = 1,
              max = 50)
          double radius) {}

  private static final Map<String, Spec> PRESETS =
      Map.of("fast", new Spec(3), "paper", new Spec(3));

  /** Both methods, for the catalogue. */
  public static final List<SolverMethod<?>> METHODS =
      List.of(
          new SolverMethod<>(
              "opencv-telea",
              "Fast marching inpainting, a classical baseline without a model.",
              List.of(
                  new Citation(
                      "telea2004",
                      "Telea, Alexandru",
                      "An Image Inpainting Technique Based on the Fast Marching Method",
                      Citation.Kind.JOURNAL,
                      "Journal of Graphics Tools",
                      2004,
                      "")),
              Set.of(),
              Spec.class,
              PRESETS,
              spec -> solver(spec, Photo.INPAINT_TELEA)),
          new SolverMethod<>(
              "opencv-ns",
              "Navier-Stokes inpainting, a classical baseline without a model.",
              List.of(
                  new Citation(
                      "bertalmio2001",
                      "Bertalmio, Marcelo and Bertozzi, Andrea L. and Sapiro, Guillermo",
                      "Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting",
                      "CVPR",
                      2001,
                      "")),
              Set.of(),
              Spec.class,
              PRESETS,
              spec -> solver(spec, Photo.INPAINT_NS)));

  static {
    OpenCv.load();
  }

  private OpenCvInpainting() {}

  private static InverseSolver solver(Spec spec, int flags) {
    return (problem, model, context) -> {
      HostTensor observed = problem.operator().observed();
      Shape shape = problem.operator().imageShape();
      if (observed == null || !problem.operator().measurementShape().equals(shape)) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION, "this solver needs the operator inpainting alone");
      }
      return inpaint(problem.measurement(), observed, shape, spec.radius(), flags, context);
    };
  }

  private static NDArray inpaint(
      HostTensor y, HostTensor observed, Shape shape, double radius, int flags, SolveContext c) {
    c.checkpoint();
    int channels = (int) shape.get(0);
    int h = (int) shape.get(1);
    int w = (int) shape.get(2);
    int plane = h * w;
    byte[] pixels = new byte[plane * channels];
    byte[] mask = new byte[plane];
    for (int i = 0; i < plane; i++) {
      mask[i] = observed.values()[i] == 0 ? (byte) 255 : 0;
      for (int k = 0; k < channels; k++) {
        double level = Math.rint((y.values()[k * plane + i] + 1) * 127.5);
        pixels[i * channels + k] = (byte) (int) Math.max(0, Math.min(255, level));
      }
    }
    Mat in = new Mat(h, w, CvType.CV_8UC(channels));
    Mat holes = new Mat(h, w, CvType.CV_8UC1);
    Mat out = new Mat();
    in.put(0, 0, pixels);
    holes.put(0, 0, mask);
    Photo.inpaint(in, holes, out, radius, flags);
    out.get(0, 0, pixels);
    in.release();
    holes.release();
    out.release();
    float[] result = new float[plane * channels];
    for (int i = 0; i < plane; i++) {
      for (int k = 0; k < channels; k++) {
        int at = k * plane + i;
        result[at] = mask[i] == 0 ? y.values()[at] : (pixels[i * channels + k] & 0xff) / 127.5f - 1;
      }
    }
    c.step(1, 1, 0);
    return c.manager().create(result, new Shape(1, channels, h, w));
  }
}
