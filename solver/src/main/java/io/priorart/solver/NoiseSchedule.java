package io.priorart.solver;

/**
 * What a checkpoint was trained on: its discrete noise levels. Host doubles only.
 *
 * <p>Timestep {@code t} runs 0 (least noise) to {@code trainTimesteps() - 1}. For a
 * variance-preserving checkpoint {@code x_t = sqrt(alphaBar_t) x_0 + sqrt(1 - alphaBar_t) eps} and
 * {@code sigma_t = sqrt((1-alphaBar_t)/alphaBar_t)}.
 */
public interface NoiseSchedule {
  int trainTimesteps();

  /** {@code alphaBar} at a whole timestep, in (0, 1), decreasing in {@code t}. */
  double alphaBar(int timestep);

  /** Variance-exploding level {@code sqrt((1-alphaBar)/alphaBar)}, increasing in {@code t}. */
  default double sigma(int timestep) {
    double a = alphaBar(timestep);
    return Math.sqrt((1 - a) / a);
  }

  /**
   * The (fractional) timestep at a noise level: log-sigma interpolated linearly between whole
   * timesteps, clamped to the table's ends.
   */
  double timestep(double sigma);

  /**
   * {@code count} descending timesteps.
   *
   * @param count 1 to {@link #trainTimesteps()}
   */
  int[] timesteps(int count, TimestepSpacing spacing);
}
