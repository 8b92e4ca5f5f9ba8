package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.VelocityCurve;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Solvers of latents against {@link LatentReference}; see {@link OracleTest}. */
class LatentOracleTest {
  /** rho as small as {@link OracleTest#dps} has zeta, for the same reason. */
  @Test
  void p2l() {
    for (P2l.Spec spec :
        new P2l.Spec[] {
          new P2l.Spec(100, 2, 0.02, 0.015, 8, 1, false),
          new P2l.Spec(40, 1, 0.05, 0.01, 4, 0, false),
          P2l.METHOD.presets().get("fast")
        }) {
      OracleTest.check(
          4,
          512,
          new P2l(spec),
          (reference, random) -> new LatentReference(reference).p2l(spec, random));
    }
  }

  /** The second has a ball that its prompts reach. */
  @Test
  void latinoPro() {
    for (LatinoPro.Spec spec :
        new LatinoPro.Spec[] {
          LatinoPro.METHOD.presets().get("paper"), new LatinoPro.Spec(5, 4, 8, 0.2, 0.5, 1)
        }) {
      OracleTest.check(
          4,
          512,
          new LatinoPro(spec),
          (reference, random) -> new LatentReference(reference).latinoPro(spec, random));
    }
  }

  /**
   * The reference takes 4000 chains: with 600 its own misfit of one oracle is off by nearly three
   * errors.
   */
  @Test
  void flair() {
    for (String preset : new String[] {"fast", "paper"}) {
      Flair.Spec spec = Flair.METHOD.presets().get(preset);
      OracleTest.check(
          4,
          1024,
          4000,
          new Flair(spec),
          (reference, random) ->
              new LatentReference(reference).flair(spec, LatentOracleTest::usual, random));
    }
  }

  /** Linear between eleven points of the released configuration. */
  private static double usual(double t) {
    double[] at = {0.196, 0.3, 0.4, 0.5, 0.6, 0.7, 0.778, 0.85, 0.9, 0.95, 0.984};
    double[] w = {0.3, 0.4, 0.49, 0.58, 0.66, 0.71, 0.729, 0.71, 0.66, 0.55, 0.43};
    for (int i = 1; i < at.length; i++) {
      if (t <= at[i]) {
        double x = Math.max(t, at[i - 1]);
        return 2 * (w[i - 1] * (at[i] - x) + w[i] * (x - at[i - 1])) / (at[i] - at[i - 1]);
      }
    }
    return 2 * w[at.length - 1];
  }

  /** Two points: errors of 1 and 4 have reciprocals of 1 and 1/4, of mean 5/8. */
  @Test
  void aMeasuredCurveReplacesTheUsualOne() {
    VelocityCurve curve = new VelocityCurve(List.of(0.2, 0.8), List.of(1.0, 4.0));
    assertEquals(1 / 0.625, curve.trust(0.1), 1e-9);
    assertEquals(1, curve.trust(0.5), 1e-9);
    assertEquals(0.25 / 0.625, curve.trust(0.9), 1e-9);
    Flair.Spec spec = new Flair.Spec(20, 2, 0.05, 0.3, 0.18);
    for (int seed = 0; seed < 3; seed++) {
      GaussianOracle oracle = new GaussianOracle(seed);
      Reference reference = new Reference(oracle);
      GaussianOracle.Statistics target =
          reference.statistics(
              600,
              seed,
              random -> new LatentReference(reference).flair(spec, curve::trust, random));
      GaussianOracle.Statistics usual =
          OracleTest.run(oracle, oracle.operator(), new Flair(spec), 512, seed);
      assertFalse(usual.worseThan(target).isEmpty(), "seed " + seed);
      try (NDManager manager = NDManager.newBaseManager()) {
        GaussianLatentModel model =
            new GaussianLatentModel(manager, oracle.mean, oracle.covariance, oracle.codec) {
              @Override
              public VelocityCurve velocityErrors() {
                return curve;
              }
            };
        NDArray x =
            new Flair(spec).solve(oracle.problem(), model, SolveContext.of(manager, seed), 512);
        List<String> complaints = oracle.statistics(GaussianOracle.samples(x)).worseThan(target);
        assertTrue(complaints.isEmpty(), "seed " + seed + ": " + complaints);
      }
    }
  }

  /**
   * The step follows the norm of A(D(.)), which power iteration finds; the posterior is reached,
   * with momentum in a third of the steps.
   */
  @ParameterizedTest
  @CsvSource({"150, 0", "50, 0.9"})
  void daps(int langevinSteps, double momentum) {
    Daps.Spec many = new Daps.Spec(40, 1, langevinSteps, 0.2, momentum, 0, 5, 0.05, 0.05);
    List<GaussianOracle.Statistics> reached =
        OracleTest.check(
            2,
            256,
            new Daps(many),
            (reference, random) -> new LatentReference(reference).daps(many, random),
            List.of());
    for (GaussianOracle.Statistics s : reached) {
      assertEquals(1, s.spread(), 0.06 + 3 * s.spreadError());
    }
  }

  @Test
  void dapsInFewSteps() {
    Daps.Spec few = Daps.METHOD.presets().get("latent");
    OracleTest.check(
        4,
        512,
        new Daps(few),
        (reference, random) -> new LatentReference(reference).daps(few, random),
        List.of());
  }

  @Test
  void latentsAreNotSampledExactly() {
    GaussianOracle oracle = new GaussianOracle(0);
    Daps exact = new Daps(Daps.METHOD.presets().get("exact"));
    try (NDManager manager = NDManager.newBaseManager()) {
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () ->
                  exact.solve(
                      oracle.problem(), oracle.model(manager), SolveContext.of(manager, 0)));
      assertTrue(e.getMessage().startsWith("langevinSteps"), e.getMessage());
    }
  }

  /** A solve that tunes is told from the algorithm without, so that the prompt is of effect. */
  @Test
  void theTunedPromptMatters() {
    P2l.Spec tuned = new P2l.Spec(100, 2, 0.02, 0.015, 8, 1, false);
    P2l.Spec untuned = new P2l.Spec(100, 0, 0.02, 0.015, 8, 1, false);
    GaussianOracle oracle = new GaussianOracle(1);
    Reference reference = new Reference(oracle);
    GaussianOracle.Statistics without =
        reference.statistics(600, 3, random -> new LatentReference(reference).p2l(untuned, random));
    assertFalse(
        OracleTest.run(oracle, oracle.operator(), new P2l(tuned), 512, 1)
            .worseThan(without)
            .isEmpty());
    LatinoPro.Spec pro = new LatinoPro.Spec(15, 4, 8, 0.2, 15, 0);
    LatinoPro.Spec frozen = new LatinoPro.Spec(15, 4, 8, 0.2, 15, GaussianLatentModel.TOKENS);
    GaussianOracle.Statistics kept =
        reference.statistics(
            600, 3, random -> new LatentReference(reference).latinoPro(frozen, random));
    assertFalse(
        OracleTest.run(oracle, oracle.operator(), new LatinoPro(pro), 512, 1)
            .worseThan(kept)
            .isEmpty());
  }
}
