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
import io.priorart.solver.TensorScope;
import io.priorart.solver.VelocityCurve;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * FLAIR (Erbach et al., "Solving Inverse Problems with FLAIR", 2025, arXiv 2506.02680): a
 * variational point estimate {@code mu [N, c, h, w]} of the latent, moved in turns by a flow
 * model's velocity and by the data. From {@code mu = E(A^+ y)} and {@code e_ ~ N(0, I)}, at falling
 * times {@code t} (1 is noise) inside {@code (endTime, 1)},
 *
 * <pre>
 *   e   = (1-t) e_ + sqrt(1 - (1-t)^2) xi,  xi ~ N(0, I)          (trajectory adjustment)
 *   x_t = (1-t) mu + t e
 *   v   = (x_t - z0) / t,   z0 = denoise(x_t / (1-t), sigma = t / (1-t))
 *   e_  = x_t + (1-t) v                                          (the noise that the model sees)
 *   mu  = mu - w(t) ( v - (e - mu) )
 *   mu  = mu - w(t) rate / ||A||^2  d/dmu || y - A(D(mu)) ||^2   up to dataSteps times
 * </pre>
 *
 * and the result is {@code D(mu)}. The velocity is that of the clean estimate, so that every
 * checkpoint serves, whatever it predicts. {@code e_} remembers the noise that belongs to the
 * estimate, the more the smaller {@code t}. The data steps end for a sample whose residual is at
 * the noise, {@code ||r||^2 <= m sigma_y^2}.
 *
 * <p>The weight {@code w(t) = weight q(t) / mean(q)} has {@code q} the reciprocal of the velocity's
 * mean squared error, which {@code model calibrate} measures for a checkpoint. Without a
 * measurement it is the one of Stable Diffusion 3 as the released configuration has it, read off at
 * eleven points: 0.43 at 0.984, largest at about 0.78 with 0.73, 0.30 at 0.196 for weight 0.5.
 *
 * <p>Deviations, and why:
 *
 * <ul>
 *   <li>The data step is divided by {@code ||A||^2}, which makes the paper's 0.1 (missing pixels,
 *       motion blur) and 12 (super-resolution x12, where {@code ||A||^2} is 1/144) nearly one
 *       setting. A sample's rate is halved whenever its misfit has grown, since a decoder's own
 *       gain is not known beforehand.
 *   <li>Times start below the checkpoint's largest level, above which a variance-preserving network
 *       was never trained.
 *   <li>The guidance scale is the solve's, 1 unless given, where the configurations have 2 with an
 *       empty negative prompt.
 *   <li>The discrepancy stop takes the measurement's own noise, for which the code has a constant.
 * </ul>
 */
public final class Flair extends LatentSolver {
  /** Weights of Stable Diffusion 3 for weight 0.5, at times. */
  private static final double[][] USUAL = {
    {0.196, 0.30},
    {0.3, 0.40},
    {0.4, 0.49},
    {0.5, 0.58},
    {0.6, 0.66},
    {0.7, 0.71},
    {0.778, 0.729},
    {0.85, 0.71},
    {0.9, 0.66},
    {0.95, 0.55},
    {0.984, 0.43}
  };

  private static final double USUAL_WEIGHT = 0.5;

  public static final SolverMethod<Spec> METHOD =
      new SolverMethod<>(
          "flair",
          "Variational estimate moved by a flow's velocity and by the data in turns; latent",
          List.of(
              new Citation(
                  "erbach2025flair",
                  "Erbach, Julius and Narnhofer, Dominik and Dombos, Andreas and Schiele, Bernt and"
                      + " Lenssen, Jan Eric and Schindler, Konrad",
                  "Solving Inverse Problems with FLAIR",
                  "arXiv",
                  2025,
                  "2506.02680")),
          Set.of(Need.MODEL, Need.LINEAR, Need.DECODER_GRADIENT, Need.EVEN_NOISE),
          Spec.class,
          Map.of(
              "fast", new Spec(20, 8, 0.3, 0.5, 0.18), "paper", new Spec(50, 15, 0.1, 0.5, 0.18)),
          Flair::new);

  /**
   * Parameters.
   *
   * @param steps denoiser evaluations
   * @param dataSteps most gradient steps on the data at each
   * @param rate of a data step, times the operator's squared norm
   * @param weight mean of w(t)
   * @param endTime where times end
   */
  public record Spec(
      @Parameter(doc = "Denoiser evaluations", min = 1, max = 1000) int steps,
      @Parameter(doc = "Most gradient steps on the data after each", min = 1, max = 1000)
          int dataSteps,
      @Parameter(
              doc = "Rate of a gradient step on the data, relative to the operator's norm",
              min = 1e-6,
              max = 100)
          double rate,
      @Parameter(doc = "Mean weight of the prior's velocity", min = 0.001, max = 1) double weight,
      @Parameter(doc = "Time (share of noise) at which the prior ends", min = 0.001, max = 0.9)
          double endTime) {}

