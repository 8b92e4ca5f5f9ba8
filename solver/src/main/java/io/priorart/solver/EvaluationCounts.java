package io.priorart.solver;

/**
 * Network evaluations; one batch of any size through one network is one evaluation. "Nfe alone
 * hides decoder cost", so each part is counted apart.
 *
 * @param denoise denoiser forwards (a guided evaluation counts its two branches)
 * @param denoisePullback denoiser backwards
 * @param encode encoder forwards
 * @param encodePullback encoder backwards
 * @param decode decoder forwards
 * @param decodePullback decoder backwards
 * @param seconds wall time inside these calls
 */
public record EvaluationCounts(
    long denoise,
    long denoisePullback,
    long encode,
    long encodePullback,
    long decode,
    long decodePullback,
    double seconds) {
  public static final EvaluationCounts ZERO = new EvaluationCounts(0, 0, 0, 0, 0, 0, 0);

  /** Calls without pullbacks. */
  public long forwards() {
    return denoise + encode + decode;
  }

  /** All calls together. */
  public long total() {
    return denoise + denoisePullback + encode + encodePullback + decode + decodePullback;
  }

  public EvaluationCounts plus(EvaluationCounts o) {
    return new EvaluationCounts(
        denoise + o.denoise,
        denoisePullback + o.denoisePullback,
        encode + o.encode,
        encodePullback + o.encodePullback,
        decode + o.decode,
        decodePullback + o.decodePullback,
        seconds + o.seconds);
  }

  public EvaluationCounts minus(EvaluationCounts o) {
    return new EvaluationCounts(
        denoise - o.denoise,
        denoisePullback - o.denoisePullback,
        encode - o.encode,
        encodePullback - o.encodePullback,
        decode - o.decode,
        decodePullback - o.decodePullback,
        seconds - o.seconds);
  }

  /**
   * What one of {@code n} samples of a batch has of these: the same calls, its part of the time.
   */
  public EvaluationCounts share(int n) {
    return new EvaluationCounts(
        denoise, denoisePullback, encode, encodePullback, decode, decodePullback, seconds / n);
  }
}
