package io.priorart.runtime;

import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.image.PictureInfo;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Restores a picture file into picture files, in memory: what every door does. */
public final class FileRestorer {
  private FileRestorer() {}

  /**
   * A file to restore.
   *
   * @param name what messages call the measurement
   * @param measurement the whole file
   * @param format of the results
   * @param bitDepth of the results, as far as the format holds it: 8, 16 or 32; 0 for the
   *     measurement's
   * @param meanAndDeviation whether those of several samples are wanted
   * @param choice why this solver; empty when the request named it
   */
  public record Job(
      String name,
      byte[] measurement,
      Restorer.Request request,
      PictureFormat format,
      int bitDepth,
      boolean meanAndDeviation,
      String choice) {
    public Job {
      if (bitDepth != 0 && bitDepth != 8 && bitDepth != 16 && bitDepth != 32) {
        throw PriorArtException.badField("bit-depth", "must be 8, 16 or 32, was " + bitDepth);
      }
    }

    private long pixels() {
      PictureInfo seen = PictureFiles.info(name, measurement, Limits.PIXELS);
      return request.pixels(seen.width(), seen.height());
    }

    /** The same with other operators, for instance with their files read. */
    public Job withOperators(List<OperatorRequest> others) {
      return new Job(
          name,
          measurement,
          request.withOperators(others),
          format,
          bitDepth,
          meanAndDeviation,
          choice);
    }

    /**
     * The same with a solver, where the request leaves it open.
     *
     * @param budget for solving; {@code null} for none
     * @throws PriorArtException FAILED_PRECONDITION if solver or text do not go with the prior;
     *     INVALID_ARGUMENT for a budget and a measurement that is no picture
     */
    public Job chosen(PriorTraits prior, Duration budget) {
      AutoSolver.Choice found = AutoSolver.choose(request, prior, budget, this::pixels);
      Restorer.requireFit(found.request(), prior);
      return new Job(
          name, measurement, found.request(), format, bitDepth, meanAndDeviation, found.reason());
    }
  }

  /**
   * Whole files, ready to be written.
   *
   * @param samples one each
   * @param mean {@code null} unless wanted
   * @param standardDeviation {@code null} unless wanted
   * @param report without file names
   * @param warnings what the caller should know, one sentence each
   */
  public record Restored(
      List<byte[]> samples,
      byte[] mean,
      byte[] standardDeviation,
      Report report,
      List<String> warnings) {
    /** Whether every sample's solve was let run to its end. */
    public boolean whole() {
      return report.samples().stream().allMatch(s -> s.cutShortAfter() == null);
    }
  }

  /**
   * Restores one file.
   *
   * @param pipelines asked once, and only if the solver needs a model
   */
  public static Restored restore(
      Job job, Supplier<Prior> pipelines, RestoreListener listener, Stopping stopping) {
    long begin = System.nanoTime();
    Restorer.Request request = job.request();
    Restorer.check(request);
    Picture measurement = PictureFiles.decode(job.name(), job.measurement(), Limits.PIXELS);
    double readSeconds = seconds(begin);
    int depth = job.format().depth(job.bitDepth() == 0 ? measurement.bitDepth() : job.bitDepth());
    double[] loadSeconds = new double[1];
    Prior[] used = new Prior[1];
    Restorer.Restoration restoration =
        Restorer.restore(
            measurement,
            request,
            () -> {
              long loading = System.nanoTime();
              used[0] = pipelines.get();
              loadSeconds[0] = seconds(loading);
              return used[0];
            },
            depth,
            listener,
            stopping);
    long writing = System.nanoTime();
    List<byte[]> samples = new ArrayList<>();
    for (Restorer.Sample sample : restoration.samples()) {
      samples.add(PictureFiles.encode(sample.picture(), job.format()));
    }
    boolean moments = job.meanAndDeviation();
    byte[] mean = moments ? PictureFiles.encode(restoration.mean(), job.format()) : null;
    byte[] deviation =
        moments ? PictureFiles.encode(restoration.standardDeviation(), job.format()) : null;
    Report report =
        Report.of(
            request,
            restoration,
            used[0],
            job.choice(),
            new Report.Seconds(readSeconds, loadSeconds[0], seconds(writing), seconds(begin)));
    return new Restored(samples, mean, deviation, report, warnings(restoration, request, used[0]));
  }

  private static double seconds(long sinceNanos) {
    return (System.nanoTime() - sinceNanos) * 1e-9;
  }

  private static List<String> warnings(
      Restorer.Restoration restoration, Restorer.Request request, Prior model) {
    List<String> warnings = new ArrayList<>();
    switch (restoration.spectrum().judgement()) {
      case TOO_SMOOTH ->
          warnings.add(
              "the measurement is smoother than the declared operator makes photographs: was the"
                  + " blur stronger?");
      case TOO_DETAILED ->
          warnings.add(
              "the measurement is more detailed than the declared operator lets through: was the"
                  + " blur weaker?");
      case PLAUSIBLE, UNKNOWN -> {}
    }
    if (request.noise() instanceof Noise.Poisson && Restorer.takesEvenNoise(request.solver())) {
      warnings.add(
          request.solver()
              + " takes counted light's noise at its mean variance; cdim weighs each pixel by its"
              + " own");
    }
    List<Restorer.Sample> samples = restoration.samples();
    for (int k = 0; k < samples.size(); k++) {
      int step = samples.get(k).cutShortAfter();
      if (step > 0) {
        warnings.add(
            (request.samples() == 1 ? "" : "sample " + k + ": ")
                + "stopped after step "
                + step
                + ": this is the estimate so far");
      }
    }
    if (samples.size() < request.samples()) {
      warnings.add(
          "stopped before all samples were begun: these are %d of %d"
              .formatted(samples.size(), request.samples()));
    }
    if (model != null) {
      warnIfCut(model, "prompt", request.prompt().text(), warnings);
      warnIfCut(model, "negative prompt", request.prompt().negative(), warnings);
    }
    return warnings;
  }

  private static void warnIfCut(Prior model, String what, String text, List<String> warnings) {
    if (model.truncates(text)) {
      warnings.add("the " + what + " is longer than the text encoder reads; its end is cut");
    }
  }
}
