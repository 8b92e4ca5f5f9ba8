package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import io.priorart.solver.Citation;
import io.priorart.solver.Conditioning;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TensorScope;
import io.priorart.solver.method.AdamW;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Null-text inversion (Mokady et al., CVPR 2023, arXiv 2211.09794, algorithm 1): an inversion with
 * the prompt's branch alone gives pivots {@code x*}; then, from the noise down, the embedding
 * {@code u} of the negative prompt of each step is tuned so that the guided step meets the next
 * pivot,
 *
 * <pre>
 *   D = D_u + w (D_c - D_u)
 *   u by Adam, rate (1 - i/(2 n)), on mean( (DDIM(x, D) - x*')^2 );  u starts at the step before's
 *   x &lt;- DDIM(x, D(u))
 * </pre>
 *
 * in variance-preserving form. A step ends when the loss is below {@code tolerance + growth i/n};
 * the paper's program makes one update more, away from the point that was found good enough. Costs
 * up to {@code n pivotIterations} evaluations for the pivots and for each step one and up to {@code
 * iterations + 1} more, with as many pullbacks to the embedding but one.
 *
 * <p>Preset {@code paper} takes the paper's DDIM inversion for the pivots, its 50 steps, rates and
 * thresholds. Preset {@code fast} makes {@link FixedPointInversion}'s pivots: those of 20 steps of
 * DDIM inversion lie further from any path of the sampler than an embedding can mend. Without
 * guidance the embedding has no part in the step and stays as it is.
 */
public final class NullText implements Inverter {
  /** Below this the way up has nothing that the updates could mend. */
  private static final double PIVOT_TOLERANCE = 1e-4;

  public static final InversionMethod<Spec> METHOD =
      new InversionMethod<>(
          "null-text",
          "DDIM inversion, and an empty prompt tuned so that guidance comes back to the picture",
          List.of(
              new Citation(
                  "mokady2023nulltext",
                  "Mokady, Ron and Hertz, Amir and Aberman, Kfir and Pritch, Yael and Cohen-Or,"
                      + " Daniel",
                  "Null-text Inversion for Editing Real Images using Guided Diffusion Models",
                  "CVPR",
                  2023,
                  "2211.09794"),
              DdimInversion.DDIM),
          Set.of(Need.MODEL, Need.TEXT, Need.TEXT_GRADIENT, Need.FLOAT32),
          Spec.class,
          Map.of(
              "fast",
              new Spec(20, 4, 10, 5e-2, 1e-5, 0),
              "paper",
              new Spec(50, 1, 10, 1e-2, 1e-5, 1e-3)),
          NullText::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param pivotIterations most of each step of the way up, as {@link FixedPointInversion}'s; 1 is
   *     the paper's DDIM inversion
   * @param iterations most updates of a step
   * @param rate Adam's at the first step
   * @param tolerance loss at which the first step ends
   * @param growth by how much that has grown at the last
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 1, max = 1000) int steps,
      @Parameter(doc = "Most iterations of each step of the way up", min = 1, max = 1000)
          int pivotIterations,
      @Parameter(doc = "Most updates of the embedding at each step", min = 0, max = 1000)
          int iterations,
      @Parameter(doc = "Adam's rate at the first step", min = 1e-7, max = 10) double rate,
      @Parameter(doc = "Loss at which the first step ends", min = 0, max = 1) double tolerance,
      @Parameter(doc = "Growth of that until the last step", min = 0, max = 1) double growth) {}

  private final Spec spec;

  public NullText(Spec spec) {
    this.spec = ParameterSchema.of(Spec.class).check("", spec);
  }

  @Override
  public Inversion invert(LatentDiffusionModel model, NDArray clean, SolveContext context) {
    NDList pivots = new NDList();
    Conditioning given = context.conditioning();
    Inversion ddim =
        new FixedPointInversion(
                new FixedPointInversion.Spec(spec.steps(), spec.pivotIterations(), PIVOT_TOLERANCE))
            .climb(model, clean, given.positiveAlone(), context, pivots);
    if (!given.guided()) {
      pivots.forEach(NDArray::close);
      return ddim;
    }
    DdimPath path = new DdimPath(model.schedule(), spec.steps());
    List<Inversion.Step> told = new ArrayList<>();
    NDList nulls = new NDList();
    NDArray z;
    try (TensorScope scope = new TensorScope()) {
      z = scope.keep(ddim.noise().mul(path.root(0)));
    }
    NDArray embedding = given.negative();
    for (int i = 0; i < spec.steps(); i++) {
      NDArray goal = pivots.get(spec.steps() - 1 - i);
      double lacking;
      try (TensorScope scope = new TensorScope()) {
        context.checkpoint();
        NDArray withText = model.denoise(z, path.sigma(i), given.positiveAlone());
        Tuned tuned =
            tuned(new Level(path, i, z, goal, withText, given), embedding, model, context);
        embedding = scope.keep(tuned.embedding());
        nulls.add(embedding);
        z.close();
        z = scope.keep(tuned.next());
        lacking = DdimPath.rms(z.sub(goal)) / path.root(i + 1);
        told.add(new Inversion.Step(path.sigma(i), tuned.updates(), lacking));
      }
      goal.close();
      path.requireFinite(context, i, lacking);
      context.step(i + 1, spec.steps());
    }
    z.close();
    return new Inversion(ddim.noise(), nulls, told);
  }

  private record Level(
      DdimPath path, int i, NDArray z, NDArray goal, NDArray withText, Conditioning given) {
    NDArray down(NDArray without) {
      return path.down(i, z, without.add(withText.sub(without).mul(given.guidanceScale())));
    }
  }

  private record Tuned(NDArray embedding, int updates, NDArray next) {}

  private Tuned tuned(Level at, NDArray start, LatentDiffusionModel model, SolveContext context) {
    double progress = (double) at.i() / spec.steps();
    double root = at.path().root(at.i() + 1);
    double sigma = at.path().sigma(at.i());
    double enough = spec.tolerance() + spec.growth() * progress;
    // d next / d D_u
    double share =
        (1 - at.path().sigma(at.i() + 1) / sigma) * (1 - at.given().guidanceScale()) / root;
    try (AdamW adam = new AdamW(start, spec.rate() * (1 - progress / 2), 0)) {
      for (int k = 0; k < spec.iterations(); k++) {
        context.checkpoint();
        Conditioning without = at.given().withNegative(adam.point()).negativeAlone();
        try (TensorScope inner = new TensorScope();
            Linearization denoiser = model.denoiseAtText(at.z(), sigma, without)) {
          NDArray next = at.down(denoiser.value());
          NDArray lacking = next.sub(at.goal()).div(root);
          double loss = lacking.square().mean().getFloat();
          if (loss < enough) {
            return new Tuned(inner.keep(adam.point().duplicate()), k, inner.keep(next));
          }
          context.checkpoint();
          NDArray gradient = denoiser.pullback(lacking.mul(2 * share / lacking.size()));
          adam.step(gradient, new double[] {1});
        }
      }
      context.checkpoint();
      Conditioning without = at.given().withNegative(adam.point()).negativeAlone();
      NDArray next = at.down(model.denoise(at.z(), sigma, without));
      return new Tuned(adam.point().duplicate(), spec.iterations(), next);
    }
  }
}
