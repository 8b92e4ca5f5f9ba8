package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import java.nio.file.Path;

/** What the reference implementations computed: {@code testdata/fixtures}. */
final class Fixtures {
  static final Path HOME = Path.of(System.getProperty("priorart.home"), "testdata", "fixtures");

  private Fixtures() {}

  /**
   * {@code ||a - b|| <= tolerance ||a||}. In bfloat16 an ill-conditioned gradient may lose more
   * than the tolerance; then half as much again as diffusers itself loses is allowed.
   */
  static void assertClose(SafetensorsFile io, String name, HostTensor actual, double tolerance) {
    double relative = relativeError(io.read(name), actual);
    String theirs = "bfloat16_error/" + name;
    double allowed =
        tolerance > 1e-3 && io.shapes().containsKey(theirs)
            ? Math.max(tolerance, 1.5 * io.read(theirs).values()[0])
            : tolerance;
    assertTrue(relative <= allowed, name + " differs by " + relative + ", allowed " + allowed);
  }

  /** {@code ||a - b|| / ||a||}. */
  static double relativeError(HostTensor expected, HostTensor actual) {
    assertEquals(expected.shape(), actual.shape());
    double error = 0;
    double norm = 0;
    for (int i = 0; i < expected.values().length; i++) {
      double d = expected.values()[i] - (double) actual.values()[i];
      error += d * d;
      norm += (double) expected.values()[i] * expected.values()[i];
    }
    return Math.sqrt(error / norm);
  }
}
