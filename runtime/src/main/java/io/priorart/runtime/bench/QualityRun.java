package io.priorart.runtime.bench;

import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.method.SpectrumCheck;
import java.util.Map;

/**
 * One restoration of a quality benchmark, as it lies in the results file: one JSON object a line.
 *
 * @param key what was run; a run whose key is in the file is not run again
 * @param psnr against the true picture, dB
 * @param ssim against the true picture
 * @param msSsim multi-scale SSIM against the true picture; {@code null} for a side under 176 pixels
 *     and for runs from before it was measured
 * @param gmsd gradient magnitude similarity deviation, 0 is best; {@code null} for runs from before
 *     it was measured
 * @param seconds of solving and of the final steps, of all samples
 * @param ratioBefore the final steps, mean over the samples
 * @param ratioAfter of the picture as written, mean over the samples
 * @param consistent whether the verdict says so of every sample
 * @param move of the final steps, RMS on the internal [-1,1] scale
 * @param spectrum what the measurement looks like, before any solving
 * @param evaluations of the networks
 * @param operatorSeconds of {@code seconds}, inside the operator; {@code null} for runs from before
 *     it was measured
 * @param peakBytes most resident memory of the process while it ran, weights included; {@code null}
 *     where the system does not tell and for runs from before it was measured
 * @param revision of PriorArt that ran it
 */
public record QualityRun(
    Key key,
    double psnr,
    double ssim,
    Double msSsim,
    Double gmsd,
    double seconds,
    double ratioBefore,
    double ratioAfter,
    boolean consistent,
    double move,
    SpectrumCheck spectrum,
    EvaluationCounts evaluations,
    Double operatorSeconds,
    Long peakBytes,
    String revision) {
  /**
   * What decides a run's pixels.
   *
   * @param task its name
   * @param measured how the measurement was made
   * @param declared what the solver was told
   * @param sigma on the [0,1] pixel scale
   * @param picture file name
   * @param pictureHash SHA-256 of the file
   * @param tuning whether the run served to choose parameters
   * @param solver its name
   * @param parameters every parameter used, and the number of samples if there are several
   * @param model SHA-256 of the checkpoint; {@code null} when the solver has none
   * @param precision of the networks; {@code null} when the solver has none
   * @param threads of the engine
   * @param seed of measurement and solver
   */
  public record Key(
      String task,
      String measured,
      String declared,
      double sigma,
      String picture,
      String pictureHash,
      boolean tuning,
      String solver,
      Map<String, Object> parameters,
      String model,
      String precision,
      int threads,
      long seed) {}
}
