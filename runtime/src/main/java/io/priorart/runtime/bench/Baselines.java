package io.priorart.runtime.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a baseline's parameters are chosen from, for each task, by mean PSNR on the tuning pictures:
 * a baseline that nobody tuned proves nothing. Solvers that are not here run with a preset.
 */
final class Baselines {
  private static final Map<String, Map<String, List<String>>> GRIDS =
      Map.of(
          "tv",
          Map.of(
              "strength",
                  List.of(
                      "0.01", "0.03", "0.06", "0.1", "0.2", "0.3", "0.5", "0.7", "1", "1.5", "3"),
              "iterations", List.of("600")),
          "wiener",
          Map.of(
              "exponent", List.of("1.5", "2", "2.5", "3"),
              "contrast", List.of("0.25", "0.5", "1", "2"),
              "iterations", List.of("200")),
          "pseudo-inverse",
          Map.of("rcond", List.of("0.01", "0.03", "0.1", "0.2", "0.3", "0.5")),
          "bicubic",
          Map.of(),
          "lanczos",
          Map.of(),
          "opencv-telea",
          Map.of("radius", List.of("1", "2", "3", "5", "8")),
          "opencv-ns",
          Map.of("radius", List.of("1", "2", "3", "5", "8")),
          "opencv-nlm",
          Map.of(
              "strength", List.of("0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1", "1.2"),
              "lab", List.of("true", "false")));

  private Baselines() {}

  static boolean contains(String solver) {
    return GRIDS.containsKey(solver);
  }

  /** Every combination of a baseline's values. */
  static List<Map<String, String>> candidates(String solver) {
    List<Map<String, String>> all = List.of(Map.of());
    for (Map.Entry<String, List<String>> axis :
        new java.util.TreeMap<>(GRIDS.get(solver)).entrySet()) {
      List<Map<String, String>> more = new ArrayList<>();
      for (Map<String, String> one : all) {
        for (String value : axis.getValue()) {
          Map<String, String> extended = new LinkedHashMap<>(one);
          extended.put(axis.getKey(), value);
          more.add(extended);
        }
      }
      all = more;
    }
    return all;
  }
}
