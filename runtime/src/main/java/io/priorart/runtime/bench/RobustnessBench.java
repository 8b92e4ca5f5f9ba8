package io.priorart.runtime.bench;

import io.priorart.models.Prior;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.Json;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.method.Verdict;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * Many small restorations with every solver that a prior serves: run {@code i} has a crop, a task
 * and a seed of its own. What it counts is what goes wrong. Runs are kept in a file as soon as they
 * are done, and not run again.
 */
public final class RobustnessBench {
  private static final List<String> TASKS =
      List.of(
          "inpainting:random=0.7@0.01",
          "inpainting:random=0.9@0.05",
          "super-resolution:factor=4@0.01",
          "gaussian-blur:sigma=2@0.01",
          "motion-blur:length=11@0.02",
          "identity@0.1",
          "gaussian-blur:sigma=1+super-resolution:factor=2@0.02");

  /**
   * @param side of the crops in pixels, at most that of the pictures
   * @param results file of runs, JSON lines
   */
  public record Plan(
      List<Picture> pictures,
      List<SolverMethod<?>> solvers,
      String preset,
      int runs,
      int side,
      Path results) {
    public Plan {
      if (runs < 1 || runs > 100_000) {
        throw PriorArtException.badField("runs", "must be 1 to 100000, was " + runs);
      }
      if (side < 16 || pictures.stream().anyMatch(p -> Math.min(p.width(), p.height()) < side)) {
        throw PriorArtException.badField(
            "side", "must be 16 to the pictures' shorter side, was " + side);
      }
    }
  }

  /**
   * What decides a run.
   *
   * @param model SHA-256 of the checkpoint
   * @param number of the run: its crop and seed
   */
  public record Key(
      String solver,
      String preset,
      String model,
      String precision,
      int side,
      int number,
      String task) {}

  /**
   * One restoration.
   *
   * @param failure kind of the failure, {@code null} for none
   * @param ratioBefore the final steps
   * @param operatorSeconds of {@code seconds}, inside the operator
   * @param judgement of the picture as written; {@code null} for a failure
   */
  public record Run(
      Key key,
      String failure,
      double psnr,
      double ratioBefore,
      double ratioAfter,
      Verdict.Judgement judgement,
      double seconds,
      EvaluationCounts evaluations,
      double operatorSeconds,
      String revision) {}

  private final Plan plan;
  private final Prior prior;
  private final String revision;
  private final BooleanSupplier cancelled;
  private final Map<Key, Run> known = new LinkedHashMap<>();

  private RobustnessBench(Plan plan, Prior prior, String revision, BooleanSupplier cancelled) {
    this.plan = plan;
    this.prior = prior;
    this.revision = revision;
    this.cancelled = cancelled;
  }

  /**
   * Runs what is missing.
   *
   * @throws PriorArtException CANCELLED; INVALID_ARGUMENT for a damaged results file
   */
  public static List<Run> run(
      Plan plan, Prior prior, String revision, BooleanSupplier cancelled, Consumer<Run> listener) {
    return new RobustnessBench(plan, prior, revision, cancelled).run(listener);
  }

  private List<Run> run(Consumer<Run> listener) {
    read();
    List<Run> all = new ArrayList<>();
    for (int i = 0; i < plan.runs(); i++) {
      for (SolverMethod<?> method : plan.solvers()) {
        QualityTask task = QualityTask.parse(TASKS.get(i % TASKS.size()));
        boolean gapsAlone =
            task.declared().size() == 1 && task.declared().get(0).name().equals("inpainting");
        if (method.needs().contains(SolverMethod.Need.MASK) && !gapsAlone) {
          continue;
        }
        Run run = one(method, task, i);
        all.add(run);
        listener.accept(run);
      }
    }
    return all;
  }

  private Run one(SolverMethod<?> method, QualityTask task, int number) {
    String preset = AutoSolver.preset(method.id(), task.declared(), plan.preset(), prior.traits());
    Key key =
        new Key(
            method.id(),
            preset,
            prior.hash(),
            prior.precision().name(),
            plan.side(),
            number,
            task.name());
    Run before = known.get(key);
    if (before != null) {
      return before;
    }
    if (cancelled.getAsBoolean()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "stopped; the same command goes on");
    }
    Run run = restored(key, task);
    known.put(key, run);
    append(run);
    return run;
  }

  private Run restored(Key key, QualityTask task) {
    SplittableRandom random = new SplittableRandom(key.number());
    Picture whole = plan.pictures().get(key.number() % plan.pictures().size());
    int x = random.nextInt(whole.width() - plan.side() + 1);
    int y = random.nextInt(whole.height() - plan.side() + 1);
    Picture truth = whole.part(x, y, plan.side(), plan.side());
    long seed = random.nextLong();
    Degrader.Degraded measured =
        Degrader.degrade(truth, task.measured(), Noise.ofSigma(task.sigma()), seed, 32);
    long begin = System.nanoTime();
    try {
      Restorer.Sample found =
          Restorer.restore(
                  measured.measurement(),
                  new Restorer.Request(
                      measured.problem().operators(),
                      Noise.ofSigma(task.sigma()),
                      key.solver(),
                      key.preset(),
                      Map.of(),
                      null,
                      true,
                      Prompt.NONE,
                      seed,
                      1,
                      plan.side(),
                      plan.side()),
                  () -> prior,
                  8,
                  RestoreListener.NONE,
                  Stopping.by(cancelled))
              .samples()
              .get(0);
      return new Run(
          key,
          null,
          Comparison.of(truth, found.picture(), null).psnr(),
          found.verdict().ratioBefore(),
          found.verdict().ratioAfter(),
          found.verdict().judgement(),
          (System.nanoTime() - begin) * 1e-9,
          found.evaluations(),
          found.operatorSeconds(),
          revision);
    } catch (PriorArtException e) {
      if (e.kind() == ErrorKind.CANCELLED) {
        throw e;
      }
      String failure = e.kind() + ": " + e.getMessage();
      return new Run(
          key,
          failure,
          Double.NaN,
          Double.NaN,
          Double.NaN,
          null,
          0,
          EvaluationCounts.ZERO,
          0,
          revision);
    }
  }

  private void read() {
    if (!Files.exists(plan.results())) {
      return;
    }
    try {
      for (String line : Files.readAllLines(plan.results())) {
        Run run = Json.read(line, Run.class);
        known.put(run.key(), run);
      }
    } catch (IOException | UncheckedIOException e) {
      throw PriorArtException.badField(
          "results", plan.results() + " is no file of this benchmark: " + e.getMessage());
    }
  }

  private void append(Run run) {
    try {
      Files.writeString(
          plan.results(),
          Json.line(run) + "\n",
          StandardOpenOption.CREATE,
          StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
