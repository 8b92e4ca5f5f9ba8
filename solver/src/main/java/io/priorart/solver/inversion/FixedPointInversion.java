package io.priorart.solver.inversion;

import ai.djl.ndarray.NDArray;
import io.priorart.solver.Citation;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.SolverMethod.Need;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Fixed-point inversion (Pan et al., ICCV 2023, arXiv 2309.04907, section 3.2): the equation of
 * {@link DdimPath}'s step, iterated from {@link DdimInversion}'s start,
 *
 * <pre>  z &lt;- z' + (sigma - s) eps(z, sigma)</pre>
 *
 * until it changes by no more than {@code tolerance} (RMS in variance-preserving form). An
 * evaluation an iteration; converges where {@code (1 - s/sigma) (I - dD/dz)} contracts.
 *
 * <p>Deviation: without the paper's acceleration and blending, whose place {@link Rnri} takes.
 */
public final class FixedPointInversion extends StepwiseInverter {
  public static final InversionMethod<Spec> METHOD =
      new InversionMethod<>(
          "fixed-point-inversion",
          "Solves each step of DDIM for its start by iterating it",
          List.of(
              new Citation(
                  "pan2023aidi",
                  "Pan, Zhihong and Gherardi, Riccardo and Xie, Xiufeng and Huang, Stephen",
                  "Effective Real Image Editing with Accelerated Iterative Diffusion Inversion",
                  "ICCV",
                  2023,
                  "2309.04907")),
          Set.of(Need.MODEL, Need.FLOAT32),
          Spec.class,
          Map.of("fast", new Spec(20, 4, 1e-4), "paper", new Spec(50, 11, 1e-6)),
          FixedPointInversion::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   * @param iterations most of a step
   * @param tolerance RMS change at which a step ends
   */
  public record Spec(
      @Parameter(doc = "DDIM steps", min = 1, max = 1000) int steps,
      @Parameter(doc = "Most iterations of a step", min = 1, max = 1000) int iterations,
      @Parameter(doc = "RMS change at which a step ends", min = 0, max = 1) double tolerance) {}

  private final Spec spec;

  public FixedPointInversion(Spec spec) {
    super(ParameterSchema.of(Spec.class).check("", spec).steps());
    this.spec = spec;
  }

  @Override
  Found step(Climb at) {
    NDArray z = at.path().guess(at.i(), at.below());
    double change = Double.POSITIVE_INFINITY;
    int k = 0;
    while (k < spec.iterations() && !(change <= spec.tolerance())) {
      at.context().checkpoint();
      NDArray clean = at.model().denoise(z, at.sigma(), at.conditioning());
      NDArray next = at.path().up(at.i(), at.below(), z, clean);
      change = DdimPath.rms(next.sub(z)) / at.path().root(at.i());
      z = next;
      k++;
    }
    return new Found(z, k, change);
  }
}
