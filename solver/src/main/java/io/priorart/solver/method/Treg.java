package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import io.priorart.solver.TimestepSpacing;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Regularisation by texts (Kim et al., ICLR 2025, arXiv 2311.15658, algorithm 1): sampling guided
 * by a prompt (classifier-free guidance), in which now and then the data is put into the decoded
 * clean estimate. With {@code z} the latent in variance-preserving form, {@code z0 = denoise(z)}
 * and {@code eps} the noise that goes with it, and {@code a} alphaBar of the next step, every
 * {@code every} steps until {@code until} of them
 *
 * <pre>
 *   x  = argmin_u  ||u - D(z0)||^2 + ||A u - y||^2 / lambda
 *   z_ = a E(x) + (1-a) z0
 *   z  = sqrt(a) z_ + (1-a) eps + sqrt(a (1-a)) xi,   xi ~ N(0, I)
 * </pre>
 *
 * (the noise's variance adds up to {@code 1-a}), and DDIM (eta = 0) at the other steps. The result
 * is the decoded last estimate. No gradients.
 *
 * <p>Prompt, negative prompt and guidance scale are the solve's. Adaptive negation ({@code
 * negation}): after a data step the released code takes ten steps of Adam that lower the inner
 * product {@code <f, u_t>} of the negative prompt's tokens {@code u_t} with an embedding {@code f}
 * of the picture {@code x}. That gradient is constant, so Adam moves each token by {@code -10
 * negation sign(f)}, which is what is done here. {@code f} wants the image tower that belongs to
 * the text encoder; checkpoints for sampling do not carry one. The substitute is what the prompt
 * says of the picture: the mean over its tokens less the negative prompt's, {@code f = mean_t(c_t)
 * - mean_t(u_t)}. It has effect where the guidance scale is not 1 (the paper's is 4 to 5); without
 * text there is nothing to negate. The released code leaves it out unless told, as its examples do;
 * {@code paper} has it.
 *
 * <p>Deviations, and why: {@code lambda} is in proportion to the measurement's variance in preset
 * {@code fast} ({@code weight}), because the paper's constant of 1e-4 fits the noise of a
 * measurement that has more of it; {@code x} is exact, where the paper takes five iterations of
 * conjugate gradients; the encoder's mean is taken, not a sample. {@code fast} goes on until the
 * end: the paper's last 15 % without data leave the residual at 2.8 times the noise on the Gaussian
 * oracle. Where {@code until} is 1 the last step has one whatever {@code every} is; the first comes
 * after {@code every - 1} without, where the released code begins with one. {@code fast}'s weight
 * was the best of 0.3, 3, 30 and 100 for blur on a tuning photograph (18.1, 24.2, 24.9 and 24.8 dB;
 * super-resolution gains 0.15 dB over 0.3, missing pixels lose 0.04): the exact {@code x} inverts a
 * blur down to its noise where five iterations would have stopped.
 */
public final class Treg extends LatentSolver {
  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "treg",
          "Sampling by a prompt with the data put into the decoded estimate; latent, no gradients",
          List.of(ProxDiffusion.TREG),
          Set.of(Need.MODEL, Need.LINEAR, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(50, 2, 1, 0, 30, 0), "paper", new Spec(200, 3, 0.85, 1e-4, 0, 8e-4)),
          Treg::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param every steps between two data steps
   * @param until share of the steps after which no data step is taken; all but 1 leave the last
   *     step without one
   * @param lambda of the data step; 0 takes {@code weight}
   * @param weight {@code lambda} in units of the measurement's variance
   * @param negation learning rate of the adaptive negation; 0 for none
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(doc = "Steps between two data steps", min = 1, max = 1000) int every,
      @Parameter(doc = "Share of the steps after which no data step is taken", min = 0, max = 1)
          double until,
      @Parameter(
              doc = "Trust in the estimate against the data; 0 takes weight",
              unit = "variance on [-1,1]",
              min = 0,
              max = 100)
          double lambda,
      @Parameter(doc = "The same relative to the measurement's own variance", min = 0, max = 1000)
          double weight,
      @Parameter(
              doc =
                  "Learning rate of the negative prompt's adaptive negation, against the prompt in"
                      + " place of an image embedding; 0 for none",
              min = 0,
              max = 1)
          double negation) {
    public Spec {
      if (lambda == 0 && weight == 0) {
        throw PriorArtException.badField("weight", "must be more than 0 where lambda is 0");
      }
      if (until < 1 && every - 1 >= until * steps) {
        throw PriorArtException.badField(
            "until",
            "must leave a step for the data, more than "
                + (every - 1.0) / steps
                + ", was "
                + until);
      }
    }
  }

  /** Of the embedding's {@code [1, tokens, width]}. */
  private static final int[] TOKENS = {1};

  private static final int ADAM_STEPS = 10;

  private final Spec spec;

  public Treg(Spec spec) {
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
    NoiseSchedule schedule = model.schedule();
    int[] timesteps = schedule.timesteps(spec.steps(), TimestepSpacing.TRAILING);
    double lambda = spec.lambda() > 0 ? spec.lambda() : spec.weight() * y.sigma() * y.sigma();
    Conditioning given = context.conditioning();
    NDArray away = given.guided() && spec.negation() > 0 ? negation(given) : null;
    if (away != null) {
      away.attach(work);
    }
    double[] gamma = new double[chains];
    Arrays.fill(gamma, Math.min(MAX_GAMMA, 1 / lambda));
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
        boolean last = i == timesteps.length - 1;
        double at = schedule.alphaBar(timesteps[i]);
        double as = last ? 1 : schedule.alphaBar(timesteps[i + 1]);
        context.checkpoint();
        NDArray clean = VariancePreserving.denoised(model, z, at, negated(i));
        NDArray eps = z.sub(clean.mul(Math.sqrt(at))).div(Math.sqrt(1 - at));
        if (!takesData(i, last)) {
          context.step(i + 1, timesteps.length);
          return new NDList(clean.mul(Math.sqrt(as)).add(eps.mul(Math.sqrt(1 - as))));
        }
        context.checkpoint();
        NDArray x = model.decode(clean);
        context.step(i + 1, timesteps.length, y.rms(y.residual(x)));
        context.estimate(i + 1, x);
        context.checkpoint();
        NDArray consistent = model.encode(y.proximal(operator, x, gamma));
        NDArray mixed = consistent.mul(as).add(clean.mul(1 - as));
        NDArray next = mixed.mul(Math.sqrt(as)).add(eps.mul(1 - as));
        if (last) {
          return new NDList(next);
        }
        NDArray fresh = noise(context, work, model, chains);
        return new NDList(next.add(fresh.mul(Math.sqrt(as * (1 - as)))));
      }

      /** What step {@code i} is told, after the data steps before it. */
      private Conditioning negated(int i) {
        if (away == null) {
          return given;
        }
        long dataSteps = IntStream.range(0, i).filter(k -> takesData(k, false)).count();
        return given.withNegative(given.negative().add(away.mul(dataSteps)));
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }

  private boolean takesData(int i, boolean last) {
    return ((i + 1) % spec.every() == 0 || last) && i < spec.until() * spec.steps();
  }

  /** What a data step adds to each token of the negative prompt. */
  private NDArray negation(Conditioning text) {
    return TensorScope.only(
        () ->
            text.positive()
                .mean(TOKENS, true)
                .sub(text.negative().mean(TOKENS, true))
                .sign()
                .mul(-ADAM_STEPS * spec.negation()));
  }
}
