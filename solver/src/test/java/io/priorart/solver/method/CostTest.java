package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * How many evaluations each method takes, counted on a posterior in closed form, against what its
 * algorithm says. {@code docs/reference/costs.md} is these rows; {@code -Dpriorart.costs=FILE}
 * writes it anew.
 */
class CostTest {
  private static final Path PAGE =
      Path.of(System.getProperty("priorart.home"), "docs", "reference", "costs.md");

  private static final List<String> NETWORKS = List.of("U", "U'", "E", "E'", "D", "D'");

  /**
   * @param counts of U, U', E, E', D, D'; {@code 25-100} where the data decides
   * @param published what the paper's algorithm or its code takes
   */
  private record Cost(String method, String preset, String counts, String published) {
    @Override
    public String toString() {
      return method + " " + preset;
    }

    String page() {
      List<String> parts = new ArrayList<>();
      String[] all = counts.split(" ");
      for (int i = 0; i < all.length; i++) {
        if (!all[i].equals("0")) {
          parts.add(all[i].replace("-", " to ") + " " + NETWORKS.get(i));
        }
      }
      return "| `%s` | %s | %s | %s |\n"
          .formatted(method, preset, String.join(", ", parts), published);
    }
  }

  private static Cost cost(String method, String preset, String counts, String published) {
    return new Cost(method, preset, counts, published);
  }

