package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertFalse;

import org.junit.jupiter.api.Test;

/** Solvers of latents against {@link LatentReference}; see {@link OracleTest}. */
class LatentOracleTest {
  /** rho as small as {@link OracleTest#dps} has zeta, for the same reason. */
  @Test
  void p2l() {
    for (P2l.Spec spec :
        new P2l.Spec[] {
          new P2l.Spec(100, 2, 0.02, 0.015, 8, 1), new P2l.Spec(40, 1, 0.05, 0.01, 4, 0)
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

  /** A solve that tunes is told from the algorithm without, so that the prompt is of effect. */
  @Test
  void theTunedPromptMatters() {
    P2l.Spec tuned = new P2l.Spec(100, 2, 0.02, 0.015, 8, 1);
    P2l.Spec untuned = new P2l.Spec(100, 0, 0.02, 0.015, 8, 1);
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
