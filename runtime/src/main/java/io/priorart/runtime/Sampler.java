package io.priorart.runtime;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.function.BooleanSupplier;

/** Draws from a prior without a measurement. */
public final class Sampler {
  private Sampler() {}

  /**
   * Deterministic DDIM (Song et al. 2021, arXiv 2010.02502, equation 12 with eta = 0) in
   * variance-exploding form: {@code z_s = z0 + sigma_s / sigma_t (z_t - z0)}, ending at sigma 0.
   *
   * @param noise standard normal {@code [N, c, h, w]}
   * @param steps 1 to the schedule's training timesteps
   * @return decoded pictures {@code [N, 3, H, W]}, not clamped
   */
  public static NDArray ddim(
      LatentDiffusionModel model,
      NDArray noise,
      Conditioning conditioning,
      int steps,
      BooleanSupplier cancelled) {
    NoiseSchedule schedule = model.schedule();
    if (steps < 1 || steps > schedule.trainTimesteps()) {
      throw PriorArtException.badField(
          "steps", "must be 1 to " + schedule.trainTimesteps() + ", was " + steps);
    }
    int[] timesteps = schedule.timesteps(steps, TimestepSpacing.TRAILING);
    // a VP checkpoint starts from unit noise: z = x_T / sqrt(alphaBar_T)
    NDArray z = noise.div(Math.sqrt(schedule.alphaBar(timesteps[0])));
    for (int i = 0; i < steps; i++) {
      if (cancelled.getAsBoolean()) {
        throw new PriorArtException(ErrorKind.CANCELLED, "the sampling was cancelled");
      }
      double sigma = schedule.sigma(timesteps[i]);
      double next = i + 1 < steps ? schedule.sigma(timesteps[i + 1]) : 0;
      try (TensorScope scope = new TensorScope()) {
        NDArray clean = model.denoise(z, sigma, conditioning);
        z = scope.keep(clean.add(z.sub(clean).mul(next / sigma)));
      }
    }
    return model.decode(z);
  }
}
