package io.priorart.runtime.bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;

/**
 * What a quality benchmark found, as JSON and as a page.
 *
 * @param entries one per task and solver that suit each other
 */
public record QualityReport(QualityBench.Plan plan, List<Entry> entries) {
  private static final int FORMAT = 1;

  /**
   * A solver's runs on one task.
   *
   * @param setting a preset's name, or "tuned"
   */
  public record Entry(QualityTask task, String solver, String setting, List<QualityRun> runs) {
    double mean(ToDoubleFunction<QualityRun> value) {
      return runs.stream().mapToDouble(value).average().orElseThrow();
    }

    /** Mean, or {@code null} if a run lacks the value. */
    Double meanIfAll(Function<QualityRun, Double> value) {
      return runs.stream().map(value).allMatch(Objects::nonNull) ? mean(value::apply) : null;
    }

    double median(ToDoubleFunction<QualityRun> value) {
      double[] sorted = runs.stream().mapToDouble(value).sorted().toArray();
      int n = sorted.length;
      return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }

    /** Most of all runs, or {@code null} if a run lacks it. */
    Long peakMebibytes() {
      return runs.stream().map(QualityRun::peakBytes).allMatch(Objects::nonNull)
          ? runs.stream().mapToLong(QualityRun::peakBytes).max().orElseThrow() >> 20
          : null;
    }

    private String networks() {
      double calls = mean(r -> r.evaluations().total());
      return calls == 0
          ? "-"
          : String.format(Locale.ROOT, "%.0f, %s", calls, percent(r -> r.evaluations().seconds()));
    }

    private String operators() {
      return runs.stream().allMatch(r -> r.operatorSeconds() != null)
          ? percent(QualityRun::operatorSeconds)
          : "-";
    }

    private String percent(ToDoubleFunction<QualityRun> seconds) {
      return String.format(
          Locale.ROOT, "%.0f %%", 100 * mean(r -> seconds.applyAsDouble(r) / r.seconds()));
    }
  }

