package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.method.SpectrumCheck.Judgement;
import io.priorart.solver.operator.Operators;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link SpectrumCheck} on random fields whose power spectrum is known. */
class SpectrumCheckTest {
  private static final int SIDE = 128;

  private static ForwardOperator operator(String name, String key, String value) {
    return build(Operators.byId(name), Map.of(key, value));
  }

  private static <P extends Record> ForwardOperator build(
      OperatorKind<P> kind, Map<String, Object> values) {
    P spec = ParameterSchema.of(kind.spec()).bind("operator", values, kind.defaults());
    return kind.factory().create(spec, new Shape(1, SIDE, SIDE), new NoiseSource(1)).operator();
  }

  /** A Gaussian field of deviation 0.5 with {@code S ~ (k0^2 + |k|^2)^(slope/2)}. */
  private static NDArray field(NDManager manager, double slope, long seed) {
    float[] spectrum = new NoiseSource(seed).normal(new Shape(SIDE * SIDE)).values();
    double squares = 0;
    for (int i = 0; i < spectrum.length; i++) {
      double k = Math.hypot(i / SIDE, i % SIDE) + 0.5;
      spectrum[i] *= (float) Math.pow(k, slope / 2);
      squares += (double) spectrum[i] * spectrum[i];
    }
    float scale = (float) (0.5 * SIDE / Math.sqrt(squares));
    NDArray s = manager.create(spectrum, new Shape(1, 1, SIDE, SIDE)).mul(scale);
    return new CosineTransform(manager, SIDE, SIDE).inverse(s);
  }

  private static SpectrumCheck check(
      ForwardOperator measured, ForwardOperator declared, double slope, double sigma, long seed) {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray y = measured.apply(field(manager, slope, seed));
      y = y.add(new NoiseSource(seed + 100).normal(manager, y.getShape()).mul(2 * sigma));
      return SpectrumCheck.of(
          new Problem(declared, HostTensor.of(y), new Noise.Gaussian(sigma), 0), manager);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "gaussian-blur, sigma, 1.5",
    "gaussian-blur, sigma, 3",
    "super-resolution, factor, 2",
    "motion-blur, length, 5"
  })
  void findsTheSlopeBehindAnOperator(String name, String key, String value) {
    ForwardOperator operator = operator(name, key, value);
    double tolerance = 0.5;
    for (double slope : new double[] {-1.5, -2, -3}) {
      for (int seed = 0; seed < 3; seed++) {
        SpectrumCheck check = check(operator, operator, slope, 0.005, seed);
        assertEquals(slope, check.slope(), tolerance, name + " " + value + " seed " + seed);
        assertEquals(Judgement.PLAUSIBLE, check.judgement());
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"5, 3, TOO_SMOOTH", "6, 4, TOO_SMOOTH", "2, 3, TOO_DETAILED", "3, 3, PLAUSIBLE"})
  void tellsAWrongBlur(String done, String declared, Judgement expected) {
    for (int seed = 0; seed < 5; seed++) {
      SpectrumCheck check =
          check(
              operator("gaussian-blur", "sigma", done),
              operator("gaussian-blur", "sigma", declared),
              -2,
              0.01,
              seed);
      assertEquals(expected, check.judgement(), "seed " + seed + ", slope " + check.slope());
    }
  }

  @Test
  void saysNothingWhereNothingCanBeSaid() {
    ForwardOperator holes = operator("inpainting", "random", "0.7");
    assertEquals(Judgement.UNKNOWN, check(holes, holes, -2, 0, 0).judgement(), "mixes frequencies");
    ForwardOperator strong = operator("gaussian-blur", "sigma", "20");
    SpectrumCheck hidden = check(strong, strong, -2, 0.05, 0);
    assertEquals(Judgement.UNKNOWN, hidden.judgement(), "the noise hides it");
    assertTrue(Double.isNaN(hidden.slope()));
  }
}
