package io.priorart.solver.method;

/**
 * How well a restored picture explains its measurement.
 *
 * <p>A ratio is {@code RMS(y - A x) / sigma_eff} over the observed entries ({@link
 * FinalDataStep#ratio}): 1 for the true picture. The judgement is about the picture as written. The
 * ratio before the final steps and their size say how much of the fit is theirs, which can bend
 * almost any picture to any measurement. A wrong operator is not told by any of them but by {@link
 * SpectrumCheck}.
 *
 * @param judgement of {@code ratioAfter}
 * @param ratioBefore before the final steps
 * @param ratioAfter of the picture as written
 * @param move RMS distance the final steps moved the picture, internal [-1,1] scale
 */
public record Verdict(Judgement judgement, double ratioBefore, double ratioAfter, double move) {
  /** Ratios from here to {@link #HIGHEST} are consistent. */
  public static final double LOWEST = 0.7;

  public static final double HIGHEST = 1.2;

  /** Whether a picture fits its measurement as well as the noise lets it, better, or worse. */
  public enum Judgement {
    /** The residual is what the declared noise leaves. */
    CONSISTENT,
    /** The residual is smaller than the noise: the picture reproduces noise. */
    OVERFITTED,
    /**
     * The residual is larger than the noise explains: a poor solve, or a wrong operator or sigma.
     */
    INCONSISTENT;

    /** Of a ratio under declared noise; NaN and infinity are inconsistent. */
    public static Judgement of(double ratio) {
      if (ratio < LOWEST) {
        return OVERFITTED;
      }
      return ratio <= HIGHEST ? CONSISTENT : INCONSISTENT;
    }
  }

  /**
   * Judges a picture alone (a mean of samples is not a sample). A measurement without noise cannot
   * be overfitted: reproducing it exactly is what it asks for.
   *
   * @param noisy whether the problem declares noise
   */
  public static Verdict of(boolean noisy, double ratioBefore, double ratioAfter, double move) {
    Judgement judgement = Judgement.of(ratioAfter);
    if (!noisy && judgement == Judgement.OVERFITTED) {
      judgement = Judgement.CONSISTENT;
    }
    return new Verdict(judgement, ratioBefore, ratioAfter, move);
  }
}