  /**
   * The document that {@code docs/design/bench-quality.schema.json} describes.
   *
   * @param machine what ran, by name
   */
  public Map<String, Object> json(Map<String, Object> machine) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("format", FORMAT);
    json.put("machine", machine);
    json.put("revisions", revisions());
    json.put("pictures", plan.pictures().toString());
    json.put("tuning_pictures", plan.tuning().toString());
    json.put("seed", plan.seed());
    List<Object> tasks = new ArrayList<>();
    for (QualityTask t : plan.tasks()) {
      Map<String, Object> task = new LinkedHashMap<>();
      task.put("name", t.name());
      task.put("measured", QualityTask.describe(t.measured()));
      task.put("declared", QualityTask.describe(t.declared()));
      task.put("sigma", t.sigma());
      tasks.add(task);
    }
    json.put("tasks", tasks);
    List<Object> summary = new ArrayList<>();
    List<Object> runs = new ArrayList<>();
    for (Entry e : entries) {
      Map<String, Object> line = new LinkedHashMap<>();
      line.put("task", e.task().name());
      line.put("solver", e.solver());
      line.put("setting", e.setting());
      line.put("parameters", e.runs().get(0).key().parameters());
      line.put("pictures", e.runs().size());
      line.put("psnr_mean", e.mean(QualityRun::psnr));
      line.put("ssim_mean", e.mean(QualityRun::ssim));
      line.put("ms_ssim_mean", e.meanIfAll(QualityRun::msSsim));
      line.put("gmsd_mean", e.meanIfAll(QualityRun::gmsd));
      line.put("seconds_mean", e.mean(QualityRun::seconds));
      line.put("network_seconds_mean", e.mean(r -> r.evaluations().seconds()));
      line.put("operator_seconds_mean", e.meanIfAll(QualityRun::operatorSeconds));
      line.put("peak_mebibytes_max", e.peakMebibytes());
      line.put("ratio_before_median", e.median(QualityRun::ratioBefore));
      line.put("ratio_after_median", e.median(QualityRun::ratioAfter));
      line.put("move_median", e.median(QualityRun::move));
      line.put("spectrum", spectra(e));
      summary.add(line);
      for (QualityRun r : e.runs()) {
        Map<String, Object> run = new LinkedHashMap<>();
        run.put("task", e.task().name());
        run.put("solver", e.solver());
        run.put("picture", r.key().picture());
        run.put("seed", r.key().seed());
        run.put("psnr", r.psnr());
        run.put("ssim", r.ssim());
        run.put("ms_ssim", r.msSsim());
        run.put("gmsd", r.gmsd());
        run.put("seconds", r.seconds());
        run.put("peak_bytes", r.peakBytes());
        run.put("ratio_before", r.ratioBefore());
        run.put("ratio_after", r.ratioAfter());
        run.put("move", r.move());
        run.put("spectrum_slope", Double.isNaN(r.spectrum().slope()) ? null : r.spectrum().slope());
        runs.add(run);
      }
    }
    json.put("summary", summary);
    json.put("runs", runs);
    return json;
  }

  /** How many pictures each entry was run on. */
  public int pictures() {
    return entries.isEmpty() ? 0 : entries.get(0).runs().size();
  }

  /** The revisions of PriorArt that ran. */
  public List<String> revisions() {
    TreeSet<String> all = new TreeSet<>();
    entries.forEach(e -> e.runs().forEach(r -> all.add(r.revision())));
    return List.copyOf(all);
  }

  /** One table a task, the best mean PSNR first. */
  public String tables() {
    StringBuilder out = new StringBuilder();
    for (QualityTask task : plan.tasks()) {
      List<Entry> lines =
          entries.stream()
              .filter(e -> e.task().equals(task))
              .sorted((a, b) -> Double.compare(b.mean(QualityRun::psnr), a.mean(QualityRun::psnr)))
              .toList();
      out.append("\n## ").append(task.name()).append("\n\n");
      out.append(
          String.format(
              Locale.ROOT,
              "Measured: `%s`, sigma %s on [0,1].%s%n%n",
              QualityTask.describe(task.measured()),
              task.sigma(),
              task.control()
                  ? " Declared: `%s`.".formatted(QualityTask.describe(task.declared()))
                  : ""));
      if (!lines.isEmpty()) {
        out.append("The measurements' spectra: ").append(spectra(lines.get(0))).append(".\n\n");
      }
      out.append("| solver | setting | PSNR dB | SSIM | MS-SSIM | GMSD | seconds | ratio before |")
          .append(" ratio after | network calls, their time | operators' time | peak MiB |")
          .append(" judged consistent |\n")
          .append("|" + " --- |".repeat(13) + "\n");
      for (Entry e : lines) {
        out.append(
            String.format(
                Locale.ROOT,
                "| `%s` | %s | %.2f | %.4f | %s | %s | %.2f | %s | %s | %s | %s | %s | %d of %d |%n",
                e.solver(),
                setting(e),
                e.mean(QualityRun::psnr),
                e.mean(QualityRun::ssim),
                cell(e.meanIfAll(QualityRun::msSsim)),
                cell(e.meanIfAll(QualityRun::gmsd)),
                e.mean(QualityRun::seconds),
                spread(e, QualityRun::ratioBefore),
                spread(e, QualityRun::ratioAfter),
                e.networks(),
                e.operators(),
                e.peakMebibytes() == null ? "-" : e.peakMebibytes(),
                e.runs().stream().filter(QualityRun::consistent).count(),
                e.runs().size()));
      }
    }
    return out.toString();
  }

  private static String cell(Double value) {
    return value == null ? "-" : String.format(Locale.ROOT, "%.4f", value);
  }

  /** How many measurements the spectrum check judged how. */
  private static Map<String, Long> spectra(Entry e) {
    return e.runs().stream()
        .collect(
            Collectors.groupingBy(
                r -> r.spectrum().judgement().name().toLowerCase(Locale.ROOT),
                TreeMap::new,
                Collectors.counting()));
  }

  private static String setting(Entry e) {
    if (!e.setting().equals("tuned")) {
      return e.setting();
    }
    List<String> values = new ArrayList<>();
    e.runs().get(0).key().parameters().forEach((k, v) -> values.add(k + "=" + v));
    return values.isEmpty() ? "no parameters" : "tuned: " + String.join(", ", values);
  }

  /** Median, and the range over the pictures. */
  private static String spread(Entry e, ToDoubleFunction<QualityRun> value) {
    double[] all = e.runs().stream().mapToDouble(value).toArray();
    return String.format(
        Locale.ROOT,
        "%.2f (%.2f to %.2f)",
        e.median(value),
        Arrays.stream(all).min().orElseThrow(),
        Arrays.stream(all).max().orElseThrow());
  }

  /** PSNR of every run, a table a task: what means hide. */
  public String perPicture() {
    StringBuilder out = new StringBuilder();
    for (QualityTask task : plan.tasks()) {
      List<Entry> lines = entries.stream().filter(e -> e.task().equals(task)).toList();
      if (lines.isEmpty()) {
        continue;
      }
      out.append("\n### ").append(task.name()).append("\n\n| picture |");
      lines.forEach(e -> out.append(" ").append(e.solver()).append(" |"));
      out.append("\n| --- |").append(" --- |".repeat(lines.size())).append("\n");
      for (int i = 0; i < lines.get(0).runs().size(); i++) {
        out.append("| ").append(lines.get(0).runs().get(i).key().picture()).append(" |");
        for (Entry e : lines) {
          out.append(String.format(Locale.ROOT, " %.2f |", e.runs().get(i).psnr()));
        }
        out.append("\n");
      }
    }
    return out.toString();
  }
}
