package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Problem;
import io.priorart.solver.TensorScope;

/**
 * What ends a solve in picture space whose estimate reproduces the measurement's noise: {@code x' =
 * D(x; s)}, the denoiser at the first {@code s} of {@code sigma_eff, 2 sigma_eff, 4 sigma_eff, 8
 * sigma_eff} that leaves a residual which is no longer {@linkplain Verdict.Judgement#OVERFITTED
 * overfitted}. Where that is more than the noise explains, {@link FinalDataStep} follows; both
 * together are one iteration of half-quadratic splitting (Zoran and Weiss 2011; DPIR, Zhang et al.
 * 2021, Eq. 6) that ends at the noise level.
 *
 * <p>Solvers that follow the data's gradient to the end fit a part of its noise, more the longer
 * they run; {@code FinalDataStep} can only take away a residual that is too large.
 */
@SuppressWarnings("try") // a TensorScope works by being open
public final class FinalPriorStep {
  private static final int MOST = 4;

  private FinalPriorStep() {}

  /**
   * What the step did.
   *
   * @param picture {@code [1, C, H, W]} in the argument's manager; the argument itself where no
   *     step was taken
   * @param sigma the {@code s} found, internal [-1,1] scale; 0 where no step was taken
   */
  public record Result(NDArray picture, double sigma) {}

  /**
   * Takes the step, where there is a reason and a way: a picture that is overfitted, a measurement
   * with noise, a prior that denoises pictures and a level that does it.
   *
   * @param x {@code [1, C, H, W]} in [-1,1], not changed
   * @param model {@code null} where none ran
   */
  public static Result apply(
      Problem problem, NDArray x, LatentDiffusionModel model, Conditioning conditioning) {
    boolean denoises = model != null && model.pixelSpace() && model.proximal() == null;
    if (denoises && !problem.noise().isNone() && overfitted(problem, x)) {
      try (TensorScope scope = new TensorScope()) {
        double sigma = problem.effectiveSigma();
        for (int i = 0; i < MOST; i++, sigma *= 2) {
          NDArray denoised = model.denoise(x, sigma, conditioning);
          if (!overfitted(problem, denoised)) {
            return new Result(scope.keep(Outcome.finite(denoised)), sigma);
          }
        }
      }
    }
    return new Result(x, 0);
  }

  private static boolean overfitted(Problem problem, NDArray x) {
    return Verdict.Judgement.of(FinalDataStep.ratio(problem, x)) == Verdict.Judgement.OVERFITTED;
  }
}
