package io.priorart.runtime.bench;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.Prior;
import io.priorart.models.engine.ScriptModule;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.Limits;
import io.priorart.runtime.MemoryBudget;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Sha256;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.Noise;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.method.Verdict;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import java.util.zip.CRC32;

/**
 * Degrades pictures, restores them with every solver, and compares with the truth.
 *
 * <p>Measurements are made in float samples, so nothing is clipped and sigma is all the noise there
 * is. Solvers run with a preset, baselines with the parameters that did best on the tuning pictures
 * ({@link Baselines}). Each run is appended to the results file as soon as it is done; a bench that
 * was interrupted, or is given more tasks or solvers, runs only what is missing there.
 */
public final class QualityBench {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES);

  /** Fields that runs of older results files lack. */
  private static final List<String> MEASURED_LATER = List.of("msSsim", "gmsd", "peakBytes");

  /**
   * What to run.
   *
   * @param pictures to report on
   * @param tuning pictures to choose the baselines' parameters on
   * @param solvers a control runs the first of them alone
   * @param preset of the solvers that are no baselines
   * @param seed of measurement and solver; each picture adds a number of its own, from its name
   * @param precision name of the networks' arithmetic
   * @param results the file of runs, JSON lines
   * @param keptOnly run nothing: report what the file holds
   */
  public record Plan(
      Path pictures,
      Path tuning,
      List<QualityTask> tasks,
      List<Contender> solvers,
      String preset,
      long seed,
      String precision,
      Path results,
      boolean keptOnly) {}

  /** Hears of each run. */
  public interface Listener {
    /**
     * @param fresh whether it was run now rather than read
     */
    void ran(QualityRun run, boolean fresh);

    /** A solver that a task does not suit, or whose runs are not all kept. */
    void skipped(QualityTask task, String solver, String why);
  }

  private final Plan plan;
  private final Supplier<Prior> pipelines;
  private final BooleanSupplier cancelled;
  private final Listener listener;
  private final String revision;
  private final Map<JsonNode, QualityRun> known;

  private QualityBench(
      Plan plan,
      Supplier<Prior> pipelines,
      String revision,
      BooleanSupplier cancelled,
      Listener listener) {
    this.plan = plan;
    this.pipelines = pipelines;
    this.revision = revision;
    this.cancelled = cancelled;
    this.listener = listener;
    this.known = read(plan.results());
  }

  /**
   * Runs what is missing.
   *
   * @param revision of PriorArt, noted with each run
   * @throws PriorArtException INVALID_ARGUMENT for folders without pictures or a damaged results
   *     file; CANCELLED
   */
  public static QualityReport run(
      Plan plan,
      Supplier<Prior> pipelines,
      String revision,
      BooleanSupplier cancelled,
      Listener listener) {
    return new QualityBench(plan, pipelines, revision, cancelled, listener).run();
  }

  private QualityReport run() {
    List<Sample> reported = samples(plan.pictures());
    List<Sample> tuning = List.of();
    List<QualityReport.Entry> entries = new ArrayList<>();
    for (QualityTask task : plan.tasks()) {
      for (Contender contender : task.control() ? plan.solvers().subList(0, 1) : plan.solvers()) {
        SolverMethod<?> method = contender.method();
        try {
          Map<String, String> parameters = Map.of();
          boolean tuned = Baselines.contains(method.id());
          if (tuned) {
            tuning = tuning.isEmpty() ? samples(plan.tuning()) : tuning;
            parameters = best(task, contender, tuning);
          }
          List<QualityRun> runs = new ArrayList<>();
          for (Sample sample : reported) {
            runs.add(runOne(task, contender, parameters, sample, false));
          }
          entries.add(
              new QualityReport.Entry(
                  task, contender.name(), tuned ? "tuned" : preset(task, method), runs));
        } catch (PriorArtException e) {
          if (e.kind() != ErrorKind.FAILED_PRECONDITION) {
            throw e;
          }
          listener.skipped(task, contender.name(), e.getMessage());
        }
      }
    }
    return new QualityReport(plan, entries);
  }

  private Map<String, String> best(QualityTask task, Contender contender, List<Sample> pictures) {
    List<Map<String, String>> candidates = Baselines.candidates(contender.method().id());
    if (candidates.size() == 1) {
      return candidates.get(0);
    }
    Map<String, String> best = null;
    double highest = Double.NEGATIVE_INFINITY;
    for (Map<String, String> candidate : candidates) {
      double mean =
          pictures.stream()
              .mapToDouble(p -> runOne(task, contender, candidate, p, true).psnr())
              .average()
              .orElseThrow();
      if (mean > highest) {
        highest = mean;
        best = candidate;
      }
    }
    return best;
  }

  private String preset(QualityTask task, SolverMethod<?> method) {
    return method.needs().contains(SolverMethod.Need.MODEL)
        ? AutoSolver.preset(method.id(), task.declared(), plan.preset(), pipelines.get().traits())
        : AutoSolver.preset(method.id(), task.declared(), plan.preset());
  }

  private record Sample(String name, String hash, Picture picture) {}

  private static List<Sample> samples(Path folder) {
    List<Sample> samples = new ArrayList<>();
    try (Stream<Path> files = Files.list(requireFolder(folder))) {
      for (Path file : files.sorted(Comparator.comparing(Path::getFileName)).toList()) {
        if (file.toString().toLowerCase(Locale.ROOT).matches(".*\\.(png|jpe?g|tiff?)")) {
          samples.add(
              new Sample(
                  file.getFileName().toString(),
                  Sha256.of(Files.readAllBytes(file)),
                  PictureFiles.read(file, Limits.PIXELS)));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (samples.isEmpty()) {
      throw PriorArtException.badField("pictures", folder + " holds no PNG, JPEG or TIFF pictures");
    }
    return samples;
  }

  private static Path requireFolder(Path folder) {
    if (!Files.isDirectory(folder)) {
      throw PriorArtException.badField("pictures", folder + " is no folder");
    }
    return folder;
  }

  private QualityRun runOne(
      QualityTask task,
      Contender contender,
      Map<String, String> parameters,
      Sample sample,
      boolean tuning) {
    SolverMethod<?> method = contender.method();
    if (cancelled.getAsBoolean()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "stopped; the same command goes on");
    }
    boolean model = method.needs().contains(SolverMethod.Need.MODEL);
    boolean baseline = tuning || Baselines.contains(method.id());
    String preset = baseline ? Restorer.USUAL_PRESET : preset(task, method);
    QualityRun.Key key =
        new QualityRun.Key(
            task.name(),
            QualityTask.describe(task.measured()),
            QualityTask.describe(task.declared()),
            task.sigma(),
            sample.name(),
            sample.hash(),
            tuning,
            method.id(),
            parameters(contender, preset, parameters),
            model ? pipelines.get().hash() : null,
            model ? plan.precision() : null,
            ScriptModule.threads(),
            plan.seed() + number(sample.name()));
    JsonNode identity = tree(key);
    QualityRun before = known.get(identity);
    if (before != null) {
      listener.ran(before, false);
      return before;
    }
    if (plan.keptOnly()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, plan.results() + " lacks a run on " + sample.name());
    }
    QualityRun run = restore(task, contender, preset, parameters, sample.picture(), key);
    known.put(identity, run);
    append(run);
    listener.ran(run, true);
    return run;
  }

  private QualityRun restore(
      QualityTask task,
      Contender contender,
      String preset,
      Map<String, String> parameters,
      Picture truth,
      QualityRun.Key key) {
    boolean measured = MemoryBudget.forgetPeak();
    Solved solved = solve(task, contender, preset, parameters, truth, key.seed());
    Long peakBytes = measured ? MemoryBudget.peakResidentBytes() : null;
    Restorer.Restoration restoration = solved.restoration();
    List<Restorer.Sample> samples = restoration.samples();
    Comparison comparison = Comparison.of(truth, solved.picture(), null);
    return new QualityRun(
        key,
        comparison.psnr(),
        comparison.ssim(),
        Double.isNaN(comparison.msSsim()) ? null : comparison.msSsim(),
        comparison.gmsd(),
        samples.stream().mapToDouble(s -> s.solveSeconds() + s.finishSeconds()).sum(),
        mean(samples, s -> s.verdict().ratioBefore()),
        mean(samples, s -> s.verdict().ratioAfter()),
        samples.stream().allMatch(s -> s.verdict().judgement() == Verdict.Judgement.CONSISTENT),
        mean(samples, s -> s.verdict().move()),
        restoration.spectrum(),
        samples.stream()
            .map(Restorer.Sample::evaluations)
            .reduce(EvaluationCounts.ZERO, EvaluationCounts::plus),
        samples.stream().mapToDouble(Restorer.Sample::operatorSeconds).sum(),
        peakBytes,
        revision);
  }

  private record Solved(Picture measurement, Restorer.Restoration restoration) {
    Picture picture() {
      return restoration.mean();
    }
  }

  private Solved solve(
      QualityTask task,
      Contender contender,
      String preset,
      Map<String, String> parameters,
      Picture truth,
      long seed) {
    Degrader.Degraded degraded =
        Degrader.degrade(truth, task.measured(), Noise.ofSigma(task.sigma()), seed, 32);
    List<OperatorRequest> told = task.control() ? task.declared() : degraded.problem().operators();
    return new Solved(
        degraded.measurement(),
        Restorer.restore(
            degraded.measurement(),
            new Restorer.Request(
                told,
                Noise.ofSigma(task.sigma()),
                contender.method().id(),
                preset,
                parameters,
                null,
                true,
                Prompt.NONE,
                seed,
                contender.samples(),
                truth.width(),
                truth.height()),
            pipelines,
            8,
            RestoreListener.NONE,
            Stopping.by(cancelled)));
  }

  /** A run's pictures; the measurement may have another size. */
  record Shown(Picture truth, Picture measurement, Picture restored) {}

  /** Makes again what a run with a preset made; the same pixels, since its seed is the same. */
  static Shown again(
      Plan plan,
      QualityTask task,
      Contender contender,
      QualityRun run,
      Supplier<Prior> pipelines,
      BooleanSupplier cancelled) {
    Picture truth = PictureFiles.read(plan.pictures().resolve(run.key().picture()), Limits.PIXELS);
    QualityBench bench = new QualityBench(plan, pipelines, run.revision(), cancelled, null);
    Solved solved =
        bench.solve(
            task,
            contender,
            bench.preset(task, contender.method()),
            Map.of(),
            truth,
            run.key().seed());
    return new Shown(truth, solved.measurement(), solved.picture());
  }

  private static double mean(
      List<Restorer.Sample> samples, ToDoubleFunction<Restorer.Sample> value) {
    return samples.stream().mapToDouble(value).average().orElseThrow();
  }

  private static Map<String, Object> parameters(
      Contender contender, String preset, Map<String, String> changed) {
    Map<String, Object> all = parameters(contender.method(), preset, changed);
    if (contender.samples() > 1) {
      all.put("samples", contender.samples());
    }
    return all;
  }

  private static <P extends Record> Map<String, Object> parameters(
      SolverMethod<P> method, String preset, Map<String, String> changed) {
    P base = method.presets().get(preset);
    if (base == null) {
      throw PriorArtException.badField(
          "preset", preset + " is none of " + method.presets().keySet());
    }
    ParameterSchema<P> schema = ParameterSchema.of(method.spec());
    return new LinkedHashMap<>(
        schema.values(schema.bind("solver", new LinkedHashMap<>(changed), base)));
  }

  /** A picture's own share of the seed. */
  private static long number(String name) {
    CRC32 crc = new CRC32();
    crc.update(name.getBytes(StandardCharsets.UTF_8));
    return crc.getValue() & 0xffff;
  }

  /** Through text, so that a number has the type that reading gives it. */
  private static JsonNode tree(Object value) {
    try {
      return JSON.readTree(JSON.writeValueAsString(value));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Map<JsonNode, QualityRun> read(Path file) {
    Map<JsonNode, QualityRun> runs = new LinkedHashMap<>();
    if (!Files.exists(file)) {
      return runs;
    }
    try {
      int number = 0;
      for (String line : Files.readAllLines(file)) {
        number++;
        try {
          JsonNode run = JSON.readTree(line);
          if (run instanceof ObjectNode fields) {
            MEASURED_LATER.stream().filter(f -> !fields.has(f)).forEach(fields::putNull);
          }
          runs.put(run.path("key"), JSON.treeToValue(run, QualityRun.class));
        } catch (JsonProcessingException e) {
          throw PriorArtException.badField(
              file + ":" + number, "is no run of this benchmark: " + e.getOriginalMessage());
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return runs;
  }

  private void append(QualityRun run) {
    try {
      Files.writeString(
          plan.results(),
          JSON.writeValueAsString(run) + "\n",
          StandardOpenOption.CREATE,
          StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
