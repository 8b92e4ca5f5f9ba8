package io.priorart.runtime;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Makes measurements: {@code y = A(x) + noise}, with the file that says how. */
public final class Degrader {
  private Degrader() {}

  /**
   * A measurement and how it was made.
   *
   * @param measurement at 16 bits or float
   * @param problem tensor parameters that were drawn are still tensors here
   */
  public record Degraded(Picture measurement, ProblemFile problem) {}

  /**
   * Measures a picture.
   *
   * @param sigma standard deviation of the noise on the [0,1] pixel scale
   * @param bitDepth of the result: 16 or 32
   */
  public static Degraded degrade(
      Picture picture, List<OperatorRequest> requests, double sigma, long seed, int bitDepth) {
    Noise noise = new Noise.Gaussian(sigma);
    NoiseSource random = new NoiseSource(seed);
    Shape imageShape = new Shape(picture.channels(), picture.height(), picture.width());
    OperatorChain chain = OperatorChain.build(requests, imageShape, random);
    List<OperatorRequest> described = new ArrayList<>();
    for (int i = 0; i < requests.size(); i++) {
      Map<String, HostTensor> drawn = chain.drawn().get(i);
      OperatorRequest request = requests.get(i);
      // what was drawn replaces what asked for it
      described.add(
          drawn.isEmpty() ? request : new OperatorRequest(request.name(), Map.copyOf(drawn)));
    }
    float[] y;
    Shape shape;
    try (NDManager manager = ScriptModule.newManager()) {
      var measured = chain.operator().apply(picture.pixels().to(manager));
      shape = measured.getShape();
      y = measured.toFloatArray();
    }
    float[] n = random.normal(shape).values();
    HostTensor observed = chain.operator().observed();
    for (int i = 0; i < y.length; i++) {
      boolean seen = observed == null || observed.values()[i] != 0;
      y[i] += seen ? (float) (noise.internalSigma() * n[i]) : 0;
    }
    HostTensor alpha =
        picture.alpha() == null
            ? null
            : PictureFiles.resizedAlpha(picture.alpha(), (int) shape.get(2), (int) shape.get(3));
    return new Degraded(
        picture.withPixels(new HostTensor(shape, y), bitDepth, alpha),
        new ProblemFile(described, sigma, seed, picture.width(), picture.height()));
  }

  /**
   * Writes a measurement, the masks that were drawn, and the problem file.
   *
   * @return the files written, the picture first
   */
  public static List<Path> write(Degraded degraded, Path out, boolean force) {
    Path problemPath = ProblemFile.beside(out);
    PictureFiles.requireWritable(out, force);
    PictureFiles.requireWritable(problemPath, force);
    List<Path> written = new ArrayList<>(List.of(out));
    List<OperatorRequest> operators = new ArrayList<>();
    for (OperatorRequest request : degraded.problem().operators()) {
      OperatorRequest named = request;
      for (Map.Entry<String, Object> e : request.parameters().entrySet()) {
        if (e.getValue() instanceof HostTensor tensor) {
          int index = operators.size();
          String suffix = index == 0 ? "" : "." + index;
          Path file =
              out.resolveSibling(ProblemFile.stem(out) + suffix + "." + e.getKey() + ".png");
          PictureFiles.writeMask(tensor, file, force);
          written.add(file);
          named = named.with(e.getKey(), file.getFileName().toString());
        }
      }
      operators.add(named);
    }
    PictureFiles.write(degraded.measurement(), out, force);
    ProblemFile p = degraded.problem();
    new ProblemFile(operators, p.sigma(), p.seed(), p.width(), p.height())
        .write(problemPath, force);
    written.add(problemPath);
    return written;
  }
}
