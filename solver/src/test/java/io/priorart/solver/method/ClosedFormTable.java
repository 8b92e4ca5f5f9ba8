package io.priorart.solver.method;

import ai.djl.ndarray.NDManager;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/**
 * Writes {@code docs/closed-form.md}: {@code mvn test -pl solver -Dtest=ClosedFormTable
 * -Dpriorart.closedForm=$PWD/docs/closed-form.md}. What the figures must be is asserted by {@link
 * OracleTest}, {@link LatentOracleTest} and {@link GaussianMixtureTest}.
 */
class ClosedFormTable {
  private static final int DRAWS = 2000;
  private static final int ORACLES = 4;

  /** Measured value, noise. */
  private static final double[][] MIXTURES = {{0, 0.5}, {0.15, 0.5}, {0.6, 0.5}, {0.9, 0.2}};

  /** A row. */
  record Setting(String name, SolverMethod<?> method, LatentSolver solver, boolean pixels) {
    /** As the page has it. */
    @Override
    public String toString() {
      return name + (pixels ? "" : " (latent)");
    }

    /** Whether the second table has it: `lpn` has no modes to choose from. */
    boolean ofModes() {
      return !method.needs().contains(Need.PROXIMAL);
    }

    GaussianOracle.Statistics gaussian(long seed, int draws) {
      boolean masked = method.needs().contains(Need.MASK);
      GaussianOracle oracle = new GaussianOracle(seed, masked);
      try (NDManager manager = NDManager.newBaseManager()) {
        return oracle.statistics(
            GaussianOracle.samples(
                solver.solve(
                    masked ? oracle.maskedProblem(GaussianOracle.M) : oracle.problem(),
                    oracle.model(manager, pixels),
                    context(method, manager, 1000 + seed),
                    draws)));
      }
    }

    /** Draws of the two modes' posterior, {@code [draws, 2]}. */
    float[] modes(double y, double sigma, int draws) {
      try (NDManager manager = NDManager.newBaseManager()) {
        return solver
            .solve(
                TwoModes.problem(y, sigma),
                new TwoModes(manager, pixels),
                context(method, manager, 5),
                draws)
            .toFloatArray();
      }
    }
  }

