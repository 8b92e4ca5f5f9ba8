package io.priorart.solver.method;

import io.priorart.solver.NoiseSchedule;

/** Descending noise levels for solvers that are free to choose them. */
final class NoiseLevels {
  private static final double RHO = 7;

  private NoiseLevels() {}

  /**
   * {@code sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho}, {@code rho = 7},
   * then 0 (Karras et al., NeurIPS 2022, arXiv 2206.00364, eq. 5).
   *
   * @param count 1 or more
   * @param start lowered to the schedule's largest level
   * @param end raised to the schedule's smallest
   * @return {@code count + 1} levels
   */
  static double[] karras(NoiseSchedule schedule, int count, double start, double end) {
    double max = Math.min(start, schedule.sigma(schedule.trainTimesteps() - 1));
    double min = Math.min(Math.max(end, schedule.sigma(0)), max);
    double high = Math.pow(max, 1 / RHO);
    double low = Math.pow(min, 1 / RHO);
    double[] levels = new double[count + 1];
    for (int i = 0; i < count; i++) {
      levels[i] = count == 1 ? max : Math.pow(high + (low - high) * i / (count - 1), RHO);
    }
    return levels;
  }

  /**
   * Equal ratios from {@code start} to {@code end}, bounded as {@link #karras}.
   *
   * @return {@code count} levels
   */
  static double[] logarithmic(NoiseSchedule schedule, int count, double start, double end) {
    double max = Math.min(start, schedule.sigma(schedule.trainTimesteps() - 1));
    double min = Math.min(Math.max(end, schedule.sigma(0)), max);
    double[] levels = new double[count];
    for (int i = 0; i < count; i++) {
      levels[i] = count == 1 ? max : max * Math.pow(min / max, i / (count - 1.0));
    }
    return levels;
  }
}
