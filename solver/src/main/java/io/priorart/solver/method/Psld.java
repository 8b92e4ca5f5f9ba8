package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Citation;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TimestepSpacing;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Posterior sampling with latent diffusion (Rout et al., NeurIPS 2023, arXiv 2307.00619, algorithm
 * 2): DDIM (eta = 0) on the latent {@code z} in variance-preserving form, pushed by two misfits.
 * With {@code z0 = denoise(z)}, {@code x = D(z0)} and {@code x+ = x + A^T (y - A x) / ||A||^2},
 *
 * <pre>
 *   z = z' - weight d/dz ( omega || y - A x || + gamma || E(x+) - z0 || )
 * </pre>
 *
 * the second, "gluing", term asking that the latent is what the encoder makes of the picture once
 * the data is in it. Both norms are not squared and each sample's own. A step costs an evaluation
 * and a pullback of each network.
 *
 * <p>Deviations, and why: {@code A^T y + (I - A^T A) x} is the data put into the picture only for
 * orthonormal rows, as a mask has them; dividing by {@code ||A||^2} leaves a mask's as it is and
 * makes a step towards the data of every other operator's. The released code adds fresh noise to
 * {@code A x}, transposes blurs by the identity, samples the encoder's posterior and pastes the
 * known pixels of the truth: here is no fresh noise, the true adjoint, the encoder's mean, and no
 * truth. Its guidance of 7.5 with an empty prompt on both branches is guidance by nothing; one
 * branch is evaluated. Weights count per thousand steps, as in {@link Dps}; with few steps the
 * paper's overshoot, so that {@code polyak} bounds a step in {@code fast} ({@link Guidance#step},
 * of both terms together). A tuning photograph with 70 % missing, 80 steps: 28.4 dB with half of
 * the paper's weights and no bound, 29.0 with half and the bound, 30.4 with the paper's and the
 * bound.
 */
public final class Psld extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "psld",
          "Latent posterior sampling with a term that glues latent and encoder; all gradients",
          List.of(
              new Citation(
                  "rout2023psld",
                  "Rout, Litu and Raoof, Negin and Daras, Giannis and Caramanis, Constantine and"
                      + " Dimakis, Alexandros G. and Shakkottai, Sanjay",
                  "Solving Linear Inverse Problems Provably via Posterior Sampling with Latent"
                      + " Diffusion Models",
                  "NeurIPS",
                  2023,
                  "2307.00619")),
          Set.of(
              Need.MODEL,
              Need.LINEAR,
              Need.DECODER_GRADIENT,
              Need.ENCODER_GRADIENT,
              Need.DENOISER_GRADIENT,
              Need.EVEN_NOISE),
          Spec.class,
          Map.of("fast", new Spec(80, 1, 0.1, true), "paper", new Spec(1000, 1, 0.1, false)),
          Psld::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param omega weight of the misfit, per thousand steps
   * @param gamma weight of the gluing term, per thousand steps
   * @param polyak whether a step ends where the linearised sum of both meets the noise
   */
  public record Spec(
      @Parameter(doc = "DDIM steps, each with the gradients of all networks", min = 1, max = 1000)
          int steps,
      @Parameter(doc = "Weight of the misfit, per thousand steps", min = 0, max = 100) double omega,
      @Parameter(doc = "Weight of the gluing term, per thousand steps", min = 0, max = 100)
          double gamma,
      @Parameter(doc = Guidance.POLYAK) boolean polyak) {}

  /** Both terms' gradient in the clean latent, and by how much they exceed what noise explains. */
  private record Pull(NDArray gradient, double[] excess) {}

  private final Spec spec;

  public Psld(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  Steps begin(
      Problem problem,
      LatentDiffusionModel model,
      SolveContext context,
      NDManager work,
      int chains) {
    LinearOperator operator = problem.linearOperator();
    Observation y = new Observation(problem, work, chains);
    double norm = y.squaredNorm(operator);
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    double scale = VariancePreserving.perStep(1, spec.steps());
    return new Steps() {
      @Override
      public int count() {
        return timesteps.length;
      }

      @Override
      public NDList start() {
        return new NDList(noise(context, work, model, chains));
      }

      @Override
      public NDList next(int i, NDList state) {
        NDArray z = state.get(0);
        double at = schedule.alphaBar(timesteps[i]);
        double as = i == timesteps.length - 1 ? 1 : schedule.alphaBar(timesteps[i + 1]);
        double root = Math.sqrt(at);
        context.checkpoint();
        try (Linearization denoiser =
            model.denoiseAt(z.div(root), Math.sqrt((1 - at) / at), context.conditioning())) {
          NDArray clean = denoiser.value();
          Pull pull = misfits(clean, i);
          context.checkpoint();
          NDArray gradient = denoiser.pullback(pull.gradient()).div(root);
          NDArray moved = VariancePreserving.ddim(z, clean, at, as);
          return new NDList(
              moved.sub(Guidance.step(gradient, pull.excess(), scale, spec.polyak())));
        }
      }

      private Pull misfits(NDArray clean, int i) {
        context.checkpoint();
        try (Linearization decoder = model.decodeAt(clean)) {
          NDArray x = decoder.value();
          NDArray residual = y.residual(x);
          context.step(i + 1, timesteps.length, y.rms(residual));
          context.estimate(i + 1, x);
          NDArray glued = x.add(operator.adjoint(residual).div(norm));
          context.checkpoint();
          try (Linearization encoder = model.encodeAt(glued)) {
            NDArray gap = encoder.value().sub(clean);
            NDArray unit = Observation.scale(gap, Observation.inverseNorms(gap)).mul(spec.gamma());
            context.checkpoint();
            NDArray picture = encoder.pullback(unit);
            // d x+/dx is symmetric
            NDArray passed =
                picture.sub(operator.adjoint(y.seen(operator.apply(picture))).div(norm));
            NDArray data =
                operator.adjoint(Observation.scale(residual, Observation.inverseNorms(residual)));
            context.checkpoint();
            NDArray gradient = decoder.pullback(passed.sub(data.mul(spec.omega()))).sub(unit);
            double[] excess = y.excess(residual);
            double[] gaps = Observation.sumsOfSquares(gap);
            for (int n = 0; n < gaps.length; n++) {
              excess[n] = spec.omega() * excess[n] + spec.gamma() * Math.sqrt(gaps[n]);
            }
            return new Pull(gradient, excess);
          }
        }
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }
}
