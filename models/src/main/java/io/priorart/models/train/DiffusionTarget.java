package io.priorart.models.train;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;

/**
 * What a denoising network learns to say of {@code z_t = sqrt(alphaBar) z_0 + sqrt(1-alphaBar)
 * eps}: {@code noise eps + signal z_0}.
 */
public enum DiffusionTarget {
  /** The noise (Ho et al. 2020, arXiv 2006.11239). */
  EPSILON("epsilon") {
    @Override
    double noise(double alphaBar) {
      return 1;
    }

    @Override
    double signal(double alphaBar) {
      return 0;
    }
  },
  /** {@code sqrt(alphaBar) eps - sqrt(1-alphaBar) z_0} (Salimans and Ho 2022, arXiv 2202.00512). */
  V("v_prediction") {
    @Override
    double noise(double alphaBar) {
      return Math.sqrt(alphaBar);
    }

    @Override
    double signal(double alphaBar) {
      return -Math.sqrt(1 - alphaBar);
    }
  };

  private final String predictionType;

  DiffusionTarget(String predictionType) {
    this.predictionType = predictionType;
  }

  /**
   * By {@code prediction_type} of a {@code scheduler_config.json}.
   *
   * @throws PriorArtException FAILED_PRECONDITION for one that is not trained here
   */
  public static DiffusionTarget of(String predictionType) {
    for (DiffusionTarget target : values()) {
      if (target.predictionType.equals(predictionType)) {
        return target;
      }
    }
    throw new PriorArtException(
        ErrorKind.FAILED_PRECONDITION,
        "prediction_type: "
            + predictionType
            + " is not trained here, only epsilon and v_prediction");
  }

  /** Its name in a {@code scheduler_config.json}. */
  String predictionType() {
    return predictionType;
  }

  abstract double noise(double alphaBar);

  abstract double signal(double alphaBar);

  /**
   * The weight of a timestep's squared error: {@code min(SNR, gamma)} of the clean estimate's error
   * (Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV 2023, arXiv
   * 2303.09556), as that of this target's, {@code SNR = alphaBar/(1-alphaBar)}: over {@code SNR}
   * for the noise, over {@code SNR + 1} for v.
   *
   * @param gamma 0 weighs all timesteps alike
   */
  double weight(double alphaBar, double gamma) {
    if (gamma == 0) {
      return 1;
    }
    double snr = alphaBar / (1 - alphaBar);
    // z_t given, target = noise (z_t - a z_0) / s + signal z_0: so much of z_0 is an error of 1
    double a = Math.sqrt(alphaBar);
    double s = Math.sqrt(1 - alphaBar);
    double clean = s / (noise(alphaBar) * a - signal(alphaBar) * s);
    return Math.min(snr, gamma) * clean * clean;
  }
}
