package io.priorart.cli;

import io.priorart.runtime.inversion.PictureInversion;
import io.priorart.solver.Prompt;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Option;

/** How a picture is inverted. */
final class InversionOptions {
  @Option(
      names = "--method",
      paramLabel = "M",
      description = "See 'priorart inversions'. Default: rnri; null-text with guidance")
  private String method;

  @Option(
      names = "--preset",
      defaultValue = "fast",
      paramLabel = "paper|fast",
      description = "The method's parameters. Default: ${DEFAULT-VALUE}")
  private String preset;

  @Option(names = "--param", paramLabel = "k=v", description = "A parameter of the method.")
  private Map<String, String> parameters = new LinkedHashMap<>();

  @Option(names = "--steps", paramLabel = "N", description = "Steps of DDIM, there and back.")
  private Integer steps;

  /** That none of these is given. */
  boolean isUsual() {
    return method == null && preset.equals("fast") && parameters.isEmpty() && steps == null;
  }

  PictureInversion.Request request(Prompt prompt) {
    return new PictureInversion.Request(
        prompt,
        method != null ? method : PictureInversion.method(prompt),
        preset,
        parameters,
        steps);
  }
}