  private final Spec spec;

  public Flair(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  /** Of {@code steps} times strictly between {@code start} and the end, falling. */
  static double[] times(int steps, double start, double end) {
    double[] times = new double[steps];
    for (int i = 0; i < steps; i++) {
      times[i] = start + (end - start) * (i + 1) / (steps + 1);
    }
    return times;
  }

  private double weight(VelocityCurve curve, double t) {
    return spec.weight() * (curve == null ? usual(t) / USUAL_WEIGHT : curve.trust(t));
  }

  private static double usual(double t) {
    int above = 0;
    while (above < USUAL.length && USUAL[above][0] < t) {
      above++;
    }
    if (above == 0 || above == USUAL.length) {
      return USUAL[Math.min(above, USUAL.length - 1)][1];
    }
    double[] low = USUAL[above - 1];
    double[] high = USUAL[above];
    return low[1] + (high[1] - low[1]) * (t - low[0]) / (high[0] - low[0]);
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
    double largest = schedule.sigma(schedule.trainTimesteps() - 1);
    double[] times = times(spec.steps(), largest / (1 + largest), spec.endTime());
    return new Steps() {
      @Override
      public int count() {
        return times.length;
      }

      /** The estimate and the noise that belongs to it. */
      @Override
      public NDList start() {
        context.checkpoint();
        NDArray mu = model.encode(operator.pseudoInverse(y.measurement(), Latino.RCOND));
        return new NDList(mu, noise(context, work, model, chains));
      }

      @Override
      public NDList next(int i, NDList state) {
        double t = times[i];
        double w = weight(model.velocityErrors(), t);
        NDArray mu = state.get(0);
        NDArray fresh = noise(context, work, model, chains);
        NDArray e = state.get(1).mul(1 - t).add(fresh.mul(Math.sqrt(1 - (1 - t) * (1 - t))));
        NDArray noisy = mu.mul(1 - t).add(e.mul(t));
        context.checkpoint();
        NDArray clean = model.denoise(noisy.div(1 - t), t / (1 - t), context.conditioning());
        NDArray v = noisy.sub(clean).div(t);
        NDArray moved = mu.mul(1 - w).add(e.sub(v).mul(w));
        return new NDList(fitted(moved, w, i), noisy.add(v.mul(1 - t)));
      }

      private NDArray fitted(NDArray start, double w, int i) {
        NDArray mu = start;
        NDArray picture = null;
        double rms = Double.NaN;
        double[] rate = new double[chains];
        // without any data (a zero operator) there is nothing to follow
        Arrays.fill(rate, norm == 0 ? 0 : w * spec.rate() / norm);
        double[] before = new double[chains];
        Arrays.fill(before, Double.POSITIVE_INFINITY);
        for (int k = 0; k < spec.dataSteps(); k++) {
          context.checkpoint();
          NDArray moved;
          try (TensorScope scope = new TensorScope();
              Linearization decoder = model.decodeAt(mu)) {
            if (picture != null) {
              picture.close();
            }
            picture = scope.keep(decoder.value());
            NDArray residual = y.residual(picture);
            rms = y.rms(residual);
            double[] squares = y.meanSquares(residual);
            double[] step = new double[chains];
            boolean any = false;
            for (int n = 0; n < chains; n++) {
              rate[n] *= squares[n] > before[n] ? 0.5 : 1;
              before[n] = squares[n];
              boolean fits = squares[n] <= y.sigma() * y.sigma();
              step[n] = fits ? 0 : rate[n];
              any |= !fits;
            }
            if (!any || Double.isNaN(rms)) {
              break;
            }
            context.checkpoint();
            NDArray gradient = decoder.pullback(operator.adjoint(residual.mul(-2)));
            moved = scope.keep(mu.sub(Observation.scale(gradient, step)));
          }
          if (k > 0) {
            mu.close();
          }
          mu = moved;
        }
        context.step(i + 1, times.length, rms);
        context.estimate(i + 1, picture);
        picture.close();
        return mu;
      }

      @Override
      public NDArray pictures(NDList state) {
        context.checkpoint();
        return model.decode(state.get(0));
      }
    };
  }
}