  static List<Setting> settings() {
    List<Setting> settings = new ArrayList<>();
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      if (method == Mmps.METHOD) {
        settings.add(preset(Mmps.METHOD, "fast"));
        settings.add(
            with(
                Mmps.METHOD,
                "300 steps",
                new Mmps(new Mmps.Spec(300, 8, Mmps.Krylov.CG, 1, 1000, 0.001)),
                true));
      } else if (method == Daps.METHOD) {
        settings.add(preset(Daps.METHOD, "latent"));
        Daps exact = new Daps(new Daps.Spec(100, 1, 0, 1, 0, 0, 10, 0.02, 0.02));
        settings.add(with(Daps.METHOD, "inner target sampled exactly", exact, true));
        Daps langevin = new Daps(new Daps.Spec(60, 1, 400, 0.2, 0, 0, 5, 0.05, 0.05));
        settings.add(with(Daps.METHOD, "400 inner Langevin steps", langevin, true));
      } else if (method == Dps.METHOD) {
        Dps dps = new Dps(new Dps.Spec(200, 0.015, false));
        settings.add(with(Dps.METHOD, "zeta 0.015", dps, true));
        settings.add(with(Dps.METHOD, "zeta 0.015", dps, false));
        settings.add(preset(Dps.METHOD, "latent"));
      } else if (method == Mcg.METHOD) {
        Mcg mcg = new Mcg(new Mcg.Spec(100, 0.015, 0.01, false));
        settings.add(with(Mcg.METHOD, "zeta 0.015", mcg, true));
        settings.add(with(Mcg.METHOD, "zeta 0.015", mcg, false));
        settings.add(preset(Mcg.METHOD, "latent"));
      } else if (method == Psld.METHOD) {
        Psld psld = new Psld(new Psld.Spec(100, 0.015, 0.005, false));
        settings.add(with(Psld.METHOD, "steps 0.015 and 0.005", psld, false));
        settings.add(preset(Psld.METHOD, "fast"));
      } else if (method == P2l.METHOD) {
        P2l p2l = new P2l(new P2l.Spec(100, 2, 0.02, 0.015, 8, 1, false));
        settings.add(with(P2l.METHOD, "rho 0.015", p2l, false));
        settings.add(preset(P2l.METHOD, "fast"));
      } else if (method.needs().contains(Need.MODEL)) {
        settings.add(preset(method, "fast"));
      }
    }
    return settings;
  }

  private static <P extends Record> Setting preset(SolverMethod<P> method, String preset) {
    return new Setting(
        "`" + method.id() + "`",
        method,
        (LatentSolver) method.create().apply(method.presets().get(preset)),
        method.needs().contains(Need.PIXEL_SPACE));
  }

  private static Setting with(
      SolverMethod<?> method, String what, LatentSolver solver, boolean pixels) {
    return new Setting("`" + method.id() + "`, " + what, method, solver, pixels);
  }

  @Test
  @EnabledIfSystemProperty(named = "priorart.closedForm", matches = ".+")
  void write() throws IOException {
    StringBuilder page = new StringBuilder(HEAD.formatted(DRAWS, ORACLES));
    for (Setting s : settings()) {
      page.append(row(s));
      System.err.println(s.name());
    }
    page.append(MIXTURE_HEAD);
    for (double[] m : MIXTURES) {
      page.append(" %.3f |".formatted(TwoModes.weight(m[0], m[1])));
    }
    page.append(" |\n");
    for (Setting s : settings()) {
      if (s.ofModes()) {
        page.append(mixtureRow(s));
        System.err.println("modes " + s.name());
      }
    }
    page.append(REFERENCES);
    Files.writeString(Path.of(System.getProperty("priorart.closedForm")), page);
  }

  private static String row(Setting s) {
    double[] sums = new double[5];
    for (int seed = 0; seed < ORACLES; seed++) {
      GaussianOracle.Statistics found = s.gaussian(seed, DRAWS);
      sums[0] += found.bias() / ORACLES;
      sums[1] += found.biasError() / ORACLES;
      sums[2] += found.spread() / ORACLES;
      sums[3] += found.spreadError() / ORACLES;
      sums[4] += found.misfit() / ORACLES;
    }
    return String.format(
        Locale.ROOT,
        "| %s | %s | %.3f +- %.3f | %.3f +- %.3f | %.2f |%n",
        s.name(),
        s.pixels() ? "pixel" : "latent",
        sums[0],
        sums[1],
        sums[2],
        sums[3],
        sums[4]);
  }

  private static String mixtureRow(Setting s) {
    StringBuilder row = new StringBuilder("| " + s + " |");
    StringBuilder distances = new StringBuilder();
    for (double[] m : MIXTURES) {
      float[] exact = TwoModes.posterior(m[0], m[1], DRAWS, new SplittableRandom(8));
      float[] x = s.modes(m[0], m[1], DRAWS);
      row.append(String.format(Locale.ROOT, " %.3f |", TwoModes.share(x)));
      distances.append(String.format(Locale.ROOT, " %.3f", TwoModes.slicedWasserstein(x, exact)));
    }
    return row + distances.toString() + " |\n";
  }

  private static SolveContext context(SolverMethod<?> method, NDManager manager, long seed) {
    return method.needs().contains(Need.TEXT)
        ? new SolveContext(
            manager, GaussianLatentModel.text(manager), seed, SolveListener.NONE, () -> false, null)
        : SolveContext.of(manager, seed);
  }

  private static final String HEAD =
      """
      # Solvers against posteriors in closed form

      Made by `mvn test -pl solver -Dtest=ClosedFormTable -Dpriorart.closedForm=$PWD/docs/closed-form.md`; seeds are fixed. The tests of `mvn verify`
      (`OracleTest`, `LatentOracleTest`, `GaussianMixtureTest`) hold each algorithm to an independent run of it in double precision; this page says how far
      the algorithms themselves are from the truth.

      ## A Gaussian prior

      Latents of 16 dimensions with variances 1/k, a linear codec with gains 0.5 to 1.5, eight measurements by a random Gaussian operator, noise 0.1; means
      over %2$d such problems of %1$d draws each, preset `fast` where nothing else is said. In coordinates where the true posterior is standard normal:

      * **bias**: length of the error of the draws' mean over sqrt(16), 0 is right. Behind +- is its Monte-Carlo error alone, which a right solver shows.
      * **z-scores' deviation**: root mean square distance from the draws' own mean over sqrt(16), 1 is right, 0 one best picture.
      * **misfit**: mean of ||y - A x||^2/(8 sigma^2); about 0.9 for the exact posterior (by noise and prior together).

      A one-picture method (`dpir`, `red-diff`, `lpn`) has no spread by intention. `dps`, `mcg`, `psld` and `p2l` divide their gradient by a norm, so one step
      size cannot serve 16 values and 196,608: they stand here with one for 16, and once more as they are preset for latents, with steps that Polyak's size
      bounds, which needs no tuning. `daps` has tau = sigma. What was to be shown: `mmps` with many steps and
      `daps` with its inner target sampled exactly, or by 400 Langevin steps at a fifth of the curvature, reach a deviation of 0.95 to 1.05; `dps`, `diffpir`
      and `latino` keep the bias that they are known for. `lpn` weighs the data by 0.005 in `fast`, found on photographs: twenty iterations of it
      do not arrive here, where 400 at weight 1 do (`OracleTest`).

      | solver | space | bias | z-scores' deviation | misfit |
      | --- | --- | --- | --- | --- |
      """;

  private static final String MIXTURE_HEAD =
      """

      ## Two modes

      A prior of two pixels with equal modes at +-(1, 0.5) of spread 0.2, the first pixel measured: as 0 and 0.15 and 0.6 with noise 0.5, and as 0.9 with noise
      0.2. The share of draws in the mode (1, 0.5), then the sliced Wasserstein-1 distances (32 directions) from as many exact draws, in the same order; two
      exact sets of this size are about 0.02 apart, all in one mode where both are equal is 0.7. A measurement that tells the modes apart weakly leans nearly
      every method less than it should: they put the data into the estimate of one moment, and a chain has chosen its mode by then. `lpn` draws nothing and
      is left out.

      | solver | y = 0 | y = 0.15 | y = 0.6 | y = 0.9 | distances |
      | --- | --- | --- | --- | --- | --- |
      | the posterior |""";

  private static final String REFERENCES =
      """

      ## Against other people's programs

      Same exact denoiser, operator, noise and draws on a Gaussian prior of 4x4 pixels; every state of ours is within a thousandth of theirs, relative to the largest value (`ReferenceSolversTest`, whose comments say where a documented
      correction was put into their run first; `testdata/fixtures/make_solvers.py` makes the runs).

      | solver | compared with |
      | --- | --- |
      | `mmps`, `diffpir`, `dps` | azula 0.11.1 (MIT) |
      | `daps`, `red-diff` | InverseBench b113d67 (MIT) |
      | `cdim` | the authors' 1e2e672 (Apache 2.0) |
      | `mcg` | the authors' d5bfd15 (Apache 2.0) |
      | `latino` | the authors' b0168a9 (MIT); not `latino-pro`, whose tuning the code sums up otherwise (`LatinoPro`) |
      | `lpn` | the authors' cbc3cfa (Apache 2.0), with SCICO's solver of the data step |
      | `null-text` | Google's notebook in prompt-to-prompt 9955a1f (Apache 2.0) |

      The programs of `resample`, `psld`, `treg`, `flair`, `sitcom`, `pnp-flow` and `rnri` have no licence, of `p2l` none was published: these are held to an independent run of the published algorithm in double precision alone (`OracleTest`, `LatentOracleTest`,
      `InversionTest`).
      """;
}
