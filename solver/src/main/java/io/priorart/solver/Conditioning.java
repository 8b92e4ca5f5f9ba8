package io.priorart.solver;

import ai.djl.ndarray.NDArray;

/**
 * Text conditioning of a denoiser, with classifier-free guidance {@code eps = eps_negative +
 * guidanceScale (eps_positive - eps_negative)} (Ho and Salimans 2022).
 *
 * @param positive embedding of the prompt, {@code [1, tokens, width]}; {@code null} for an
 *     unconditional model
 * @param negative embedding of the negative prompt, same shape; {@code null} when guidance is off
 * @param guidanceScale 1 evaluates the positive branch alone
 * @param positivePooled the prompt in one vector, {@code [1, width]}, for families that take it
 *     beside the tokens (SDXL, SD3); {@code null} for the others
 * @param negativePooled the same of the negative prompt
 * @param suppression what of the prompt is not to be shown; {@code null} for nothing
 */
public record Conditioning(
    NDArray positive,
    NDArray negative,
    double guidanceScale,
    NDArray positivePooled,
    NDArray negativePooled,
    Suppression suppression) {
  /** For models that take no text. */
  public static final Conditioning NONE = new Conditioning(null, null, 1);

  /** Without pooled vectors. */
  public Conditioning(NDArray positive, NDArray negative, double guidanceScale) {
    this(positive, negative, guidanceScale, null, null, null);
  }

  /** Without suppression. */
  public Conditioning(
      NDArray positive,
      NDArray negative,
      double guidanceScale,
      NDArray positivePooled,
      NDArray negativePooled) {
    this(positive, negative, guidanceScale, positivePooled, negativePooled, null);
  }

  /** This with a suppression. */
  public Conditioning suppressing(Suppression suppression) {
    return new Conditioning(
        positive, negative, guidanceScale, positivePooled, negativePooled, suppression);
  }

  /** This with another embedding of the prompt. */
  public Conditioning withPositive(NDArray embedding) {
    return new Conditioning(
        embedding, negative, guidanceScale, positivePooled, negativePooled, suppression);
  }

  /** This with another embedding of the negative prompt. */
  public Conditioning withNegative(NDArray embedding) {
    return new Conditioning(
        positive, embedding, guidanceScale, positivePooled, negativePooled, suppression);
  }

  /** The prompt's branch alone, without guidance. */
  public Conditioning positiveAlone() {
    return new Conditioning(positive, null, 1, positivePooled, null, suppression);
  }

  /** The negative prompt's branch alone, as if it were the prompt. */
  public Conditioning negativeAlone() {
    return new Conditioning(negative, null, 1, negativePooled, null, null);
  }

  /** Whether two branches have to be evaluated. */
  public boolean guided() {
    return negative != null && guidanceScale != 1;
  }
}
