package io.priorart.runtime.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.train.DenoiserTraining;
import io.priorart.models.train.Lap;
import io.priorart.models.train.TrainingListener;
import io.priorart.models.train.TrainingPicture;
import io.priorart.runtime.Limits;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.ProblemFile;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.TensorScope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;

/**
 * Learns a prior from damaged pictures alone (Rozet et al., "Learning Diffusion Priors from
 * Observations by Expectation Maximization", NeurIPS 2024, arXiv 2405.13712, algorithm 1): each lap
 * draws one picture from every measurement's posterior under the prior so far, by moment matching
 * ({@code mmps}), and trains the denoiser on them. The first lap's prior is Gaussian ({@code
 * wiener}, drawn from).
 *
 * <p>Deviations, and why: the first prior's spectrum is that of photographs instead of one fitted
 * by sixteen rounds of Gaussian expectation maximisation, which for natural pictures come to the
 * same; the network trains on 8-bit pictures, as it always does.
 */
public final class ExpectationMaximization {
  private static final String FIRST = "wiener";
  private static final String THEN = "mmps";
  private static final Duration SAVE_EVERY = Duration.ofMinutes(5);
  private static final double HELD_OUT_SIGMA = 0.1;
  private static final int HELD_OUT_SIDE = 256;

  /**
   * A measurement and its operator.
   *
   * @param name of the picture's file
   */
  private record Observation(String name, Picture picture, ProblemFile problem) {}

  /**
   * @param data folders of pictures as {@code degrade} writes them, each with its {@code
   *     .problem.json}
   * @param heldOut undamaged pictures to measure on after each lap; empty for none
   * @param laps how often to draw and train, at least 1
   * @param lap training time of each
   * @param steps of {@code mmps}
   * @param iterations of {@code mmps}
   * @param out checkpoint folder, must not exist
   * @param state folder of the laps; finished ones in it are kept and not done again
   */
  public record Plan(
      List<Path> data,
      List<Path> heldOut,
      int laps,
      Duration lap,
      int steps,
      int iterations,
      DenoisingUNet.Config network,
      DenoiserTraining.Options training,
      Path out,
      Path state) {
    public Plan {
      if (laps < 1) {
        throw PriorArtException.badField("laps", "must be at least 1, was " + laps);
      }
    }
  }

  private final Plan plan;
  private final BooleanSupplier stop;
  private final TrainingListener listener;

  public ExpectationMaximization(Plan plan, BooleanSupplier stop, TrainingListener listener) {
    this.plan = plan;
    this.stop = stop;
    this.listener = listener;
  }

  /**
   * Runs the laps and moves the last one's checkpoint to {@link Plan#out}. When a stop is asked
   * for, the laps that are finished stay for the next run.
   *
   * @return whether all laps were done
   */
  public boolean run() throws IOException {
    if (Files.exists(plan.out())) {
      throw PriorArtException.badField("out", plan.out() + " exists; name another folder");
    }
    List<Observation> observations = observations();
    List<Picture> heldOut = heldOut();
    listener.note(observations.size() + " measurements");
    Files.createDirectories(plan.state());
    Path last = null;
    for (int lap = 0; lap < plan.laps(); lap++) {
      Path checkpoint = plan.state().resolve("lap-" + lap);
      if (!Files.exists(checkpoint.resolve("model_index.json"))) {
        Optional<List<TrainingPicture>> drawn = draw(observations, last, lap);
        if (drawn.isEmpty() || !train(drawn.get(), last, checkpoint, lap)) {
          return false;
        }
        log(lap, checkpoint, heldOut);
      }
      last = checkpoint;
    }
    copy(last, plan.out());
    return true;
  }

  /** One posterior draw of every measurement; empty when stopped. */
  private Optional<List<TrainingPicture>> draw(
      List<Observation> observations, Path checkpoint, int lap) {
    List<TrainingPicture> pictures = new ArrayList<>();
    try (Prior prior =
        checkpoint == null ? null : ModelFamilies.load(checkpoint, CompileOptions.AUTO)) {
      for (Observation o : observations) {
        if (stop.getAsBoolean()) {
          return Optional.empty();
        }
        Restorer.Request request = request(o, prior != null, lap);
        pictures.add(
            training(
                Restorer.restore(
                        o.picture(),
                        request,
                        () -> prior,
                        32,
                        RestoreListener.NONE,
                        Stopping.by(stop))
                    .samples()
                    .get(0)
                    .picture()));
        listener.note("lap " + lap + ": drew " + pictures.size() + " of " + observations.size());
      }
    } catch (PriorArtException e) {
      if (e.kind() == ErrorKind.CANCELLED) {
        return Optional.empty();
      }
      throw e;
    }
    return Optional.of(pictures);
  }

  private Restorer.Request request(Observation o, boolean hasPrior, int lap) {
    ProblemFile p = o.problem();
    Map<String, Object> parameters =
        hasPrior
            ? Map.of("steps", plan.steps(), "iterations", plan.iterations())
            : Map.of("exponent", 2.5, "draw", true);
    return new Restorer.Request(
        p.operators(),
        p.noise(),
        hasPrior ? THEN : FIRST,
        Restorer.USUAL_PRESET,
        parameters,
        null,
        false,
        Prompt.NONE,
        plan.training().seed() + lap,
        1,
        p.width(),
        p.height());
  }

