package io.priorart.solver.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TimestepSpacing;
import java.math.BigInteger;
import org.junit.jupiter.api.Test;

class VariancePreservingScheduleTest {
  private static VariancePreservingSchedule stableDiffusion(boolean zeroSnr) {
    return new VariancePreservingSchedule(
        BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, zeroSnr, 1);
  }

  /**
   * The known ends of Stable Diffusion's table: sigma 0.0292 to 14.6146 (k-diffusion,
   * EulerDiscreteScheduler).
   */
  @Test
  void stableDiffusionHasItsPublishedSigmas() {
    var schedule = stableDiffusion(false);
    assertEquals(0.0292, schedule.sigma(0), 5e-5);
    assertEquals(14.6146, schedule.sigma(999), 5e-4);
    assertEquals(0.0047, schedule.alphaBar(999), 5e-5);
    assertEquals(1 - 0.00085, schedule.alphaBar(0), 1e-12);
  }

  /**
   * DDPM's linear schedule ends at alphaBar 4.0e-5 (Nichol and Dhariwal give the noise as "almost
   * destroyed").
   */
  @Test
  void linearIsTheProductOfItsBetas() {
    var schedule = new VariancePreservingSchedule(BetaSchedule.LINEAR, 1000, 1e-4, 0.02, false, 0);
    double log = 0;
    for (int t = 0; t < 1000; t++) {
      log += Math.log1p(-(1e-4 + (0.02 - 1e-4) * t / 999));
      assertEquals(Math.exp(log), schedule.alphaBar(t), 1e-12);
    }
    assertEquals(4.0e-5, schedule.alphaBar(999), 1e-6);
  }

  /** Until the cap acts, the product telescopes to f(t)/f(0) with f(u) = cos^2. */
  @Test
  void cosineTelescopesUntilItsCap() {
    var schedule =
        new VariancePreservingSchedule(BetaSchedule.SQUAREDCOS_CAP_V2, 1000, 1e-4, 0.02, false, 0);
    double f0 = Math.pow(Math.cos(0.008 / 1.008 * Math.PI / 2), 2);
    for (int t : new int[] {0, 10, 499, 900, 990}) {
      double f = Math.pow(Math.cos(((t + 1) / 1000.0 + 0.008) / 1.008 * Math.PI / 2), 2);
      assertEquals(f / f0, schedule.alphaBar(t), 1e-9 * f / f0 + 1e-15);
    }
    assertEquals(0.001, schedule.alphaBar(999) / schedule.alphaBar(998), 1e-9);
  }

  /** Algorithm 1 of arXiv 2305.08891, written as the affine map of sqrt(alphaBar) that it is. */
  @Test
  void zeroTerminalSnrKeepsTheFirstStepAndEmptiesTheLast() {
    var plain = stableDiffusion(false);
    var rescaled = stableDiffusion(true);
    assertEquals(plain.alphaBar(0), rescaled.alphaBar(0), 1e-15);
    assertEquals(4096, rescaled.sigma(999), 1e-3);
    double first = Math.sqrt(plain.alphaBar(0));
    double last = Math.sqrt(plain.alphaBar(999));
    for (int t = 1; t < 999; t += 37) {
      double expected = first * (Math.sqrt(plain.alphaBar(t)) - last) / (first - last);
      assertEquals(expected * expected, rescaled.alphaBar(t), 1e-12);
    }
  }

  /** Values by numpy, as below. */
  @Test
  void spacingsAreThoseOfDiffusers() {
    var schedule = stableDiffusion(false);
    assertArrayEquals(
        new int[] {801, 601, 401, 201, 1}, schedule.timesteps(5, TimestepSpacing.LEADING));
    assertArrayEquals(
        new int[] {999, 799, 599, 399, 199}, schedule.timesteps(5, TimestepSpacing.TRAILING));
    assertArrayEquals(
        new int[] {999, 749, 500, 250, 0}, schedule.timesteps(5, TimestepSpacing.LINSPACE));
    assertArrayEquals(
        new int[] {999, 856, 713, 570, 428, 285, 142},
        schedule.timesteps(7, TimestepSpacing.TRAILING));
    assertArrayEquals(
        new int[] {853, 711, 569, 427, 285, 143, 1},
        schedule.timesteps(7, TimestepSpacing.LEADING));
    assertEquals(0, schedule.timesteps(1, TimestepSpacing.LINSPACE)[0]);
  }

