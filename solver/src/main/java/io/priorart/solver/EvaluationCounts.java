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
 */
public record EvaluationCounts(
    long denoise,
    long denoisePullback,
    long encode,
    long encodePullback,
    long decode,
    long decodePullback) {
  public static final EvaluationCounts ZERO = new EvaluationCounts(0, 0, 0, 0, 0, 0);

  public EvaluationCounts minus(EvaluationCounts o) {
    return new EvaluationCounts(
        denoise - o.denoise,
        denoisePullback - o.denoisePullback,
        encode - o.encode,
        encodePullback - o.encodePullback,
        decode - o.decode,
        decodePullback - o.decodePullback);
  }
}
