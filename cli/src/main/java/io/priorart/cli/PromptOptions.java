package io.priorart.cli;

import io.priorart.models.Prior;
import picocli.CommandLine.Option;

/** What a text-conditioned model is told. */
final class PromptOptions {
  @Option(
      names = "--prompt",
      defaultValue = "",
      paramLabel = "T",
      description = "What the picture shows.")
  private String prompt;

  @Option(
      names = "--negative-prompt",
      defaultValue = "",
      paramLabel = "T",
      description = "What it does not show; used when --guidance-scale is not 1.")
  private String negativePrompt;

  @Option(
      names = "--guidance-scale",
      defaultValue = "1",
      paramLabel = "G",
      description = "Classifier-free guidance; 1 is none. Default: ${DEFAULT-VALUE}")
  private double guidanceScale;

  String prompt() {
    return prompt;
  }

  String negativePrompt() {
    return negativePrompt;
  }

  double guidanceScale() {
    return guidanceScale;
  }

  /** Says so when the model reads only the beginning of a prompt. */
  void warn(Prior model) {
    warn(model, "prompt", prompt);
    warn(model, "negative-prompt", negativePrompt);
  }

  private static void warn(Prior model, String option, String text) {
    if (model.truncates(text)) {
      System.err.println("--" + option + " is longer than the text encoder reads; its end is cut");
    }
  }
}
