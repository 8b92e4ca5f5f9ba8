package io.priorart.solver.schedule;

import io.priorart.solver.PriorArtException;
import java.util.Arrays;

/**
 * How a checkpoint's noise variances {@code beta_t} run over its {@code T} training steps; the
 * names in a diffusers {@code scheduler_config.json} are {@link #configName()}.
 */
public enum BetaSchedule {
  /**
   * {@code beta_t} evenly spaced from start to end (Ho et al., DDPM, NeurIPS 2020, arXiv
   * 2006.11239).
   */
  LINEAR("linear") {
    @Override
    double beta(int t, int steps, double start, double end) {
      return spaced(t, steps, start, end);
    }
  },
  /**
   * {@code sqrt(beta_t)} evenly spaced (Rombach et al., latent diffusion, CVPR 2022, arXiv
   * 2112.10752).
   */
  SCALED_LINEAR("scaled_linear") {
    @Override
    double beta(int t, int steps, double start, double end) {
      double root = spaced(t, steps, Math.sqrt(start), Math.sqrt(end));
      return root * root;
    }
  },
  /**
   * {@code beta_t = min(0.999, 1 - f((t+1)/T) / f(t/T))} with {@code f(u) = cos^2(pi/2 (u + 0.008)
   * / 1.008)} (Nichol and Dhariwal, ICML 2021, arXiv 2102.09672, eq. 17); start and end are not
   * used.
   */
  SQUAREDCOS_CAP_V2("squaredcos_cap_v2") {
    @Override
    double beta(int t, int steps, double start, double end) {
      return Math.min(0.999, 1 - cosine((t + 1.0) / steps) / cosine((double) t / steps));
    }
  };

  private final String configName;

  BetaSchedule(String configName) {
    this.configName = configName;
  }

  /** The value of {@code beta_schedule} in a scheduler configuration. */
  public String configName() {
    return configName;
  }

  /**
   * The schedule of a configuration.
   *
   * @throws PriorArtException INVALID_ARGUMENT for another name
   */
  public static BetaSchedule of(String configName) {
    return Arrays.stream(values())
        .filter(s -> s.configName.equals(configName))
        .findFirst()
        .orElseThrow(
            () ->
                PriorArtException.badField(
                    "beta_schedule",
                    "must be linear, scaled_linear or squaredcos_cap_v2, was " + configName));
  }

  abstract double beta(int t, int steps, double start, double end);

  private static double spaced(int t, int steps, double from, double to) {
    return steps == 1 ? from : from + (to - from) * t / (steps - 1);
  }

  private static double cosine(double u) {
    double c = Math.cos((u + 0.008) / 1.008 * Math.PI / 2);
    return c * c;
  }
}