  /** Trains from the last lap's weights; false when stopped. */
  private boolean train(List<TrainingPicture> pictures, Path last, Path checkpoint, int lap)
      throws IOException {
    DenoiserTraining.Options t = plan.training();
    Path state = checkpoint.resolveSibling(checkpoint.getFileName() + ".state.safetensors");
    Files.deleteIfExists(state);
    DenoiserTraining.run(
        plan.network(),
        new DenoiserTraining.Options(
            t.patch(), t.batch(), t.learningRate(), plan.lap(), t.seed() + lap),
        pictures,
        new Lap(state, checkpoint, last, SAVE_EVERY, stop, listener));
    Files.deleteIfExists(state);
    boolean stopped = stop.getAsBoolean();
    if (stopped) {
      Files.deleteIfExists(checkpoint.resolve("model_index.json"));
    }
    return !stopped;
  }

  private void log(int lap, Path checkpoint, List<Picture> heldOut) throws IOException {
    if (heldOut.isEmpty()) {
      return;
    }
    double psnr = denoising(checkpoint, heldOut);
    listener.note(
        String.format(
            Locale.ROOT,
            "lap %d: denoising at sigma %.2f, held-out PSNR %.2f dB",
            lap,
            HELD_OUT_SIGMA,
            psnr));
    Path csv = plan.state().resolve("laps.csv");
    String before = Files.exists(csv) ? Files.readString(csv) : "lap,psnr\n";
    PictureFiles.writeBytes(
        csv, (before + String.format(Locale.ROOT, "%d,%.4f%n", lap, psnr)).getBytes());
  }

  /** Mean PSNR of one denoiser evaluation, the same noise each time. */
  private static double denoising(Path checkpoint, List<Picture> pictures) {
    NoiseSource random = new NoiseSource(0);
    double sum = 0;
    try (Prior prior = ModelFamilies.load(checkpoint, CompileOptions.AUTO)) {
      for (Picture picture : pictures) {
        LatentDiffusionModel model = prior.bind(picture.height(), picture.width());
        try (NDManager manager = model.manager().newSubManager();
            TensorScope scope = new TensorScope()) {
          HostTensor truth = picture.pixels();
          double sigma = 2 * HELD_OUT_SIGMA;
          NDArray x = truth.to(manager);
          NDArray noisy = x.add(random.normal(manager, truth.shape()).mul(sigma));
          NDArray clean = model.denoise(noisy, sigma, Conditioning.NONE);
          sum += -10 * Math.log10(clean.sub(x).square().mean().getFloat() / 4);
        }
      }
    }
    return sum / pictures.size();
  }

  private List<Observation> observations() throws IOException {
    List<Observation> all = new ArrayList<>();
    for (Path folder : plan.data()) {
      for (Path file : files(folder)) {
        if (file.toString().endsWith(".problem.json")) {
          all.add(observation(file));
        }
      }
    }
    if (all.isEmpty()) {
      throw PriorArtException.badField(
          "data", "no .problem.json in " + plan.data() + "; degrade writes them beside pictures");
    }
    return all;
  }

  private static Observation observation(Path file) {
    String stem = file.getFileName().toString().replaceAll("\\.problem\\.json$", "");
    for (String extension : new String[] {".tif", ".tiff", ".png"}) {
      Path picture = file.resolveSibling(stem + extension);
      if (Files.isRegularFile(picture)) {
        ProblemFile p = ProblemFile.read(file);
        List<OperatorRequest> operators =
            p.operators().stream()
                .map(o -> o.relativeTo(file.toAbsolutePath().getParent()).resolved(Limits.PIXELS))
                .toList();
        Picture measured = PictureFiles.read(picture, Limits.PIXELS);
        return new Observation(
            stem, measured, new ProblemFile(operators, p.noise(), p.seed(), p.width(), p.height()));
      }
    }
    throw PriorArtException.badField(
        "data", file + " has no picture " + stem + ".tif or .png beside it");
  }

  private List<Picture> heldOut() throws IOException {
    List<Picture> pictures = new ArrayList<>();
    for (Path folder : plan.heldOut()) {
      for (Path file : files(folder)) {
        if (file.toString().toLowerCase(Locale.ROOT).matches(".*\\.(png|jpe?g|tiff?)")) {
          pictures.add(PictureFiles.read(file, Limits.PIXELS));
        }
      }
    }
    for (Picture p : pictures) {
      if (p.channels() != 3 || p.width() > 8 * HELD_OUT_SIDE || p.height() > 8 * HELD_OUT_SIDE) {
        throw PriorArtException.badField(
            "held-out", "pictures must be RGB of at most " + 8 * HELD_OUT_SIDE + " pixels a side");
      }
    }
    return pictures;
  }

  private static List<Path> files(Path folder) throws IOException {
    if (!Files.isDirectory(folder)) {
      throw PriorArtException.badField("data", folder + " is no folder");
    }
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(Files::isRegularFile).sorted().toList();
    }
  }

  private static TrainingPicture training(Picture picture) {
    float[] v = picture.pixels().values();
    int plane = picture.width() * picture.height();
    byte[] rgb = new byte[3 * plane];
    for (int p = 0; p < plane; p++) {
      for (int c = 0; c < 3; c++) {
        float value = v[c * plane + p];
        rgb[3 * p + c] = (byte) Math.round(127.5f * (Math.max(-1, Math.min(1, value)) + 1));
      }
    }
    return new TrainingPicture(picture.width(), picture.height(), rgb, "");
  }

  /** Copies a folder aside, then renames it. */
  private static void copy(Path from, Path to) {
    Path aside = to.resolveSibling("." + to.getFileName() + ".part");
    try (Stream<Path> files = Files.walk(from)) {
      for (Path file : files.toList()) {
        Path target = aside.resolve(from.relativize(file).toString());
        if (Files.isDirectory(file)) {
          Files.createDirectories(target);
        } else {
          Files.copy(file, target, StandardCopyOption.REPLACE_EXISTING);
        }
      }
      Files.move(aside, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
