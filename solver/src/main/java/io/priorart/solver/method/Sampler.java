package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;
import java.util.List;

/**
 * Draws from a prior without a measurement: how the reverse process is integrated.
 *
 * <p>All in variance-exploding form, {@code z = z0 + sigma eps}, with {@code D = denoise(z, sigma)}
 * and {@code s} the next level. A step keeps the amount {@code k} of the noise in {@code z} and
 * makes up the rest of {@code s} with fresh noise {@code xi}:
 *
 * <pre>z' = D' + k/sigma (z - D') + sqrt(s^2 - k^2) xi</pre>
 *
 * so a sampler is its {@code k}, and whether {@code D'} is {@code D} or looks ahead by the last
 * estimate. Which levels are visited is {@link Sampling}'s affair.
 */
public enum Sampler {
  /**
   * {@code k = s}: deterministic DDIM (Song et al. 2021, arXiv 2010.02502, equation 12 with eta =
   * 0), which is Euler's method in sigma.
   */
  DDIM("ddim", "DDIMScheduler", TimestepSpacing.LEADING),

  /**
   * {@code k = s^2/sigma}: the same with eta = 1, the ancestral sampling of DDPM (Ho et al. 2020,
   * arXiv 2006.11239, equation 7).
   */
  DDPM("ddpm", "DDPMScheduler", TimestepSpacing.LEADING),

  /**
   * {@code k = s}: Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without
   * churn).
   */
  EULER("euler", "EulerDiscreteScheduler", TimestepSpacing.LINSPACE),

  /** {@code k = s^2/sigma}: DDPM's step on Euler's levels. */
  EULER_ANCESTRAL("euler-ancestral", "EulerAncestralDiscreteScheduler", TimestepSpacing.LINSPACE),

  /**
   * {@code k = s} and {@code D' = D + h/(2 h_last) (D - D_last)}, {@code h = log(sigma/s)}:
   * DPM-Solver++(2M), midpoint (Lu et al. 2022, arXiv 2211.01095, algorithm 2); first order at the
   * first step and at the last.
   */
  DPM_SOLVER_PLUS_PLUS("dpm-solver++", "DPMSolverMultistepScheduler", TimestepSpacing.LINSPACE),

  /** The same with {@code k = s^2/sigma}: SDE-DPM-Solver++(2M) (arXiv 2211.01095, section 6). */
  SDE_DPM_SOLVER_PLUS_PLUS(
      "sde-dpm-solver++", "DPMSolverMultistepScheduler", TimestepSpacing.LINSPACE),

  /**
   * {@code k = 0}: what consistency models are sampled by (Song et al. 2023, arXiv 2303.01469,
   * algorithm 1; Luo et al. 2023, arXiv 2310.04378), in about eight steps. With a prior that is no
   * consistency model it forgets what the steps before have drawn. The boundary scalings are left
   * out: they differ from 0 and 1 by less than 1e-5 at timestep 19, the lowest in use.
   */
  LCM("lcm", "LCMScheduler", TimestepSpacing.LEADING),

  /**
   * {@code k = s}, which for {@code sigma = t/(1-t)} is Euler's method along the straight path
   * (Esser et al. 2024, arXiv 2403.03206).
   */
  FLOW_MATCH_EULER("flow-match-euler", "FlowMatchEulerDiscreteScheduler", TimestepSpacing.LINSPACE);

  private final String id;
  private final String configName;
  private final TimestepSpacing defaultSpacing;

  Sampler(String id, String configName, TimestepSpacing defaultSpacing) {
    this.id = id;
    this.configName = configName;
    this.defaultSpacing = defaultSpacing;
  }

  /** Its name on the command line. */
  public String id() {
    return id;
  }

  /** The {@code _class_name} of a {@code scheduler_config.json} that means it. */
  public String configName() {
    return configName;
  }

  /** What a {@code scheduler_config.json} without {@code timestep_spacing} means. */
  public TimestepSpacing defaultSpacing() {
    return defaultSpacing;
  }

  /** All names, the default first. */
  public static List<String> ids() {
    return Arrays.stream(values()).map(Sampler::id).toList();
  }

  /**
   * The sampler of a name.
   *
   * @throws PriorArtException NOT_FOUND with the nearest name
   */
  public static Sampler byId(String id) {
    return Arrays.stream(values())
        .filter(s -> s.id.equals(id))
        .findFirst()
        .orElseThrow(() -> Names.notFound("scheduler", id, ids()));
  }

  /** {@link Sampling#sample} on trailing timesteps, ending at the clean estimate. */
  public NDArray sample(
      LatentDiffusionModel model, NDArray noise, int steps, SolveContext context) {
    return Sampling.of(this).sample(model, noise, steps, context);
  }

  /** Deviation of the noise that a step from {@code sigma} to {@code next} keeps. */
  double kept(double sigma, double next) {
    return switch (this) {
      case DDIM, EULER, DPM_SOLVER_PLUS_PLUS, FLOW_MATCH_EULER -> next;
      case DDPM, EULER_ANCESTRAL, SDE_DPM_SOLVER_PLUS_PLUS -> next * next / sigma;
      case LCM -> 0;
    };
  }

  /** Whether a step looks ahead by the estimate before. */
  boolean multistep() {
    return configName.equals(DPM_SOLVER_PLUS_PLUS.configName);
  }

  /** Whether it counts in sigma, not in timesteps of a variance-preserving state. */
  boolean inSigma() {
    return this == EULER || this == EULER_ANCESTRAL;
  }
}
