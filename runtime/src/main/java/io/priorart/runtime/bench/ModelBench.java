package io.priorart.runtime.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.Autoencoder;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelSource;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptModule;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Seconds and memory of a checkpoint's networks, each by itself. */
public final class ModelBench {
  private static final int PROMPT_GUIDANCE = 2;
  private static final String PROMPT = "a photograph";

  /** Which networks are timed; of {@link #vae} nothing else is loaded. */
  public enum Part {
    all,
    denoiser,
    vae,
    load
  }

  /**
   * What is measured.
   *
   * @param guided whether the denoiser runs on two samples: with and without the prompt
   * @param side of the picture in pixels
   * @param repeats timed ones of each, after one that is not
   */
  public record Plan(
      ModelSource source, Precision precision, Part part, boolean guided, int side, int repeats) {
    public Plan {
      if (side < 8 || side > 8192) {
        throw PriorArtException.badField("side", "must be 8 to 8192 pixels, was " + side);
      }
      if (repeats < 1 || repeats > 1000) {
        throw PriorArtException.badField("repeats", "must be 1 to 1000, was " + repeats);
      }
    }
  }

  /**
   * Medians in seconds, peaks in MiB; what was not measured is {@code null}.
   *
   * @param load from nothing but the engine to ready
   * @param loadAnonymous most memory that no file backs, while loading
   * @param anonymous the same in all
   * @param peak most resident memory in all, mapped weights included
   */
  public record Figures(
      double load,
      Double denoise,
      Double decode,
      Double decodePullback,
      double loadAnonymous,
      double anonymous,
      double peak) {}

  private final Plan plan;
  private final BooleanSupplier stop;
  private final AnonymousMemory memory = new AnonymousMemory();
  private double load;
  private double loadAnonymous;
  private Double denoise;
  private Double decode;
  private Double decodePullback;

  private ModelBench(Plan plan, BooleanSupplier stop) {
    this.plan = plan;
    this.stop = stop;
  }

  /**
   * Loads and measures; peaks are those of the process, so one process measures one plan.
   *
   * @param stop polled before every evaluation
   */
  public static Figures run(Plan plan, BooleanSupplier stop) {
    ModelBench bench = new ModelBench(plan, stop);
    ScriptModule.threads(); // the engine's libraries are no part of a checkpoint's loading
    try (AnonymousMemory watched = bench.memory) {
      watched.start();
      if (plan.part() == Part.vae) {
        bench.codec();
      } else {
        bench.prior();
      }
      return new Figures(
          bench.load,
          bench.denoise,
          bench.decode,
          bench.decodePullback,
          bench.loadAnonymous,
          watched.peak(),
          AnonymousMemory.status("VmHWM"));
    }
  }

  private CompileOptions options() {
    return CompileOptions.AUTO.withPrecision(plan.precision());
  }

  private void codec() {
    try (Autoencoder codec = loading(() -> Autoencoder.load(plan.source(), options()));
        NDManager manager = codec.manager().newSubManager()) {
      // eight pixels a latent in every published family
      int side = plan.side() / 8;
      NDArray z =
          new NoiseSource(0).normal(manager, new Shape(1, codec.latentChannels(), side, side));
      decode = seconds(() -> codec.decode(z));
      pullback(z, () -> codec.decodeAt(z));
    }
  }

  private void prior() {
    try (Prior prior = loading(() -> ModelFamilies.load(plan.source(), options()))) {
      LatentDiffusionModel model = prior.bind(plan.side(), plan.side());
      try (NDManager manager = model.manager().newSubManager()) {
        Shape shape = new Shape(1).addAll(model.latentShape());
        NDArray z = new NoiseSource(0).normal(manager, shape);
        Conditioning text =
            prior.traits().text()
                ? model.condition(
                    manager, new Prompt(PROMPT, "", plan.guided() ? PROMPT_GUIDANCE : 1))
                : Conditioning.NONE;
        double sigma = prior.schedule().sigma(prior.schedule().trainTimesteps() / 2);
        if (plan.part() == Part.load) {
          return;
        }
        denoise = seconds(() -> model.denoise(z, sigma, text));
        if (plan.part() == Part.all && !prior.traits().pixelSpace()) {
          decode = seconds(() -> model.decode(z));
          pullback(z, () -> model.decodeAt(z));
        }
      }
    }
  }

  private <T> T loading(Supplier<T> what) {
    long begin = System.nanoTime();
    T loaded = what.get();
    load = (System.nanoTime() - begin) * 1e-9;
    loadAnonymous = memory.peak();
    return loaded;
  }

  /** Forward with its graph, and one pullback. */
  private void pullback(NDArray z, Supplier<Linearization> at) {
    decodePullback =
        seconds(
            () -> {
              try (Linearization linear = at.get()) {
                NDArray gradient = linear.pullback(linear.value());
                linear.value().close();
                return gradient;
              }
            });
  }

  private double seconds(Supplier<NDArray> evaluation) {
    double[] found = new double[plan.repeats()];
    for (int i = -1; i < found.length; i++) {
      if (stop.getAsBoolean()) {
        throw new PriorArtException(ErrorKind.CANCELLED, "stopped");
      }
      long begin = System.nanoTime();
      evaluation.get().close();
      if (i >= 0) {
        found[i] = (System.nanoTime() - begin) * 1e-9;
      }
    }
    Arrays.sort(found);
    return found[found.length / 2];
  }

  /** Looks at the process's memory again and again. */
  private static final class AnonymousMemory implements AutoCloseable {
    private static final long MILLIS = 20;
    private final Thread watcher = new Thread(this::watch, "memory");
    private volatile boolean open = true;
    private volatile double peak;

    void start() {
      watcher.setDaemon(true);
      watcher.start();
    }

    private void watch() {
      try {
        while (open) {
          look();
          Thread.sleep(MILLIS);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }

    private synchronized void look() {
      peak = Math.max(peak, status("RssAnon"));
    }

    double peak() {
      look();
      return peak;
    }

    /** A line of Linux's account of this process, in MiB. */
    static double status(String name) {
      try {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(line -> line.startsWith(name + ":"))
            .mapToDouble(line -> Double.parseDouble(line.replaceAll("\\D", "")) / 1024)
            .findFirst()
            .orElse(Double.NaN);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public void close() {
      open = false;
    }
  }
}
