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
import org.apache.commons.rng.UniformRandomProvider;
import org.apache.commons.rng.sampling.distribution.PoissonSampler;

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
   * @param noise of the measurement
   * @param bitDepth of the result: 16 or 32
   */
  public static Degraded degrade(
      Picture picture, List<OperatorRequest> requests, Noise noise, long seed, int bitDepth) {
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
    addNoise(y, shape, chain.operator().observed(), noise, random);
    HostTensor alpha =
        picture.alpha() == null
            ? null
            : PictureFiles.resizedAlpha(picture.alpha(), (int) shape.get(2), (int) shape.get(3));
    return new Degraded(
        picture.withPixels(new HostTensor(shape, y), bitDepth, alpha),
        new ProblemFile(described, noise, seed, picture.width(), picture.height()));
  }

  /** To the entries that are observed. */
  private static void addNoise(
      float[] y, Shape shape, HostTensor observed, Noise noise, NoiseSource random) {
    UniformRandomProvider bits = random::nextLong;
    float[] n = noise instanceof Noise.Poisson ? null : random.normal(shape).values();
    for (int i = 0; i < y.length; i++) {
      if (observed != null && observed.values()[i] == 0) {
        continue;
      }
      if (noise instanceof Noise.Poisson light) {
        double mean = light.peak() * Math.max(0, (y[i] + 1) / 2);
        double counts = mean == 0 ? 0 : PoissonSampler.of(bits, mean).sample();
        y[i] = (float) (2 * counts / light.peak() - 1);
      } else {
        y[i] += (float) (noise.internalSigma(() -> 1) * n[i]);
      }
    }
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
    new ProblemFile(operators, p.noise(), p.seed(), p.width(), p.height())
        .write(problemPath, force);
    written.add(problemPath);
    return written;
  }
}
