package io.priorart.cli;

import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import picocli.CommandLine.Option;

/** The noise of a measurement. */
final class NoiseOptions {
  @Option(
      names = "--sigma",
      paramLabel = "S",
      description = {
        "Noise of the measurement on the [0,1] pixel scale, the same everywhere.",
        "restore needs this or --poisson, except for pure inpainting; otherwise 0."
      })
  private Double sigma;

  @Option(
      names = "--poisson",
      paramLabel = "PEAK",
      description = "Counted light: how many counts white stands for, 1 to 1000000.")
  private Double poisson;

  /** {@code null} where none was given. */
  Noise noise() {
    if (sigma != null && poisson != null) {
      throw PriorArtException.badField("poisson", "and --sigma exclude each other");
    }
    return poisson != null
        ? new Noise.Poisson(poisson)
        : sigma != null ? Noise.ofSigma(sigma) : null;
  }
}
