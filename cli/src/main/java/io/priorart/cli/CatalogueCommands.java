package io.priorart.cli;

import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Json;
import io.priorart.runtime.Restorer;
import io.priorart.solver.Citation;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PublishedMethod;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.inversion.InversionMethod;
import io.priorart.solver.inversion.Inverters;
import io.priorart.solver.operator.Operators;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code priorart solvers}, {@code operators} and {@code models}: what there is. */
final class CatalogueCommands {
  private CatalogueCommands() {}

  private abstract static class Listing implements Callable<Integer> {
    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Option(names = "--markdown", description = "Print a page of the reference (docs/reference).")
    private boolean markdown;

    abstract List<Map<String, Object>> items();

    @Override
    public Integer call() {
      if (markdown) {
        System.out.print(ReferencePage.of(getClass().getAnnotation(Command.class).name(), items()));
      } else {
        print(json, items());
      }
      return 0;
    }
  }

  /** Methods out of papers. */
  private abstract static class Published extends Listing {
    @Option(names = "--bibtex", description = "Print the papers as BibTeX instead.")
    private boolean bibtex;

    abstract List<? extends PublishedMethod<?>> methods();

    @Override
    List<Map<String, Object>> items() {
      List<Map<String, Object>> all = new ArrayList<>();
      methods().forEach(m -> all.add(describe(m)));
      return all;
    }

    @Override
    public Integer call() {
      if (!bibtex) {
        return super.call();
      }
      Map<String, Citation> papers = new LinkedHashMap<>();
      for (PublishedMethod<?> method : methods()) {
        method.citations().forEach(c -> papers.put(c.key(), c));
      }
      papers.values().forEach(c -> System.out.println(c.bibtex()));
      return 0;
    }
  }

  @Command(
      name = "solvers",
      description = "Lists the solvers with their parameters.",
      mixinStandardHelpOptions = true)
  static final class SolverList extends Published {
    @Override
    List<SolverMethod<?>> methods() {
      return Restorer.SOLVERS.list();
    }
  }

  @Command(
      name = "inversions",
      description = "Lists the inversions of 'priorart invert' with their parameters.",
      mixinStandardHelpOptions = true)
  static final class InversionList extends Published {
    @Override
    List<InversionMethod<?>> methods() {
      return Inverters.BUILT_IN;
    }
  }

  private static <P extends Record> Map<String, Object> describe(PublishedMethod<P> m) {
    ParameterSchema<P> schema = ParameterSchema.of(m.spec());
    Map<String, Object> out = new LinkedHashMap<>();
    out.put("name", m.id());
    out.put("summary", m.summary());
    out.put("citation", m.citation());
    out.put(
        "needs", m.needs().stream().map(n -> n.name().toLowerCase(Locale.ROOT)).sorted().toList());
    out.put("parameters", parameters(schema.entries(m.defaults())));
    Map<String, Object> presets = new LinkedHashMap<>();
    m.presets().forEach((name, preset) -> presets.put(name, schema.values(preset)));
    out.put("presets", presets);
    return out;
  }

  @Command(
      name = "operators",
      description = "Lists the operators with their parameters.",
      mixinStandardHelpOptions = true)
  static final class OperatorList extends Listing {
    @Override
    List<Map<String, Object>> items() {
      List<Map<String, Object>> all = new ArrayList<>();
      for (OperatorKind<?> kind : Operators.list()) {
        all.add(describe(kind));
      }
      return all;
    }

    private static <P extends Record> Map<String, Object> describe(OperatorKind<P> kind) {
      Map<String, Object> out = new LinkedHashMap<>();
      out.put("name", kind.id());
      out.put("summary", kind.summary());
      out.put("parameters", parameters(ParameterSchema.of(kind.spec()).entries(kind.defaults())));
      return out;
    }
  }

  @Command(
      name = "models",
      description = "Lists the checkpoints that come with PriorArt.",
      mixinStandardHelpOptions = true)
  static final class Models extends Listing {
    @Override
    List<Map<String, Object>> items() {
      List<Map<String, Object>> all = new ArrayList<>();
      for (Path folder : Checkpoints.bundled()) {
        try (Prior pipeline = ModelFamilies.load(folder, CompileOptions.AUTO)) {
          Map<String, Object> out = new LinkedHashMap<>();
          out.put("name", pipeline.name());
          out.put(
              "summary",
              "%s, %,d parameters".formatted(pipeline.traits().kind(), pipeline.parameters()));
          out.put("folder", folder.toString());
          out.put("sha256", pipeline.hash());
          out.put("parameters", List.of());
          all.add(out);
        }
      }
      return all;
    }
  }

  private static List<Map<String, Object>> parameters(List<ParameterSchema.Entry> entries) {
    List<Map<String, Object>> out = new ArrayList<>();
    for (ParameterSchema.Entry e : entries) {
      Map<String, Object> p = new LinkedHashMap<>();
      p.put("name", e.name());
      p.put("type", e.type().wire());
      p.put("default", e.defaultValue());
      p.put("required", e.required());
      p.put("min", Double.isFinite(e.min()) ? e.min() : null);
      p.put("max", Double.isFinite(e.max()) ? e.max() : null);
      p.put("choices", e.choices());
      p.put("unit", e.unit());
      p.put("doc", e.doc());
      out.add(p);
    }
    return out;
  }

  private static void print(boolean json, List<Map<String, Object>> all) {
    if (json) {
      System.out.println(Json.text(all));
      return;
    }
    for (Map<String, Object> item : all) {
      System.out.println(item.get("name") + "  " + item.get("summary"));
      if (item.get("citation") instanceof String citation && !citation.isEmpty()) {
        System.out.println("    " + citation);
      }
      for (Object entry : (List<?>) item.get("parameters")) {
        Map<?, ?> p = (Map<?, ?>) entry;
        List<String> facts = new ArrayList<>(List.of(p.get("type").toString()));
        if (!((List<?>) p.get("choices")).isEmpty()) {
          facts.add(p.get("choices").toString());
        }
        if (p.get("min") != null || p.get("max") != null) {
          facts.add(
              (p.get("min") == null ? "" : p.get("min"))
                  + ".."
                  + (p.get("max") == null ? "" : p.get("max")));
        }
        if (!p.get("unit").toString().isEmpty()) {
          facts.add(p.get("unit").toString());
        }
        if (p.get("default") != null) {
          facts.add("default " + p.get("default"));
        } else if (Boolean.TRUE.equals(p.get("required"))) {
          facts.add("required");
        }
        System.out.println(
            "    " + p.get("name") + " (" + String.join(", ", facts) + ")  " + p.get("doc"));
      }
    }
  }
}
