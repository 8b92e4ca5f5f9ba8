package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** The table of {@code docs/guide/how-to-choose-a-solver.md} says what the methods need. */
class ChoosingGuideTest {
  private static final Path GUIDE =
      Path.of(System.getProperty("priorart.home"), "docs", "guide", "how-to-choose-a-solver.md");

  private static final Map<Need, String> GRADIENTS =
      Map.of(
          Need.DENOISER_GRADIENT,
          "denoiser",
          Need.DECODER_GRADIENT,
          "decoder",
          Need.ENCODER_GRADIENT,
          "encoder",
          Need.TEXT_GRADIENT,
          "text");

  @Test
  void theTableIsTheNeeds() throws IOException {
    Map<String, List<String>> expected = new TreeMap<>();
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      if (method.needs().contains(Need.MODEL)) {
        expected.put(method.id(), List.of(prior(method), linear(method), gradients(method)));
      }
    }
    Map<String, List<String>> told = new TreeMap<>();
    String guide = Files.readString(GUIDE);
    for (String line : guide.substring(guide.indexOf("## All of them")).lines().toList()) {
      String[] cells = line.split(" *\\| *");
      if (cells.length > 4 && cells[1].startsWith("`")) {
        Set<String> through = new TreeSet<>(List.of(cells[4].split(", ")));
        told.put(
            cells[1].replace("`", ""),
            List.of(cells[2].replaceAll(" \\(.*", ""), cells[3], String.join(", ", through)));
      }
    }
    assertEquals(expected, told);
  }

  private static String prior(SolverMethod<?> method) {
    Set<Need> needs = method.needs();
    if (needs.contains(Need.PROXIMAL)) {
      return "own network";
    }
    List<String> of = new ArrayList<>();
    if (needs.contains(Need.PIXEL_SPACE)) {
      of.add("pixel");
    }
    if (needs.contains(Need.NOISE_MAP)) {
      of.add("noise map");
    }
    if (needs.contains(Need.FEW_STEP)) {
      of.add("few-step");
    }
    if (needs.contains(Need.TEXT)) {
      of.add("text");
    }
    return of.isEmpty() ? "any" : String.join(", ", of);
  }

  private static String linear(SolverMethod<?> method) {
    if (method.needs().contains(Need.MASK)) {
      return "masks";
    }
    return method.needs().contains(Need.LINEAR) ? "yes" : "no";
  }

  private static String gradients(SolverMethod<?> method) {
    Set<String> through = new TreeSet<>();
    GRADIENTS.forEach(
        (need, network) -> {
          if (method.needs().contains(need)) {
            through.add(network);
          }
        });
    return through.isEmpty() ? "-" : String.join(", ", through);
  }
}
