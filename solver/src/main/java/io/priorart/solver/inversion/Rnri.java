package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Citation;
import io.priorart.solver.Linearization;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.SolverMethod.Need;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Regularised Newton-Raphson inversion (Samuel et al., ICLR 2025, arXiv 2312.12540, section 4): the
 * root of {@link DdimPath}'s step, with the prior {@code -log q(z | z0) = ||z - z0||^2 / (2
 * sigma^2)} as a guide. With {@code c = 1 - s/sigma}, {@code J = dD/dz},
 *
 * <pre>
 *   r = z - z' - c (z - D(z)),     A = (1 - c) I + c J
 *   p = r + alpha rms(r) (z - z0)/sigma
 *   p, q = A p  orthogonalised by q against those of the iterations before
 *   z &lt;- z - &lt;q, r&gt;/&lt;q, q&gt; p
 * </pre>
 *
 * from {@link DdimInversion}'s start, until {@code r} is at most {@code tolerance} (RMS in
 * variance-preserving form). Where an iterate is worse than the best so far, the step is taken from
 * the best one. An iteration is one evaluation and one pullback; the last iterate is not evaluated.
 * The conditioning is that of the prompt, guidance included.
 *
 * <p>Deviations, and why:
 *
 * <ul>
 *   <li>The paper finds the root of the scalar {@code sum |r| + alpha (-log q)} coordinate by
 *       coordinate, {@code z_i -= F / (D dF/dz_i)}, which divides by zero wherever a derivative
 *       vanishes and moves every coordinate by the mean residual, whatever its own is. Here it is
 *       the vector {@code r} whose root is sought, Newton's equation {@code A d = r} solved by the
 *       minimal residual on the directions seen so far.
 *   <li>{@code A p} is computed as {@code A^T p} by the pullback: the Jacobian of a posterior mean
 *       is a covariance, so symmetric. A trained network's nearly is; the residual is always that
 *       of the network.
 *   <li>The prior's pull has the size of the residual, so that it is gone at the root: a constant
 *       one is no root of the sampler's step.
 *   <li>The released code detaches the network, so that its derivative is a sign and the prior has
 *       none; not followed.
 *   <li>The paper's prompt-aware adjustment of the encoding is left out: the released code has
 *       none, its formula could not be had where this was written, and it changes the picture that
 *       comes back, which is what an inversion is measured by.
 * </ul>
 */
public final class Rnri extends StepwiseInverter {
  public static final InversionMethod<Spec> METHOD =
      new InversionMethod<>(
          "rnri",
          "Solves each step of DDIM for its start by Newton's method with the denoiser's Jacobian",
          List.of(
              new Citation(
                  "samuel2025gnri",
                  "Samuel, Dvir and Meiri, Barak and Maron, Haggai and Tewel, Yoad and Darshan, Nir"
                      + " and Avidan, Shai and Chechik, Gal and Ben-Ari, Rami",
                  "Lightning-Fast Image Inversion and Editing for Text-to-Image Diffusion Models",
                  "ICLR",
                  2025,
                  "2312.12540")),
          Set.of(Need.MODEL, Need.DENOISER_GRADIENT, Need.FLOAT32),
          Spec.class,
          Map.of("fast", new Spec(20, 3, 1e-4, 0.1), "paper", new Spec(50, 2, 0, 0.1)),
          Rnri::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param iterations most of a step
   * @param tolerance RMS residual at which a step ends
   * @param alpha weight of the prior
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 1, max = 1000) int steps,
      @Parameter(doc = "Most Newton iterations of a step", min = 1, max = 100) int iterations,
      @Parameter(doc = "RMS residual at which a step ends", min = 0, max = 1) double tolerance,
      @Parameter(doc = "Weight of the prior", min = 0, max = 100) double alpha) {}

  private final Spec spec;

  public Rnri(Spec spec) {
    super(ParameterSchema.of(Spec.class).check("", spec).steps());
    this.spec = spec;
  }

  /** A direction, what {@code A} makes of it, and that one's square. */
  private record Direction(NDArray p, NDArray q, double square) {}

  /** A point with its residual. */
  private record Iterate(NDArray z, NDArray r, double rms) {}

  @Override
  Found step(Climb at) {
    double root = at.path().root(at.i());
    double share = 1 - at.path().sigma(at.i() + 1) / at.sigma();
    List<Direction> seen = new ArrayList<>();
    Iterate best = null;
    NDArray z = at.path().guess(at.i(), at.below());
    for (int k = 1; k <= spec.iterations(); k++) {
      at.context().checkpoint();
      try (Linearization denoiser = at.model().denoiseAt(z, at.sigma(), at.conditioning())) {
        NDArray r = z.sub(at.path().up(at.i(), at.below(), z, denoiser.value()));
        double rms = DdimPath.rms(r) / root;
        if (best == null || rms < best.rms() || !Double.isFinite(rms)) {
          best = new Iterate(z, r, rms);
        }
        if (rms <= spec.tolerance() || !Double.isFinite(rms)) {
          return new Found(z, k, rms);
        }
        at.context().checkpoint();
        NDArray prior = z.sub(at.clean()).div(at.sigma());
        NDArray p = r.add(prior.mul(spec.alpha() * DdimPath.rms(r)));
        NDArray q = p.mul(1 - share).add(denoiser.pullback(p).mul(share));
        remember(seen, p, q);
      }
      z = newton(best, seen);
    }
    return new Found(z, spec.iterations(), best.rms());
  }

  private static void remember(List<Direction> seen, NDArray direction, NDArray image) {
    NDArray p = direction;
    NDArray q = image;
    for (Direction d : seen) {
      double along = DdimPath.dot(q, d.q()) / d.square();
      p = p.sub(d.p().mul(along));
      q = q.sub(d.q().mul(along));
    }
    double square = DdimPath.dot(q, q);
    // nothing new is left of a direction that was seen
    if (square > 0) {
      seen.add(new Direction(p, q, square));
    }
  }

  private static NDArray newton(Iterate from, List<Direction> seen) {
    NDArray z = from.z();
    for (Direction d : seen) {
      z = z.sub(d.p().mul(DdimPath.dot(d.q(), from.r()) / d.square()));
    }
    return z;
  }
}
