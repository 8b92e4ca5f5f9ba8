package io.priorart.runtime.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.DiffusionPipeline;
import io.priorart.models.ModelFamilies;
import io.priorart.models.PredictionType;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.train.TrainingPicture;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.image.Picture;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.TensorScope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;

/**
 * What a checkpoint's networks do on pictures, each by itself and without a solver. Crops, noise
 * and masks depend on the seed and on the picture's place alone: the same pictures give the same
 * figures.
 */
public final class CheckpointEvaluation {
  /** Noise levels on the [0,1] scale. */
  private static final double[] SIGMAS = {0.02, 0.05, 0.1, 0.2, 0.5};

  private static final double[] MISSING = {0.5, 0.7, 0.92};
  private static final double KNOWN_SIGMA = 0.01;
  private static final int RANGES = 10;

  /** Noises, each at a timestep of its own, of a picture in a range. */
  private static final int DRAWS = 2;

  private static final int CAPTIONED = 8;
  private static final int MAX_SIDE = 4096;

  /**
   * @param side crops from the middle of the pictures are of at most so many pixels a side
   * @param limit how many pictures at most, spread evenly over all; 0 for all
   * @param seed of noise and masks
   */
  public record Options(int side, int limit, long seed) {
    public Options {
      if (side < 1 || side > MAX_SIDE) {
        throw PriorArtException.badField("side", "must be 1 to " + MAX_SIDE + ", was " + side);
      }
      if (limit < 0) {
        throw PriorArtException.badField("limit", "must be 0 or more, was " + limit);
      }
    }
  }

  /**
   * The figures; null for what the checkpoint has not.
   *
   * @param pictures how many were evaluated; a network leaves out those smaller than its stride
   */
  public record Figures(
      int pictures, int side, Denoiser denoiser, Autoencoder autoencoder, Diffusion diffusion) {}

  /**
   * A pixel prior, one evaluation a picture, clamped to what a picture can show; a learned proximal
   * operator at its own noise alone.
   *
   * @param masked empty for a network without a noise map
   */
  public record Denoiser(int pictures, List<Denoising> denoising, List<Masked> masked) {}

  /**
   * @param sigma deviation of the noise on the [0,1] scale
   * @param psnr mean over the pictures, dB
   */
  public record Denoising(double sigma, double psnr) {}

  /**
   * @param missing share of pixels, drawn one by one
   * @param sigma of the noise on the known ones, [0,1] scale
   * @param psnr mean over the pictures, dB, all pixels counted
   */
  public record Masked(double missing, double sigma, double psnr) {}

  /**
   * Reconstruction from the mean of the posterior.
   *
   * @param psnr mean over the pictures, dB
   * @param ssim mean over the pictures of at least 11 pixels a side; null if there are none
   * @param kl divergence of the posterior from N(0, I) in nats for an element of the latent as the
   *     encoder gives it, mean over all
   */
  public record Autoencoder(int pictures, double psnr, Double ssim, double kl) {}

  /**
   * Squared errors in {@code z_t = sqrt(alphaBar) z_0 + sqrt(1-alphaBar) eps}, mean over latent
   * elements, pictures and draws. {@code epsilonError} is that of the noise, whatever the network
   * says, so that checkpoints of different targets compare.
   *
   * @param prediction what the network says, and {@code loss} is the squared error of
   * @param epsilonError mean over the ranges
   * @param loss mean over the ranges
   * @param captioned pictures with a caption that were evaluated with it and without, 8 at most
   */
  public record Diffusion(
      int pictures,
      String prediction,
      double epsilonError,
      double loss,
      List<Range> ranges,
      int captioned,
      Double captionedEpsilonError,
      Double emptyEpsilonError) {}

  /**
   * @param from first timestep
   * @param to last timestep
   * @param captioned epsilon error over the captioned pictures; null without any
   * @param empty that of the same pictures and noise with the empty caption
   */
  public record Range(
      int from, int to, double epsilonError, double loss, Double captioned, Double empty) {}

