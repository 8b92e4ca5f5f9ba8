package io.priorart.models;

import io.priorart.models.network.ConfigNode;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TimestepSpacing;
import io.priorart.solver.method.Sampler;
import io.priorart.solver.method.Sampling;
import java.util.Arrays;
import java.util.Locale;

/**
 * How a {@code scheduler_config.json} samples. Keys that are absent mean what the diffusers class
 * of the sampler takes by default; keys that belong to other classes are not read, as in diffusers'
 * {@code from_config}.
 */
final class SchedulerConfig {
  private SchedulerConfig() {}

  /**
   * The sampling of a configuration.
   *
   * @param id a {@link Sampler}'s name, to take that with the configuration's settings; {@code
   *     null} for the one that the configuration names
   * @throws PriorArtException NOT_FOUND for another id, FAILED_PRECONDITION or INVALID_ARGUMENT
   *     naming the key that is not supported
   */
  static Sampling sampling(ConfigNode c, String id) {
    Sampler sampler = id == null ? named(c) : Sampler.byId(id);
    boolean flow = sampler == Sampler.FLOW_MATCH_EULER;
    if (flow != PredictionType.isFlowMatching(c)) {
      throw PriorArtException.badField(
          "scheduler",
          sampler.id()
              + " does not fit "
              + c.source()
              + ": a flow-matching checkpoint is sampled by flow-match-euler, and no other is");
    }
    boolean clips = sampler == Sampler.DDIM || sampler == Sampler.DDPM || sampler == Sampler.LCM;
    if (clips) {
      c.requireUnset("thresholding");
    }
    boolean karras = false;
    boolean endsAtZero = true;
    int firstOrderEnds = 0;
    boolean largeVariance = false;
    switch (sampler) {
      case DDIM -> endsAtZero = c.flag("set_alpha_to_one", true);
      case DDPM -> largeVariance = largeVariance(c);
      case EULER -> {
        c.requireUnset("use_exponential_sigmas", "use_beta_sigmas", "sigma_min", "sigma_max");
        c.requireDefault("interpolation_type", "linear");
        c.requireDefault("timestep_type", "discrete");
        karras = c.flag("use_karras_sigmas", false);
        endsAtZero = endsAtZero(c);
      }
      case DPM_SOLVER_PLUS_PLUS, SDE_DPM_SOLVER_PLUS_PLUS -> {
        requireDpmSolver(c);
        karras = c.flag("use_karras_sigmas", false);
        endsAtZero = endsAtZero(c);
        firstOrderEnds =
            c.flag("euler_at_final", false)
                ? Integer.MAX_VALUE
                : c.flag("lower_order_final", true) ? 15 : 0;
      }
      case FLOW_MATCH_EULER ->
          c.requireUnset(
              "use_dynamic_shifting",
              "shift_terminal",
              "invert_sigmas",
              "use_karras_sigmas",
              "use_exponential_sigmas",
              "use_beta_sigmas",
              "stochastic_sampling");
      case EULER_ANCESTRAL, LCM -> {}
    }
    return new Sampling(
        sampler,
        spacing(c, sampler.defaultSpacing()),
        karras,
        endsAtZero,
        clips && c.flag("clip_sample", sampler != Sampler.LCM)
            ? c.number("clip_sample_range", 1)
            : Double.POSITIVE_INFINITY,
        largeVariance,
        firstOrderEnds,
        c.integer("original_inference_steps", 50, 1, 1_000_000),
        flow ? c.number("shift", 1) : 1);
  }

  private static Sampler named(ConfigNode c) {
    String name = c.text("_class_name", Sampler.DDIM.configName());
    Sampler found =
        Arrays.stream(Sampler.values())
            .filter(s -> s.configName().equals(name))
            .findFirst()
            .orElseThrow(
                () ->
                    c.bad(
                        "_class_name",
                        name
                            + " is not supported, only "
                            + Arrays.stream(Sampler.values())
                                .map(Sampler::configName)
                                .distinct()
                                .toList()
                            + "; name a sampler of "
                            + Sampler.ids()
                            + " to use instead"));
    if (found == Sampler.DPM_SOLVER_PLUS_PLUS
        && c.text("algorithm_type", "dpmsolver++").equals("sde-dpmsolver++")) {
      return Sampler.SDE_DPM_SOLVER_PLUS_PLUS;
    }
    return found;
  }

  private static TimestepSpacing spacing(ConfigNode c, TimestepSpacing defaultSpacing) {
    String name = c.text("timestep_spacing", defaultSpacing.name().toLowerCase(Locale.ROOT));
    return switch (name) {
      case "leading" -> TimestepSpacing.LEADING;
      case "trailing" -> TimestepSpacing.TRAILING;
      case "linspace" -> TimestepSpacing.LINSPACE;
      default ->
          throw c.bad(
              "timestep_spacing", name + " is not supported, only leading, trailing, linspace");
    };
  }

  private static boolean endsAtZero(ConfigNode c) {
    String name = c.text("final_sigmas_type", "zero");
    if (!name.equals("zero") && !name.equals("sigma_min")) {
      throw c.bad("final_sigmas_type", name + " is not supported, only zero, sigma_min");
    }
    return name.equals("zero");
  }

  private static boolean largeVariance(ConfigNode c) {
    String name = c.text("variance_type", "fixed_small");
    if (!name.equals("fixed_small") && !name.equals("fixed_large")) {
      throw c.bad("variance_type", name + " is not supported, only fixed_small, fixed_large");
    }
    return name.equals("fixed_large");
  }

  private static void requireDpmSolver(ConfigNode c) {
    String algorithm = c.text("algorithm_type", "dpmsolver++");
    if (!algorithm.equals("dpmsolver++") && !algorithm.equals("sde-dpmsolver++")) {
      throw c.bad(
          "algorithm_type", algorithm + " is not supported, only dpmsolver++, sde-dpmsolver++");
    }
    c.requireDefault("solver_order", "2");
    c.requireDefault("solver_type", "midpoint");
    c.requireUnset(
        "thresholding",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "use_flow_sigmas");
    double clipped = c.number("lambda_min_clipped", Double.NEGATIVE_INFINITY);
    NoiseSchedule schedule = DiffusionPipeline.schedule(c);
    if (schedule.sigma(schedule.trainTimesteps() - 1) > Math.exp(-clipped)) {
      throw c.bad("lambda_min_clipped", "cuts this beta schedule, which is not supported");
    }
  }
}
