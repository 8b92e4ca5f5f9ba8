package io.priorart.models;

import io.priorart.models.network.ConfigNode;

/**
 * What a denoising network outputs, and how the clean estimate of the variance-exploding latent
 * {@code z = z0 + sigma eps} follows from it: {@code z0 = skip z + out prediction}, with {@code
 * alphaBar = 1/(1+sigma^2)}.
 */
public enum PredictionType {
  /** The noise (Ho et al. 2020): {@code z0 = z - sigma eps}. */
  EPSILON {
    @Override
    double skip(double sigma) {
      return 1;
    }

    @Override
    double out(double sigma) {
      return -sigma;
    }
  },
  /** {@code v = sqrt(alphaBar) eps - sqrt(1-alphaBar) z0} (Salimans and Ho 2022). */
  V_PREDICTION {
    @Override
    double skip(double sigma) {
      return 1 / (1 + sigma * sigma);
    }

    @Override
    double out(double sigma) {
      return -sigma / Math.sqrt(1 + sigma * sigma);
    }
  },
  /** The clean latent itself. */
  SAMPLE {
    @Override
    double skip(double sigma) {
      return 0;
    }

    @Override
    double out(double sigma) {
      return 1;
    }
  };

  abstract double skip(double sigma);

  abstract double out(double sigma);

  /** By {@code prediction_type} of a {@code scheduler_config.json}. */
  static PredictionType of(ConfigNode scheduler) {
    String name = scheduler.text("prediction_type", "epsilon");
    return switch (name) {
      case "epsilon" -> EPSILON;
      case "v_prediction" -> V_PREDICTION;
      case "sample" -> SAMPLE;
      default ->
          throw scheduler.bad(
              "prediction_type", name + " is not supported, only epsilon, v_prediction, sample");
    };
  }
}
