package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/**
 * The tables of {@code docs/guide/how-to-choose-a-solver.md} say what the methods need and what was
 * measured.
 */
class ChoosingGuideTest {
  private static final Path GUIDE =
      Path.of(System.getProperty("priorart.home"), "docs", "guide", "how-to-choose-a-solver.md");

  private static final Path RESULTS = GUIDE.resolve("../../results-solvers.md").normalize();

  private static final List<String> TASKS =
      List.of(
          "inpainting-70",
          "inpainting:box=64,64,128,128@0.01",
          "super-resolution-4",
          "gaussian-blur-3",
          "motion-blur-31");

  /** The prior of the tables by task. */
  private static final String PIXELS = "pixel-v3";

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
    for (String line : rows("## All of them", "## Measured")) {
      String[] cells = line.split(" *\\| *");
      Set<String> through = new TreeSet<>(List.of(cells[4].split(", ")));
      told.put(
          cells[1].replace("`", ""),
          List.of(cells[2].replaceAll(" \\(.*", ""), cells[3], String.join(", ", through)));
    }
    assertEquals(expected, told);
  }

  /** The rows of {@code docs/results-solvers.md}, in the order of the methods. */
  @Test
  void theFiguresAreThoseMeasured() throws IOException {
    Map<String, String[]> pixels = new TreeMap<>();
    Map<String, List<String>> rows = new TreeMap<>();
    int task = -1;
    boolean latent = false;
    for (String line : Files.readAllLines(RESULTS)) {
      if (line.startsWith("## ")) {
        task = TASKS.indexOf(line.substring(3));
        latent = line.startsWith("## Latent");
      }
      String[] cells = line.split(" *\\| *");
      if (cells.length < 8 || !cells[1].startsWith("`")) {
        continue;
      }
      if (task >= 0) {
        String[] row = pixels.computeIfAbsent(cells[1], id -> new String[TASKS.size() + 1]);
        row[task] = cells[3];
        double before = row[TASKS.size()] == null ? 0 : Double.parseDouble(row[TASKS.size()]);
        row[TASKS.size()] = String.valueOf(Math.max(before, Double.parseDouble(cells[7])));
      } else if (latent) {
        List<String> row = new ArrayList<>(List.of(cells).subList(1, 8));
        row.add(cells[10]);
        rows.computeIfAbsent(cells[1], id -> new ArrayList<>()).add(row(row));
      }
    }
    pixels.forEach(
        (id, figures) -> {
          List<String> row = new ArrayList<>(List.of(id, PIXELS));
          Arrays.stream(figures).map(f -> f == null ? "" : f).forEach(row::add);
          rows.computeIfAbsent(id, i -> new ArrayList<>()).add(0, row(row));
        });
    List<String> expected = new ArrayList<>();
    for (SolverMethod<?> method : Solvers.BUILT_IN) {
      expected.addAll(rows.getOrDefault("`" + method.id() + "`", List.of()));
    }
    assertEquals(String.join("\n", expected), String.join("\n", rows("## Measured", "## Time")));
  }

  /** Of the guide, between two headings. */
  private static List<String> rows(String from, String to) throws IOException {
    String guide = Files.readString(GUIDE);
    return guide
        .substring(guide.indexOf(from), guide.indexOf(to))
        .lines()
        .filter(l -> l.startsWith("| `"))
        .toList();
  }

  /** The last cell are seconds, to one figure behind the point. */
  private static String row(List<String> cells) {
    int last = cells.size() - 1;
    cells.set(last, String.format(Locale.ROOT, "%.1f", Double.parseDouble(cells.get(last))));
    return "| " + String.join(" | ", cells) + " |";
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