  /**
   * A rolling hash of all timesteps for counts 1 to 999 against numpy 2 running the lines of
   * DDIMScheduler .set_timesteps (T = 1000, steps_offset = 1): {@code (arange(0, n) * (T //
   * n)).round()[::-1] + 1}, {@code round(arange(T, 0, -T / n)) - 1} cut to n values (numpy returns
   * n + 1 for 62 of the counts), {@code linspace(0, T - 1, n).round()[::-1]}; {@code h = (31 h + t)
   * mod (2^61 - 1)}.
   */
  @Test
  void allCountsAgreeWithNumpy() {
    assertEquals(551667382491675378L, hash(TimestepSpacing.LEADING));
    assertEquals(1340054478080483804L, hash(TimestepSpacing.TRAILING));
    assertEquals(1369046789441469359L, hash(TimestepSpacing.LINSPACE));
  }

  private static long hash(TimestepSpacing spacing) {
    BigInteger hash = BigInteger.ZERO;
    BigInteger modulus = BigInteger.ONE.shiftLeft(61).subtract(BigInteger.ONE);
    var schedule = stableDiffusion(false);
    for (int count = 1; count < 1000; count++) {
      for (int t : schedule.timesteps(count, spacing)) {
        hash = hash.multiply(BigInteger.valueOf(31)).add(BigInteger.valueOf(t)).mod(modulus);
      }
    }
    return hash.longValueExact();
  }

  @Test
  void everySpacingDescendsInsideTheTable() {
    var schedule = new VariancePreservingSchedule(BetaSchedule.LINEAR, 1000, 1e-4, 0.02, false, 0);
    for (TimestepSpacing spacing : TimestepSpacing.values()) {
      for (int count = 1; count <= 1000; count += count < 60 ? 1 : 47) {
        int[] steps = schedule.timesteps(count, spacing);
        assertEquals(count, steps.length);
        assertTrue(steps[0] <= 999 && steps[count - 1] >= 0);
        for (int i = 1; i < count; i++) {
          assertTrue(steps[i] < steps[i - 1], spacing + " " + count);
        }
      }
    }
  }

  @Test
  void timestepInvertsSigmaAndClamps() {
    var schedule = stableDiffusion(false);
    for (int t : new int[] {0, 1, 17, 500, 998, 999}) {
      assertEquals(t, schedule.timestep(schedule.sigma(t)), 1e-9);
    }
    double middle = Math.sqrt(schedule.sigma(400) * schedule.sigma(401));
    assertEquals(400.5, schedule.timestep(middle), 1e-9);
    assertEquals(0, schedule.timestep(1e-6));
    assertEquals(999, schedule.timestep(1e6));
  }

  @Test
  void badConfigurationsAreNamed() {
    assertBad("beta_schedule", () -> BetaSchedule.of("sigmoid"));
    assertBad("beta_start", () -> linear(0, 0.02, 0));
    assertBad("beta_end", () -> linear(1e-4, Double.NaN, 0));
    assertBad("steps_offset", () -> linear(1e-4, 0.02, -1));
    assertBad("steps", () -> linear(1e-4, 0.02, 0).timesteps(0, TimestepSpacing.LEADING));
    assertBad("steps", () -> linear(1e-4, 0.02, 0).timesteps(1001, TimestepSpacing.LEADING));
    assertBad("steps", () -> linear(1e-4, 0.02, 1).timesteps(1000, TimestepSpacing.LEADING));
    assertBad("sigma", () -> linear(1e-4, 0.02, 1).timestep(0));
    for (BetaSchedule schedule : BetaSchedule.values()) {
      assertEquals(schedule, BetaSchedule.of(schedule.configName()));
    }
  }

  private static VariancePreservingSchedule linear(double start, double end, int offset) {
    return new VariancePreservingSchedule(BetaSchedule.LINEAR, 1000, start, end, false, offset);
  }

  private static void assertBad(String field, Runnable action) {
    PriorArtException e = assertThrows(PriorArtException.class, action::run);
    assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
    assertEquals(field, e.details().get("field"));
  }
}
