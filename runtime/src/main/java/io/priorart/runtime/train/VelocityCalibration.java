package io.priorart.runtime.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.Prior;
import io.priorart.models.train.TrainingPicture;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.TensorScope;
import io.priorart.solver.VelocityCurve;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * How well a latent checkpoint knows the velocity {@code v = eps - z0} on pictures' latents, by
 * time: with {@code z0 = E(x)} and {@code x_t = (1-t) z0 + t eps}, the mean over latent elements
 * and pictures of
 *
 * <pre>
 *   || (x_t - denoise(x_t / (1-t), t / (1-t))) / t - (eps - z0) ||^2
 * </pre>
 *
 * one noise for each picture and time, each picture with its caption, without guidance.
 */
public final class VelocityCalibration {
  private static final int TIMES = 20;

  private VelocityCalibration() {}

  /**
   * Measures a prior.
   *
   * @param pictures those smaller than {@code side} are taken whole
   * @param stop polled before every picture
   * @throws PriorArtException FAILED_PRECONDITION for a prior without an auto-encoder; CANCELLED
   */
  public static VelocityCurve measure(
      Prior prior, List<TrainingPicture> pictures, int side, long seed, BooleanSupplier stop) {
    if (prior.traits().pixelSpace()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "model: flair's weights are measured of latent priors; this one has no auto-encoder");
    }
    double largest = prior.schedule().sigma(prior.schedule().trainTimesteps() - 1);
    double end = largest / (1 + largest);
    List<Double> times = new ArrayList<>();
    for (int i = 0; i < TIMES; i++) {
      times.add(end * (i + 0.5) / TIMES);
    }
    double[] sums = new double[TIMES];
    long elements = 0;
    NoiseSource random = new NoiseSource(seed);
    for (int k = 0; k < pictures.size(); k++) {
      if (stop.getAsBoolean()) {
        throw new PriorArtException(ErrorKind.CANCELLED, "the calibration was stopped");
      }
      TrainingPicture picture = pictures.get(k);
      int width = Math.min(side, picture.width());
      int height = Math.min(side, picture.height());
      LatentDiffusionModel model = prior.bind(height, width);
      random.restart(seed, k);
      elements += model.latentShape().size();
      try (NDManager manager = model.manager().newSubManager()) {
        String caption = prior.traits().text() ? picture.caption() : "";
        Conditioning text = model.condition(manager, new Prompt(caption, "", 1));
        NDArray clean = model.encode(picture.middle(width, height).to(manager));
        for (int i = 0; i < TIMES; i++) {
          sums[i] += squaredError(model, clean, times.get(i), text, random);
        }
      }
    }
    List<Double> errors = new ArrayList<>();
    for (double sum : sums) {
      errors.add(sum / elements);
    }
    return new VelocityCurve(times, errors);
  }

  private static double squaredError(
      LatentDiffusionModel model, NDArray clean, double t, Conditioning text, NoiseSource random) {
    try (TensorScope scope = new TensorScope()) {
      NDArray eps = random.normal(clean.getManager(), clean.getShape());
      NDArray noisy = clean.mul(1 - t).add(eps.mul(t));
      NDArray found = noisy.sub(model.denoise(noisy.div(1 - t), t / (1 - t), text)).div(t);
      double sum = 0;
      for (float v : HostTensor.of(found.sub(eps.sub(clean))).values()) {
        sum += (double) v * v;
      }
      return sum;
    }
  }
}
