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
 * DDIM inversion (Song et al., ICLR 2021, arXiv 2010.02502, section 4.3; Mokady et al., CVPR 2023,
 * arXiv 2211.09794, section 3.1): the noise at the higher level is taken to be what the network
 * sees in the lower one's state when it is told the higher one's timestep, in variance-preserving
 * form {@code x = z / sqrt(1 + sigma^2)},
 *
 * <pre>  z = z' + (sigma - s) eps( sqrt(1 + sigma^2) x', sigma )</pre>
 *
 * One evaluation a step, exact only where the noise does not change along the path.
 */
public final class DdimInversion extends StepwiseInverter {
  static final Citation DDIM =
      new Citation(
          "song2021ddim",
          "Song, Jiaming and Meng, Chenlin and Ermon, Stefano",
          "Denoising Diffusion Implicit Models",
          "ICLR",
          2021,
          "2010.02502");

  public static final InversionMethod<Spec> METHOD =
      new InversionMethod<>(
          "ddim-inversion",
          "DDIM backwards: one evaluation a step, with the error of its assumption",
          List.of(DDIM),
          Set.of(Need.MODEL, Need.FLOAT32),
          Spec.class,
          Map.of("fast", new Spec(20), "paper", new Spec(50)),
          DdimInversion::new);

  /**
   * Parameters.
   *
   * @param steps of DDIM
   */
  public record Spec(@Parameter(doc = "DDIM steps", min = 1, max = 1000) int steps) {}

  public DdimInversion(Spec spec) {
    super(ParameterSchema.of(Spec.class).check("", spec).steps());
  }

  @Override
  Found step(Climb at) {
    NDArray guess = at.path().guess(at.i(), at.below());
    NDArray clean = at.model().denoise(guess, at.sigma(), at.conditioning());
    return new Found(at.path().up(at.i(), at.below(), guess, clean), 1, Double.NaN);
  }
}
