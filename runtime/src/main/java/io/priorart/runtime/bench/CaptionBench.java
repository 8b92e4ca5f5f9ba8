package io.priorart.runtime.bench;

import io.priorart.models.Prior;
import io.priorart.models.train.PictureFolder;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.Limits;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Whether a prior reads captions: pictures restored three times with the same seed, told nothing,
 * their own caption, and, as a control, that of another picture.
 */
public final class CaptionBench {
  /**
   * @param pictures folder of pictures with captions in {@code .txt} files beside them
   * @param count how many, spread evenly over the names; 0 for all. Of pictures that share their
   *     caption only the first counts, or a series would weigh as its length
   * @param task how they are measured
   * @param solver of several samples the mean is compared: what a caption tells is little beside
   *     what one sample draws
   * @param preset of the solver
   * @param guidanceScale of the runs with a caption; those without have 1
   * @param seed of measurement and solver, plus the picture's place
   */
  public record Plan(
      Path pictures,
      int count,
      QualityTask task,
      Contender solver,
      String preset,
      Map<String, String> parameters,
      double guidanceScale,
      long seed) {
    public Plan {
      if (count < 0) {
        throw PriorArtException.badField("count", "must not be negative, was " + count);
      }
    }
  }

  /**
   * PSNR of one picture, dB.
   *
   * @param empty told nothing
   * @param captioned told its caption
   * @param other told the caption of the picture after it
   */
  public record Run(String picture, String caption, double empty, double captioned, double other) {}

  /**
   * All runs.
   *
   * @param better pictures whose caption made the error lower than none did
   * @param pBetter the chance of as many or more if captions told nothing (sign test)
   * @param betterThanOther pictures whose caption made it lower than another's did
   * @param pBetterThanOther the chance of as many or more
   */
  public record Result(
      List<Run> runs,
      int better,
      double pBetter,
      int betterThanOther,
      double pBetterThanOther,
      double meanEmpty,
      double meanCaptioned,
      double meanOther) {
    static Result of(List<Run> runs) {
      int n = runs.size();
      int better = (int) runs.stream().filter(r -> r.captioned() > r.empty()).count();
      int than = (int) runs.stream().filter(r -> r.captioned() > r.other()).count();
      return new Result(
          List.copyOf(runs),
          better,
          signTest(better, n),
          than,
          signTest(than, n),
          runs.stream().mapToDouble(Run::empty).average().orElseThrow(),
          runs.stream().mapToDouble(Run::captioned).average().orElseThrow(),
          runs.stream().mapToDouble(Run::other).average().orElseThrow());
    }
  }

  private record Captioned(Path file, String caption) {}

  private CaptionBench() {}

  /** {@code P(X >= k)} for {@code X ~ Binomial(n, 1/2)}. */
  static double signTest(int k, int n) {
    double logChoose = 0;
    double sum = 0;
    for (int i = 0; i <= n; i++) {
      if (i > 0) {
        logChoose += Math.log((n - i + 1.0) / i);
      }
      if (i >= k) {
        sum += Math.exp(logChoose - n * Math.log(2));
      }
    }
    return Math.min(1, sum);
  }

  /**
   * Runs everything.
   *
   * @throws PriorArtException INVALID_ARGUMENT for a folder with fewer than two captions; CANCELLED
   */
  public static Result run(
      Plan plan, Supplier<Prior> prior, BooleanSupplier cancelled, Consumer<Run> listener) {
    List<Captioned> chosen = chosen(plan);
    List<Run> runs = new ArrayList<>();
    for (int i = 0; i < chosen.size(); i++) {
      Captioned one = chosen.get(i);
      Picture truth = PictureFiles.read(one.file(), Limits.PIXELS);
      long seed = plan.seed() + i;
      Degrader.Degraded measured =
          Degrader.degrade(
              truth, plan.task().measured(), Noise.ofSigma(plan.task().sigma()), seed, 32);
      String other = chosen.get((i + 1) % chosen.size()).caption();
      double[] psnr = new double[3];
      String[] prompts = {"", one.caption(), other};
      for (int k = 0; k < prompts.length; k++) {
        if (cancelled.getAsBoolean()) {
          throw new PriorArtException(ErrorKind.CANCELLED, "stopped");
        }
        psnr[k] = psnr(plan, prior, cancelled, truth, measured, prompts[k], seed);
      }
      Run run =
          new Run(one.file().getFileName().toString(), one.caption(), psnr[0], psnr[1], psnr[2]);
      runs.add(run);
      listener.accept(run);
    }
    return Result.of(runs);
  }

  private static double psnr(
      Plan plan,
      Supplier<Prior> prior,
      BooleanSupplier cancelled,
      Picture truth,
      Degrader.Degraded measured,
      String prompt,
      long seed) {
    Restorer.Request request =
        new Restorer.Request(
            measured.problem().operators(),
            Noise.ofSigma(plan.task().sigma()),
            plan.solver().method().id(),
            plan.preset(),
            plan.parameters(),
            null,
            true,
            new Prompt(prompt, "", prompt.isEmpty() ? 1 : plan.guidanceScale()),
            seed,
            plan.solver().samples(),
            truth.width(),
            truth.height());
    Restorer.Restoration restored =
        Restorer.restore(
            measured.measurement(),
            request,
            prior,
            8,
            RestoreListener.NONE,
            Stopping.by(cancelled));
    return Comparison.of(truth, restored.mean(), null).psnr();
  }

  private static List<Captioned> chosen(Plan plan) {
    if (!Files.isDirectory(plan.pictures())) {
      throw PriorArtException.badField("pictures", plan.pictures() + " is no folder");
    }
    List<Captioned> all = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    try (Stream<Path> files = Files.list(plan.pictures())) {
      for (Path file : files.filter(f -> f.toString().endsWith(".png")).sorted().toList()) {
        String caption = PictureFolder.caption(file);
        if (!caption.isEmpty() && seen.add(caption)) {
          all.add(new Captioned(file, caption));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (all.size() < 2) {
      throw PriorArtException.badField(
          "pictures",
          plan.pictures() + " holds fewer than two PNG pictures with captions of their own");
    }
    int count = plan.count() == 0 ? all.size() : Math.min(plan.count(), all.size());
    List<Captioned> chosen = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      chosen.add(all.get((int) ((long) i * all.size() / count)));
    }
    return chosen;
  }
}