  private final Options options;
  private final BooleanSupplier stop;
  private final List<TrainingPicture> pictures;
  private final NoiseSource random = new NoiseSource(0);

  private CheckpointEvaluation(
      List<TrainingPicture> pictures, Options options, BooleanSupplier stop) {
    this.options = options;
    this.stop = stop;
    int n = pictures.size();
    int count = options.limit() == 0 ? n : Math.min(n, options.limit());
    List<TrainingPicture> chosen = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      chosen.add(pictures.get((int) ((long) i * n / count)));
    }
    this.pictures = chosen;
  }

  /**
   * Evaluates a checkpoint folder: a pixel prior, a latent prior with its auto-encoder, or the
   * auto-encoder alone.
   *
   * @param pictures in a fixed order
   * @param stop polled before every picture
   * @throws PriorArtException NOT_FOUND when the folder holds none of these; INVALID_ARGUMENT when
   *     no picture is large enough; CANCELLED
   */
  public static Figures evaluate(
      Path checkpoint, List<TrainingPicture> pictures, Options options, BooleanSupplier stop) {
    return new CheckpointEvaluation(pictures, options, stop).run(checkpoint);
  }

  private Figures run(Path checkpoint) {
    boolean whole = Files.isRegularFile(checkpoint.resolve("model_index.json"));
    boolean hasCodec = Files.isRegularFile(checkpoint.resolve("vae/config.json"));
    if (!whole && !hasCodec) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          checkpoint + ": holds neither a model_index.json nor a vae/config.json");
    }
    Autoencoder codec = hasCodec ? autoencoder(checkpoint.resolve("vae")) : null;
    Denoiser denoiser = null;
    Diffusion diffusion = null;
    if (whole) {
      try (Prior prior = ModelFamilies.load(checkpoint, CompileOptions.AUTO)) {
        if (prior.traits().pixelSpace()) {
          denoiser = denoiser(prior);
        } else {
          diffusion = diffusion(prior, ((DiffusionPipeline) prior).prediction());
        }
      }
    }
    return new Figures(pictures.size(), options.side(), denoiser, codec, diffusion);
  }

  // ---- pictures

  /** The middle of a picture, cut to multiples of a stride. */
  private record Crop(int index, Picture picture, String caption) {}

  private List<Crop> crops(int stride) {
    List<Crop> crops = new ArrayList<>();
    for (int i = 0; i < pictures.size(); i++) {
      TrainingPicture p = pictures.get(i);
      int w = Math.min(options.side(), p.width()) / stride * stride;
      int h = Math.min(options.side(), p.height()) / stride * stride;
      if (w > 0 && h > 0) {
        crops.add(new Crop(i, new Picture(p.middle(w, h), 8, null), p.caption()));
      }
    }
    if (crops.isEmpty()) {
      throw PriorArtException.badField(
          options.side() < stride ? "side" : "data",
          "the network takes pictures of at least " + stride + " pixels a side, there is none");
    }
    return crops;
  }

  private void requireGoing() {
    if (stop.getAsBoolean()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "the evaluation was stopped");
    }
  }

  /** Begins the random stream of one picture's figure. */
  private void restart(Crop crop, int figure) {
    random.restart(options.seed(), (long) figure * Integer.MAX_VALUE + crop.index());
  }

  private static double psnr(NDArray found, HostTensor truth) {
    float[] f = found.toFloatArray();
    float[] x = truth.values();
    double sum = 0;
    for (int i = 0; i < f.length; i++) {
      double d = (Math.max(-1, Math.min(1, f[i])) - x[i]) / 2.0;
      sum += d * d;
    }
    return -10 * Math.log10(sum / f.length);
  }

  // ---- pixel prior

  private Denoiser denoiser(Prior prior) {
    List<Crop> crops = crops(1);
    double[] sigmas =
        prior.traits().proximal() ? new double[] {prior.bind(1, 1).proximal().sigma() / 2} : SIGMAS;
    double[] denoising = new double[sigmas.length];
    double[] masked = new double[prior.traits().noiseMap() ? MISSING.length : 0];
    float most = (float) prior.schedule().sigma(prior.schedule().trainTimesteps() - 1);
    for (Crop crop : crops) {
      requireGoing();
      HostTensor truth = crop.picture().pixels();
      LatentDiffusionModel model = prior.bind(crop.picture().height(), crop.picture().width());
      for (int k = 0; k < sigmas.length; k++) {
        restart(crop, k);
        double sigma = 2 * sigmas[k];
        try (NDManager scratch = model.manager().newSubManager();
            TensorScope scope = new TensorScope()) {
          NDArray noise = random.normal(scratch, truth.shape());
          NDArray noisy = truth.to(scratch).add(noise.mul(sigma));
          NDArray clean =
              model.proximal() != null
                  ? model.proximal().apply(noisy)
                  : model.denoise(noisy, sigma, Conditioning.NONE);
          denoising[k] += psnr(clean, truth);
        }
      }
      for (int k = 0; k < masked.length; k++) {
        restart(crop, sigmas.length + k);
        masked[k] += psnrOfMasked(model, truth, MISSING[k], most);
      }
    }
    List<Denoising> levels = new ArrayList<>();
    for (int k = 0; k < sigmas.length; k++) {
      levels.add(new Denoising(sigmas[k], denoising[k] / crops.size()));
    }
    List<Masked> shares = new ArrayList<>();
    for (int k = 0; k < masked.length; k++) {
      shares.add(new Masked(MISSING[k], KNOWN_SIGMA, masked[k] / crops.size()));
    }
    return new Denoiser(crops.size(), levels, shares);
  }

  /** Missing pixels hold noise of the highest level and nothing of the picture. */
  private double psnrOfMasked(
      LatentDiffusionModel model, HostTensor truth, double share, float most) {
    Shape shape = truth.shape();
    int plane = Math.toIntExact(shape.get(2) * shape.get(3));
    float[] levels = new float[plane];
    for (int i = 0; i < plane; i++) {
      levels[i] = random.uniform() < share ? most : (float) (2 * KNOWN_SIGMA);
    }
    float[] seen = random.normal(shape).values();
    for (int i = 0; i < seen.length; i++) {
      boolean known = levels[i % plane] < most;
      seen[i] = seen[i] * levels[i % plane] + (known ? truth.values()[i] : 0);
    }
    try (NDManager scratch = model.manager().newSubManager();
        TensorScope scope = new TensorScope()) {
      NDArray map = scratch.create(levels, new Shape(1, 1, shape.get(2), shape.get(3)));
      return psnr(model.denoise(scratch.create(seen, shape), map, Conditioning.NONE), truth);
    }
  }

  // ---- auto-encoder

  private Autoencoder autoencoder(Path part) {
    AutoencoderKL.Config config =
        AutoencoderKL.Config.of(ConfigNode.read(part.resolve("config.json")));
    SafetensorsFile file =
        SafetensorsFile.open(part.resolve("diffusion_pytorch_model.safetensors"));
    List<Crop> crops = crops(config.stride());
    double psnr = 0;
    double ssim = 0;
    int withSsim = 0;
    double kl = 0;
    long elements = 0;
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule codec =
            ScriptModule.load(manager, AutoencoderKL.compile(config, CompileOptions.AUTO), file)) {
      for (Crop crop : crops) {
        requireGoing();
        try (NDManager scratch = manager.newSubManager();
            TensorScope scope = new TensorScope()) {
          NDArray x = crop.picture().pixels().to(scratch);
          NDArray[] found = codec.call("forward", x);
          float[] y = found[0].toFloatArray();
          for (int i = 0; i < y.length; i++) {
            y[i] = Math.max(-1, Math.min(1, y[i]));
          }
          Picture seen =
              crop.picture().withPixels(new HostTensor(crop.picture().pixels().shape(), y));
          psnr += psnr(found[0], crop.picture().pixels());
          double alike = Comparison.of(crop.picture(), seen, null).ssim();
          if (!Double.isNaN(alike)) {
            ssim += alike;
            withSsim++;
          }
          float[] mean = found[1].toFloatArray();
          float[] logVariance = found[2].toFloatArray();
          for (int i = 0; i < mean.length; i++) {
            double m = mean[i];
            double v = logVariance[i];
            kl += 0.5 * (m * m + Math.exp(v) - v - 1);
          }
          elements += mean.length;
        }
      }
    }
    return new Autoencoder(
        crops.size(), psnr / crops.size(), withSsim == 0 ? null : ssim / withSsim, kl / elements);
  }

  // ---- latent diffusion

  private Diffusion diffusion(Prior prior, PredictionType prediction) {
    NoiseSchedule schedule = prior.schedule();
    int steps = schedule.trainTimesteps();
    List<Crop> crops = crops(1);
    List<Crop> withCaption =
        crops.stream().filter(c -> !c.caption().isEmpty()).limit(CAPTIONED).toList();
    double[] errors = new double[RANGES];
    double[] losses = new double[RANGES];
    double[] captioned = new double[RANGES];
    double[] empty = new double[RANGES];
    for (Crop crop : crops) {
      LatentDiffusionModel model = prior.bind(crop.picture().height(), crop.picture().width());
      boolean both = withCaption.contains(crop);
      try (NDManager manager = model.manager().newSubManager()) {
        NDArray z0;
        try (TensorScope scope = new TensorScope()) {
          z0 = scope.keep(model.encode(crop.picture().pixels().to(manager)));
        }
        Conditioning text = model.condition(manager, new Prompt(crop.caption(), "", 1));
        Conditioning none = both ? model.condition(manager, Prompt.NONE) : null;
        for (int draw = 0; draw < RANGES * DRAWS; draw++) {
          requireGoing();
          int range = draw / DRAWS;
          int t = (int) ((draw + 0.5) * steps / (RANGES * DRAWS));
          double sigma = schedule.sigma(t);
          restart(crop, draw);
          NDArray noise = random.normal(manager, z0.getShape());
          double e = epsilonError(model, z0, noise, sigma, text);
          errors[range] += e;
          losses[range] += e * prediction.errorOverNoise(sigma);
          if (both) {
            captioned[range] += e;
            empty[range] += epsilonError(model, z0, noise, sigma, none);
          }
          noise.close();
        }
      }
    }
    List<Range> ranges = new ArrayList<>();
    double n = (double) crops.size() * DRAWS;
    double nBoth = (double) withCaption.size() * DRAWS;
    for (int r = 0; r < RANGES; r++) {
      ranges.add(
          new Range(
              r * steps / RANGES,
              (r + 1) * steps / RANGES - 1,
              errors[r] / n,
              losses[r] / n,
              nBoth == 0 ? null : captioned[r] / nBoth,
              nBoth == 0 ? null : empty[r] / nBoth));
    }
    return new Diffusion(
        crops.size(),
        prediction.name().toLowerCase(Locale.ROOT),
        mean(errors) / n,
        mean(losses) / n,
        ranges,
        withCaption.size(),
        nBoth == 0 ? null : mean(captioned) / nBoth,
        nBoth == 0 ? null : mean(empty) / nBoth);
  }

  /** {@code || (z - D(z)) / sigma - eps ||^2} over the elements, {@code z = z_0 + sigma eps}. */
  private static double epsilonError(
      LatentDiffusionModel model,
      NDArray z0,
      NDArray noise,
      double sigma,
      Conditioning conditioning) {
    try (TensorScope scope = new TensorScope()) {
      NDArray z = z0.add(noise.mul(sigma));
      NDArray clean = model.denoise(z, sigma, conditioning);
      return z.sub(clean).div(sigma).sub(noise).square().mean().getFloat();
    }
  }

  private static double mean(double[] values) {
    double sum = 0;
    for (double v : values) {
      sum += v / values.length;
    }
    return sum;
  }
}
