package io.priorart.solver;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Helps people who mistype a name. */
public final class Names {
  private Names() {}

  /**
   * The candidate with the least Levenshtein distance to {@code name}, letter case aside; the first
   * in order among equals; empty without candidates.
   */
  public static Optional<String> nearest(String name, Collection<String> candidates) {
    String lower = name.toLowerCase(Locale.ROOT);
    return candidates.stream()
        .min(Comparator.comparingInt(c -> distance(lower, c.toLowerCase(Locale.ROOT))));
  }

  /** Says which name was probably meant and which there are, to end an error message with. */
  public static String suggestion(String name, Collection<String> candidates) {
    return nearest(name, candidates)
        .map(n -> "did you mean " + n + "? Known: " + String.join(", ", candidates))
        .orElse("there are none");
  }

  /**
   * {@link ErrorKind#NOT_FOUND} for a name that a registry does not hold.
   *
   * @param what what the registry holds, for instance "operator"
   */
  public static PriorArtException notFound(
      String what, String name, Collection<String> candidates) {
    return new PriorArtException(
        ErrorKind.NOT_FOUND,
        "no " + what + " \"" + name + "\"; " + suggestion(name, candidates),
        Map.of(what, name, "nearest", nearest(name, candidates).orElse("")),
        null);
  }

  /**
   * Levenshtein's distance: least number of inserted, removed or replaced characters; names beyond
   * 64 characters are cut, so that nobody can make it slow.
   */
  private static int distance(String first, String second) {
    String a = first.substring(0, Math.min(64, first.length()));
    int[] row = new int[second.length() + 1];
    for (int j = 0; j < row.length; j++) {
      row[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j < row.length; j++) {
        int replaced = diagonal + (a.charAt(i - 1) == second.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
      }
    }
    return row[second.length()];
  }
}
