package io.priorart.solver;

/**
 * What people tell a model in words.
 *
 * @param text what the picture shows; may be empty
 * @param negative what it does not show; of effect when {@code guidanceScale} is not 1
 * @param guidanceScale classifier-free guidance, 0 to 100; 1 is none
 * @param suppress words separated by commas, whose meaning is taken out of {@code text}; empty for
 *     none
 * @param suppressIterations of {@link Suppression#iterations}, 0 to 100
 */
public record Prompt(
    String text, String negative, double guidanceScale, String suppress, int suppressIterations) {
  /** Nothing said. */
  public static final Prompt NONE = new Prompt("", "", 1);

  private static final int MAX_ITERATIONS = 100;

  /** Without suppression. */
  public Prompt(String text, String negative, double guidanceScale) {
    this(text, negative, guidanceScale, "", 0);
  }

  /** Whether a model must understand words for this. */
  public boolean hasText() {
    return !text.isEmpty() || !negative.isEmpty() || !suppress.isEmpty();
  }

  /** Whether this is what models without text take. */
  public boolean isNone() {
    return !hasText() && guidanceScale == 1;
  }

  /**
   * @throws PriorArtException INVALID_ARGUMENT naming the field and its range
   */
  public void check() {
    if (!(guidanceScale >= 0 && guidanceScale <= 100)) {
      throw PriorArtException.badField("guidance-scale", "must be 0 to 100, was " + guidanceScale);
    }
    if (suppressIterations < 0 || suppressIterations > MAX_ITERATIONS) {
      throw PriorArtException.badField(
          "suppress-iterations", "must be 0 to " + MAX_ITERATIONS + ", was " + suppressIterations);
    }
  }
}
