package io.priorart.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** A catalogue as a page of {@code docs/reference}, made by {@code priorart NAME --markdown}. */
final class ReferencePage {
  private ReferencePage() {}

  /**
   * @param name the command that lists the items
   * @param items as the command prints them as JSON
   */
  static String of(String name, List<Map<String, Object>> items) {
    StringBuilder page = new StringBuilder();
    page.append("# ").append(name.substring(0, 1).toUpperCase(Locale.ROOT));
    page.append(name.substring(1)).append("\n\n");
    page.append("Made by `./priorart ").append(name).append(" --markdown`; a test compares.\n\n");
    boolean needs = items.stream().anyMatch(i -> i.containsKey("needs"));
    page.append(
        needs ? "| name | | needs |\n| --- | --- | --- |\n" : "| name | |\n| --- | --- |\n");
    for (Map<String, Object> item : items) {
      row(page, needs, "[`%s`](#%s)".formatted(item.get("name"), item.get("name")), item);
    }
    items.forEach(item -> section(page, item));
    return page.toString();
  }

  private static void row(
      StringBuilder page, boolean needs, String link, Map<String, Object> item) {
    page.append("| ").append(link).append(" | ").append(cell(item.get("summary"))).append(" |");
    if (needs) {
      String words =
          ((List<?>) item.get("needs"))
              .stream().map(n -> n.toString().replace('_', ' ')).collect(Collectors.joining(", "));
      page.append(' ').append(words).append(" |");
    }
    page.append('\n');
  }

  private static void section(StringBuilder page, Map<String, Object> item) {
    page.append("\n## ").append(item.get("name")).append("\n\n");
    page.append(sentence(item.get("summary"))).append('\n');
    if (item.get("citation") instanceof String citation && !citation.isEmpty()) {
      page.append('\n').append(sentence(citation)).append('\n');
    }
    List<?> parameters = (List<?>) item.get("parameters");
    if (parameters.isEmpty()) {
      return;
    }
    Map<?, ?> presets = item.get("presets") instanceof Map<?, ?> m ? m : Map.of();
    List<String> names = presets.keySet().stream().map(Object::toString).sorted().toList();
    page.append("\n| parameter | | range |");
    names.forEach(n -> page.append(" `").append(n).append("` |"));
    if (names.isEmpty()) {
      page.append(" default |");
    }
    page.append("\n| --- | --- | --- |");
    page.append(" --- |".repeat(Math.max(1, names.size()))).append('\n');
    for (Object entry : parameters) {
      Map<?, ?> p = (Map<?, ?>) entry;
      page.append("| `").append(p.get("name")).append("` | ").append(cell(p.get("doc")));
      page.append(" | ").append(range(p)).append(" |");
      if (names.isEmpty()) {
        Object value = p.get("default");
        String otherwise = Boolean.TRUE.equals(p.get("required")) ? "required" : "";
        page.append(' ').append(value == null ? otherwise : number(value)).append(" |");
      }
      for (String preset : names) {
        Object value = ((Map<?, ?>) presets.get(preset)).get(p.get("name"));
        page.append(' ').append(value == null ? "" : number(value)).append(" |");
      }
      page.append('\n');
    }
  }

  private static String range(Map<?, ?> p) {
    List<String> facts = new ArrayList<>(List.of(p.get("type").toString()));
    List<?> choices = (List<?>) p.get("choices");
    if (!choices.isEmpty()) {
      facts.add(choices.stream().map(Object::toString).collect(Collectors.joining(", ")));
    }
    if (p.get("min") != null && p.get("max") != null) {
      facts.add(number(p.get("min")) + " to " + number(p.get("max")));
    } else if (p.get("min") != null) {
      facts.add("at least " + number(p.get("min")));
    } else if (p.get("max") != null) {
      facts.add("at most " + number(p.get("max")));
    }
    if (!p.get("unit").toString().isEmpty()) {
      facts.add(p.get("unit").toString());
    }
    return String.join("; ", facts);
  }

  /** Whole numbers without a fraction. */
  private static String number(Object value) {
    return value instanceof Double d && d == Math.rint(d) && Math.abs(d) < 1e15
        ? Long.toString(d.longValue())
        : value.toString();
  }

  private static String sentence(Object text) {
    return text.toString().endsWith(".") ? text.toString() : text + ".";
  }

  private static String cell(Object text) {
    return text.toString().replace("|", "\\|");
  }
}
