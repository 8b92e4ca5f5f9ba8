package io.priorart.runtime;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.priorart.models.PriorTraits;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.DoubleSupplier;
import java.util.stream.Collectors;

/**
 * What solvers reach in how much time, measured on the tuning pictures with the bundled priors
 * ({@code bench presets} makes the file), so that a time budget can be turned into a solver and its
 * steps.
 *
 * @param machine that was measured on; entries that were kept from another are scaled to it
 * @param revision that was measured, of the last measurement
 * @param speed {@link MachineSpeed#seconds} there
 * @param side of the pictures in pixels
 * @param entries in no order
 */
public record MeasuredPresets(
    Map<String, Object> machine, String revision, double speed, int side, List<Entry> entries) {
  /** Tasks that none of the others is like. */
  public static final String OTHER = "other";

  private static final String RESOURCE = "measured-presets.json";

  /** Loading, reading and writing, and what the measure itself is off by. */
  private static final double SHARE_FOR_SOLVING = 0.8;

  private static final MeasuredPresets BUNDLED = read();

  /**
   * One setting on one task.
   *
   * @param prior {@link #kind} of the prior
   * @param task operator that decides, see {@link #task}
   * @param several whether it draws samples that differ
   * @param psnr mean over the pictures, dB
   * @param seconds of solving and the final steps, one picture
   */
  public record Entry(
      String prior,
      String task,
      String solver,
      String preset,
      int steps,
      boolean several,
      double psnr,
      double seconds) {
    /** The same for one picture or for several. */
    public Entry with(boolean ofSeveral) {
      return new Entry(prior, task, solver, preset, steps, ofSeveral, psnr, seconds);
    }
  }

  public MeasuredPresets {
    machine = new LinkedHashMap<>(machine);
    entries = List.copyOf(entries);
  }

  private static MeasuredPresets read() {
    try (InputStream in = MeasuredPresets.class.getResourceAsStream(RESOURCE)) {
      return Json.read(new String(in.readAllBytes(), UTF_8), MeasuredPresets.class);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * A table that {@code bench presets} wrote.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT
   */
  public static MeasuredPresets read(Path file) {
    try {
      return Json.read(Files.readString(file), MeasuredPresets.class);
    } catch (NoSuchFileException e) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, file + ": no such file");
    } catch (IOException | UncheckedIOException | NullPointerException e) {
      throw PriorArtException.badField("table", file + " is none: " + e.getMessage());
    }
  }

  /**
   * The same on another machine, as far as a stack of convolutions can tell.
   *
   * @param here {@link MachineSpeed#seconds} there
   */
  public MeasuredPresets scaledTo(double here) {
    List<Entry> scaled =
        entries.stream()
            .map(
                e ->
                    new Entry(
                        e.prior(),
                        e.task(),
                        e.solver(),
                        e.preset(),
                        e.steps(),
                        e.several(),
                        e.psnr(),
                        Math.round(e.seconds() * here / speed * 1000) / 1000.0))
            .toList();
    return new MeasuredPresets(machine, revision, here, side, scaled);
  }

  /** Those that PriorArt comes with. */
  public static MeasuredPresets bundled() {
    return BUNDLED;
  }

  /** The kind of prior that an entry is of; {@code null} for one that none is of. */
  public static String kind(PriorTraits prior) {
    if (prior.proximal()) {
      return null;
    }
    return prior.pixelSpace() ? "pixel" : prior.fewStep() ? "few-step" : "latent";
  }

  /** The operator that decides how hard a task is. */
  public static String task(List<OperatorRequest> operators) {
    List<String> names = operators.stream().map(OperatorRequest::name).toList();
    if (names.contains("inpainting")) {
      return "inpainting";
    }
    List<String> acting = names.stream().filter(n -> !n.equals("identity")).toList();
    return acting.isEmpty() ? "identity" : acting.size() == 1 ? acting.get(0) : OTHER;
  }

  /** A setting with the time it should take here. */
  record Fit(Entry entry, double seconds, boolean within) {}

  /**
   * The setting that reaches most within a budget, or the fastest where none is within it. A task
   * that was not measured counts as the mean of those that were.
   *
   * @param pixels of the picture; each twice where guidance makes two evaluations of one
   * @param here {@link MachineSpeed#seconds}, asked only if there is a choice
   */
  Optional<Fit> best(
      PriorTraits prior,
      List<OperatorRequest> operators,
      int samples,
      long pixels,
      Duration budget,
      DoubleSupplier here) {
    String kind = kind(prior);
    List<Entry> suitable =
        entries.stream()
            .filter(e -> e.prior().equals(kind) && e.several() == samples > 1)
            .filter(e -> Restorer.fits(e.solver(), prior))
            .toList();
    String task = task(operators);
    List<Entry> own = suitable.stream().filter(e -> e.task().equals(task)).toList();
    List<Entry> candidates = own.isEmpty() ? means(suitable) : own;
    if (candidates.isEmpty()) {
      return Optional.empty();
    }
    double factor = here.getAsDouble() / speed * pixels / ((double) side * side) * samples;
    double most = budget.toNanos() * 1e-9 * SHARE_FOR_SOLVING;
    List<Fit> fits =
        candidates.stream()
            .map(e -> new Fit(e, e.seconds() * factor, e.seconds() * factor <= most))
            .toList();
    return fits.stream()
        .filter(Fit::within)
        .max(Comparator.comparingDouble(f -> f.entry().psnr()))
        .or(() -> fits.stream().min(Comparator.comparingDouble(Fit::seconds)));
  }

  /** Over the tasks, of settings that all of them have; a preset of one task's own stays there. */
  private static List<Entry> means(List<Entry> all) {
    Map<String, List<Entry>> groups =
        all.stream()
            .filter(e -> e.preset().equals(Restorer.USUAL_PRESET))
            .collect(Collectors.groupingBy(e -> e.solver() + " " + e.steps()));
    long tasks = all.stream().map(Entry::task).distinct().count();
    return groups.values().stream()
        .filter(g -> 2 * g.size() >= tasks)
        .map(
            g ->
                new Entry(
                    g.get(0).prior(),
                    OTHER,
                    g.get(0).solver(),
                    g.get(0).preset(),
                    g.get(0).steps(),
                    g.get(0).several(),
                    g.stream().mapToDouble(Entry::psnr).average().orElseThrow(),
                    g.stream().mapToDouble(Entry::seconds).max().orElseThrow()))
        .toList();
  }

  /** Why a setting was taken, for the report. */
  static String reason(Fit fit, Duration budget) {
    Entry e = fit.entry();
    String figures =
        String.format(
            Locale.ROOT,
            "%d steps, %.2f dB on the tuning pictures with the bundled prior, %.1f s predicted here",
            e.steps(),
            e.psnr(),
            fit.seconds());
    String asked = BigDecimal.valueOf(budget.toMillis(), 3).stripTrailingZeros().toPlainString();
    return fit.within()
        ? "budget of %s s: the best measured setting within it (%s)".formatted(asked, figures)
        : "budget of %s s: the fastest measured setting (%s), it may be cut short"
            .formatted(asked, figures);
  }
}