  private static List<Cost> costs() {
    return List.of(
        cost("dpir", "fast", "8 0 0 0 0 0", ""),
        cost("dpir", "paper", "24 0 0 0 0 0", "24 U"),
        cost("diffpir", "fast", "20 0 0 0 0 0", ""),
        cost("diffpir", "paper", "100 0 0 0 0 0", "100 U"),
        cost("rad", "fast", "20 0 0 0 0 0", ""),
        cost("rad", "paper", "100 0 0 0 0 0", "100 U"),
        cost("mmps", "fast", "20 40 0 0 0 0", ""),
        cost("mmps", "paper", "100 200-600 0 0 0 0", "100 (U + (5 + 1) U')"),
        cost("pnp-flow", "fast", "50 0 0 0 0 0", ""),
        cost("pnp-flow", "paper", "500 0 0 0 0 0", "100 * 5 U"),
        cost("red-diff", "fast", "100 0 0 0 0 0", ""),
        cost("red-diff", "paper", "1000 0 0 0 0 0", "1000 U"),
        cost("daps", "latent", "12 0 0 0 186 161", ""),
        cost(
            "daps", "latent-paper", "100 0 0 0 1756 1655", "50 * 2 U, 50 * 15 to 50 * 95 (D + D')"),
        cost("cdim", "fast", "25-97 0-72 0 0 0 0", ""),
        cost("cdim", "paper", "25-505 0-480 0 0 0 0", "25 U, about 31 (U + U')"),
        cost("sitcom", "fast", "24-108 0-96 0 0 0 0", ""),
        cost("sitcom", "paper", "40-420 0-400 0 0 0 0", "at most 20 * 20 (U + U'), and 20 U"),
        cost("prox-diffusion", "fast", "20 0 19-20 0 21 0", ""),
        cost("prox-diffusion", "paper", "36 0 35-36 0 37 0", "own"),
        cost("latino", "fast", "8 0 9 0 9 0", ""),
        cost("latino", "paper", "8 0 9 0 9 0", "8 (U + D + E) and E; the last picture is decoded"),
        cost("latino-pro", "fast", "24 12 25 0 25 0", ""),
        cost(
            "latino-pro",
            "paper",
            "68 45 69 0 69 0",
            "15 * 4 (U + D + E), 15 * 3 U', 8 (U + D + E); 60 U of its code are what the pullbacks"
                + " start from and are not taken twice"),
        cost("treg", "fast", "50 0 25 0 26 0", ""),
        cost("treg", "paper", "200 0 56 0 57 0", "200 * 2 U, 57 (D + E); one U a step unguided"),
        cost("resample", "fast", "80 60 3 0 66-124 60-120", ""),
        cost(
            "resample",
            "paper",
            "665 500 17 0 535-9018 500-9000",
            "500 (U + U' + D + D'), 165 U, 17 (D + E), at most 17 * 500 (D + D')"),
        cost("psld", "fast", "80 80 80 80 81 80", ""),
        cost(
            "psld",
            "paper",
            "1000 1000 1000 1000 1001 1000",
            "1000 (2 U + 2 U' + D + D' + E + E'); one U a step, since an empty prompt is both"
                + " branches"),
        cost("p2l", "fast", "80 80 10 0 81 80", ""),
        cost(
            "p2l",
            "paper",
            "2000 2000 125 0 2001 2000",
            "1000 * 2 (U + U' + D + D'), a projection (E) at every eighth"),
        cost("flair", "fast", "20 0 1 0 21-161 20-160", ""),
        cost(
            "flair",
            "paper",
            "50 0 1 0 51-751 50-750",
            "50 * 2 U, at most 750 (D + D'), E, D; one U a step unguided"),
        cost("lpn", "fast", "20 0 0 0 0 0", ""),
        cost("lpn", "paper", "20 0 0 0 0 0", "15 to 80, each a gradient of its own network"),
        cost("mcg", "latent", "100 100 100 0 101 100", ""),
        cost("mcg", "paper", "1000 1000 1000 0 1001 1000", "1000 (U + U'); own on latents"),
        cost("dps", "latent", "100 100 0 0 101 100", ""),
        cost("dps", "paper", "1000 1000 0 0 1001 1000", "1000 (U + U' + D + D')"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("costs")
  void asManyAsTheAlgorithmSays(Cost cost) {
    long[] counted = counted(new Solvers().byId(cost.method()), cost.preset());
    String[] expected = cost.counts().split(" ");
    for (int i = 0; i < expected.length; i++) {
      String[] range = expected[i].split("-");
      long least = Long.parseLong(range[0]);
      long most = Long.parseLong(range[range.length - 1]);
      assertTrue(
          least <= counted[i] && counted[i] <= most,
          NETWORKS.get(i) + ": " + counted[i] + ", expected " + expected[i]);
    }
  }

  private static <P extends Record> long[] counted(SolverMethod<P> method, String preset) {
    boolean masks = method.needs().contains(Need.MASK);
    GaussianOracle oracle = new GaussianOracle(1, masks);
    try (NDManager manager = NDManager.newBaseManager()) {
      GaussianLatentModel model = oracle.model(manager, method);
      method
          .create()
          .apply(method.presets().get(preset))
          .solve(
              masks ? oracle.maskedProblem(GaussianOracle.M) : oracle.problem(),
              model,
              SolverContractTest.context(method, manager, 3));
      EvaluationCounts c = model.counts();
      return new long[] {
        c.denoise(),
        c.denoisePullback(),
        c.encode(),
        c.encodePullback(),
        c.decode(),
        c.decodePullback()
      };
    }
  }

  @Test
  void everyMethodIsCounted() {
    Set<String> methods = new TreeSet<>();
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      if (method.needs().contains(Need.MODEL)) {
        methods.add(method.id());
      }
    }
    Set<String> counted = new TreeSet<>();
    costs().forEach(cost -> counted.add(cost.method()));
    assertEquals(methods, counted);
  }

  @Test
  void thePageIsTheseRows() throws IOException {
    StringBuilder page =
        new StringBuilder(
            """
            # Evaluations of each solver

            Counted by `CostTest` on a posterior in closed form, one sample, unguided; `a to b`, the least and the most there can be, where stopping rules or the data decide. U, E and D are
            evaluations of denoiser, encoder and decoder, a prime their pullbacks. Of priors of pictures E and D are nothing. Guidance takes two
            evaluations of U for one. `docs/results-solvers.md` has those on photographs, with seconds and memory.

            | solver | preset | evaluations | the published algorithm |
            | --- | --- | --- | --- |
            """);
    costs().forEach(cost -> page.append(cost.page()));
    String target = System.getProperty("priorart.costs");
    if (target != null) {
      Files.writeString(Path.of(target), page);
    }
    assertEquals(Files.readString(PAGE), page.toString());
  }
}
