package io.priorart.cli;

import io.priorart.models.Prior;
import io.priorart.solver.Prompt;
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

  @Option(
      names = "--suppress",
      defaultValue = "",
      paramLabel = "WORDS",
      description =
          "Words, separated by commas, whose meaning is taken out of the prompt; what it does not name is added"
              + " to it as 'without ...' first (Li et al., ICLR 2024). Works without guidance.")
  private String suppress;

  @Option(
      names = "--suppress-iterations",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "Optimise the embedding at each timestep of the second fifth of the noise levels: 10 in the paper."
              + " Each costs an evaluation with its gradient. Default: ${DEFAULT-VALUE}")
  private int suppressIterations;

  Prompt prompt() {
    return new Prompt(prompt, negativePrompt, guidanceScale, suppress, suppressIterations);
  }

  /** Says so when the model reads only the beginning of a prompt. */
  void warn(Prior model) {
    warn(model, "prompt", prompt);
    warn(model, "negative-prompt", negativePrompt);
  }

  /** The same of another option's text; {@code null} is none. */
  static void warn(Prior model, String option, String text) {
    if (text != null && model.truncates(text)) {
      System.err.println("--" + option + " is longer than the text encoder reads; its end is cut");
    }
  }
}
