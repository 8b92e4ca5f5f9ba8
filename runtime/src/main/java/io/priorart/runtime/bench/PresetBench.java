package io.priorart.runtime.bench;

import io.priorart.models.Prior;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.Machine;
import io.priorart.runtime.MachineSpeed;
import io.priorart.runtime.MeasuredPresets;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.Noise;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolverMethod;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/** Measures {@link MeasuredPresets}: a prior's solvers at several lengths on every task. */
public final class PresetBench {
  /**
   * @param several whether it is for one picture, for several that differ, or for both
   */
  private record Candidate(String solver, List<Boolean> several, int... steps) {}

  private static final List<Boolean> ONE = List.of(false);
  private static final List<Boolean> SEVERAL = List.of(true);
  private static final List<Boolean> BOTH = List.of(false, true);

  /** By the kind of prior. */
  private static final Map<String, List<Candidate>> CANDIDATES =
      Map.of(
          "pixel",
          List.of(
              new Candidate("dpir", ONE, 4, 8, 16, 24, 48),
              new Candidate("rad", SEVERAL, 5, 10, 20, 40),
              new Candidate("diffpir", SEVERAL, 5, 10, 20, 40)),
          "latent",
          List.of(new Candidate("prox-diffusion", BOTH, 5, 10, 20)),
          "few-step",
          List.of(new Candidate("latino", BOTH, 2, 4, 8)));

  private static final List<String> TASKS =
      List.of(
          "inpainting-70",
          "super-resolution-4",
          "gaussian-blur-3",
          "motion-blur-31",
          "denoising-0.1");

  private PresetBench() {}

  /**
   * Measures one prior.
   *
   * @param pictures of one square size
   * @param others entries of other kinds of priors to keep, in seconds of this machine
   * @throws io.priorart.solver.PriorArtException CANCELLED
   */
  public static MeasuredPresets run(
      List<Picture> pictures,
      Prior prior,
      List<MeasuredPresets.Entry> others,
      BooleanSupplier cancelled,
      Consumer<MeasuredPresets.Entry> listener) {
    String kind = MeasuredPresets.kind(prior.traits());
    List<MeasuredPresets.Entry> entries = new ArrayList<>(others);
    entries.removeIf(e -> e.prior().equals(kind));
    for (String name : TASKS) {
      QualityTask task = QualityTask.parse(name);
      for (Candidate candidate : CANDIDATES.get(kind)) {
        if (!suits(candidate.solver(), task, prior)) {
          continue;
        }
        for (int steps : candidate.steps()) {
          MeasuredPresets.Entry one =
              measure(task, candidate.solver(), steps, kind, pictures, prior, cancelled);
          candidate.several().forEach(several -> entries.add(one.with(several)));
          listener.accept(one);
        }
      }
    }
    return new MeasuredPresets(
        Machine.describe(),
        Machine.revision(),
        MachineSpeed.seconds(),
        pictures.get(0).width(),
        entries);
  }

  private static boolean suits(String solver, QualityTask task, Prior prior) {
    boolean masks = Restorer.SOLVERS.byId(solver).needs().contains(SolverMethod.Need.MASK);
    boolean gaps = MeasuredPresets.task(task.declared()).equals("inpainting");
    return masks ? gaps && prior.traits().noiseMap() : true;
  }

  private static MeasuredPresets.Entry measure(
      QualityTask task,
      String solver,
      int steps,
      String kind,
      List<Picture> pictures,
      Prior prior,
      BooleanSupplier cancelled) {
    String preset =
        AutoSolver.preset(solver, task.declared(), Restorer.USUAL_PRESET, prior.traits());
    double psnr = 0;
    double seconds = 0;
    for (int i = 0; i < pictures.size(); i++) {
      Picture truth = pictures.get(i);
      Degrader.Degraded measured =
          Degrader.degrade(truth, task.measured(), Noise.ofSigma(task.sigma()), i, 32);
      Restorer.Restoration found =
          Restorer.restore(
              measured.measurement(),
              new Restorer.Request(
                  measured.problem().operators(),
                  Noise.ofSigma(task.sigma()),
                  solver,
                  preset,
                  Map.of(),
                  steps,
                  true,
                  Prompt.NONE,
                  i,
                  1,
                  truth.width(),
                  truth.height()),
              () -> prior,
              8,
              RestoreListener.NONE,
              Stopping.by(cancelled));
      Restorer.Sample sample = found.samples().get(0);
      psnr += Comparison.of(truth, sample.picture(), null).psnr() / pictures.size();
      seconds += (sample.solveSeconds() + sample.finishSeconds()) / pictures.size();
    }
    return new MeasuredPresets.Entry(
        kind,
        MeasuredPresets.task(task.declared()),
        solver,
        preset,
        steps,
        false,
        Math.round(psnr * 100) / 100.0,
        Math.round(seconds * 1000) / 1000.0);
  }
}
