package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.train.AutoencoderTraining;
import io.priorart.models.train.DenoiserTraining;
import io.priorart.models.train.DiffusionTraining;
import io.priorart.models.train.PictureFolder;
import io.priorart.models.train.TrainingListener;
import io.priorart.models.train.TrainingPicture;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart train}: makes a prior from a folder of pictures. */
@Command(
    name = "train",
    description = "Trains a prior on pictures of your own.",
    mixinStandardHelpOptions = true,
    subcommands = {
      TrainDataCommand.class,
      TrainCommand.Autoencoder.class,
      TrainCommand.Diffusion.class,
      TrainCommand.Denoiser.class,
      TrainEmCommand.class
    },
    synopsisSubcommandLabel = "(data | autoencoder | diffusion | denoiser | em)")
final class TrainCommand {
  /** Deviation of pictures in [-1,1]. */
  static final double SIGMA_DATA = 0.5;

  /** What every training takes. */
  static final class Common {
    @Option(
        names = "--data",
        required = true,
        paramLabel = "DIR",
        description =
            "Folder of PNG and JPEG pictures, captions in .txt files beside them; may be repeated.")
    private List<Path> data;

    @Option(
        names = {"-o", "--out"},
        required = true,
        paramLabel = "DIR",
        description = "Checkpoint folder to write, in the diffusers layout.")
    private Path out;

    @Option(
        names = "--state",
        paramLabel = "DIR",
        description =
            "Where the optimiser's state is kept; an existing one is resumed. Default: OUT.state")
    private Path state;

    @Option(
        names = "--minutes",
        defaultValue = "60",
        description =
            "Length of this lap; the learning rate falls to zero at its end. Default: ${DEFAULT-VALUE}")
    private double minutes;

    @Option(
        names = "--seed",
        defaultValue = "0",
        description = "Of weights, crops and noise. Default: ${DEFAULT-VALUE}")
    private long seed;

    Path out() {
      return out;
    }

    long seed() {
      return seed;
    }

    Duration duration() {
      return Duration.ofMillis(Math.round(minutes * 60_000));
    }

    Path state(String part) throws java.io.IOException {
      Path folder = state != null ? state : out.resolveSibling(out.getFileName() + ".state");
      Files.createDirectories(folder);
      return folder.resolve(part + ".safetensors");
    }

    List<TrainingPicture> pictures() {
      return PictureFolder.read(data);
    }
  }

  @Command(
      name = "autoencoder",
      description = "Trains the auto-encoder (AutoencoderKL) and writes OUT/vae.",
      mixinStandardHelpOptions = true)
  static final class Autoencoder implements Callable<Integer> {
    @Mixin private Common common;

    @Option(
        names = "--channels",
        split = ",",
        defaultValue = "32,64,128",
        description =
            "Width of each level; each level after the first halves the size. Default: ${DEFAULT-VALUE}")
    private int[] channels;

    @Option(
        names = "--latent-channels",
        defaultValue = "8",
        description = "Channels of a latent. Default: ${DEFAULT-VALUE}")
    private int latentChannels;

    @Option(
        names = "--patch",
        defaultValue = "64",
        description = "Side of the training crops in pixels. Default: ${DEFAULT-VALUE}")
    private int patch;

    @Option(
        names = "--batch",
        defaultValue = "16",
        description = "Crops a step. Default: ${DEFAULT-VALUE}")
    private int batch;

    @Option(
        names = "--learning-rate",
        defaultValue = "1e-3",
        description = "Peak rate. Default: ${DEFAULT-VALUE}")
    private double learningRate;

    @Option(
        names = "--kl-weight",
        defaultValue = "1e-4",
        description = "Weight of the KL divergence a latent element. Default: ${DEFAULT-VALUE}")
    private double klWeight;

    @Option(
        names = "--gradient-weight",
        defaultValue = "0.5",
        description =
            "Weight of the difference of horizontal and vertical gradients. Default: ${DEFAULT-VALUE}")
    private double gradientWeight;

    @Override
    public Integer call() throws Exception {
      AutoencoderKL.Config config =
          new AutoencoderKL.Config(3, 3, channels, 1, latentChannels, 8, false, true, true, 1, 0);
      Path vae = Files.createDirectories(common.out().resolve("vae"));
      try (GracefulExit.Task stop = GracefulExit.begin()) {
        AutoencoderTraining.run(
            config,
            new AutoencoderTraining.Options(
                patch,
                batch,
                learningRate,
                klWeight,
                gradientWeight,
                common.duration(),
                common.seed()),
            common.pictures(),
            common.state("vae"),
            vae,
            stop,
            new ConsoleListener());
      }
      return 0;
    }
  }

  @Command(
      name = "diffusion",
      description = {
        "Trains the denoiser and its text encoder on the latents of OUT/vae,",
        "and completes OUT to a checkpoint that diffusers opens."
      },
      mixinStandardHelpOptions = true)
  static final class Diffusion implements Callable<Integer> {
    @Mixin private Common common;

    @Option(
        names = "--channels",
        split = ",",
        defaultValue = "64,128,256",
        description = "Width of each level. Default: ${DEFAULT-VALUE}")
    private int[] channels;

    @Option(
        names = "--layers-per-block",
        defaultValue = "1",
        description = "Residual blocks of a level. Default: ${DEFAULT-VALUE}")
    private int layersPerBlock;

    @Option(
        names = "--heads",
        defaultValue = "4",
        description = "Attention heads. Default: ${DEFAULT-VALUE}")
    private int heads;

    @Option(
        names = "--text-width",
        defaultValue = "128",
        description = "Width of the text encoder. Default: ${DEFAULT-VALUE}")
    private int textWidth;

    @Option(
        names = "--text-layers",
        defaultValue = "2",
        description = "Layers of the text encoder. Default: ${DEFAULT-VALUE}")
    private int textLayers;

    @Option(
        names = "--vocabulary",
        defaultValue = "2048",
        description = "Entries of the tokenizer at most. Default: ${DEFAULT-VALUE}")
    private int vocabulary;

    @Option(
        names = "--latent-patch",
        defaultValue = "32",
        description = "Side of the training crops in latent pixels. Default: ${DEFAULT-VALUE}")
    private int latentPatch;

    @Option(
        names = "--batch",
        defaultValue = "16",
        description = "Crops a step. Default: ${DEFAULT-VALUE}")
    private int batch;

    @Option(
        names = "--learning-rate",
        defaultValue = "5e-4",
        description = "Peak rate. Default: ${DEFAULT-VALUE}")
    private double learningRate;

    @Option(
        names = "--caption-dropout",
        defaultValue = "0.15",
        description = "Share of pictures shown without caption. Default: ${DEFAULT-VALUE}")
    private double captionDropout;

    @Override
    public Integer call() throws Exception {
      try (GracefulExit.Task stop = GracefulExit.begin()) {
        DiffusionTraining.run(
            new DiffusionTraining.Options(
                channels,
                layersPerBlock,
                heads,
                textWidth,
                textLayers,
                vocabulary,
                latentPatch,
                batch,
                learningRate,
                captionDropout,
                common.duration(),
                common.seed()),
            common.pictures(),
            common.state("diffusion"),
            common.out(),
            stop,
            new ConsoleListener());
      }
      return 0;
    }
  }

  @Command(
      name = "denoiser",
      description =
          "Trains a denoiser of pictures themselves (DenoisingUNet), a prior without codec or text.",
      mixinStandardHelpOptions = true)
  static final class Denoiser implements Callable<Integer> {
    @Mixin private Common common;

    @Option(
        names = "--channels",
        split = ",",
        defaultValue = "64,128,192,256",
        description =
            "Width of each level; each level after the first halves the size. Default: ${DEFAULT-VALUE}")
    private int[] channels;

    @Option(
        names = "--layers-per-block",
        defaultValue = "2",
        description = "Residual blocks of a level, down and up. Default: ${DEFAULT-VALUE}")
    private int layersPerBlock;

    @Option(
        names = "--patch",
        defaultValue = "96",
        description = "Side of the training crops in pixels. Default: ${DEFAULT-VALUE}")
    private int patch;

    @Option(
        names = "--batch",
        defaultValue = "8",
        description = "Crops a step. Default: ${DEFAULT-VALUE}")
    private int batch;

    @Option(
        names = "--learning-rate",
        defaultValue = "1e-3",
        description = "Peak rate. Default: ${DEFAULT-VALUE}")
    private double learningRate;

    @Option(
        names = "--sigma-min",
        defaultValue = "0.01",
        description = "Smallest noise level on the [-1,1] scale. Default: ${DEFAULT-VALUE}")
    private double sigmaMin;

    @Option(
        names = "--sigma-max",
        defaultValue = "8",
        description = "Largest noise level on the [-1,1] scale. Default: ${DEFAULT-VALUE}")
    private double sigmaMax;

    @Option(
        names = "--noise-map",
        negatable = true,
        defaultValue = "true",
        fallbackValue = "true",
        description =
            "Each pixel has its own noise level, so that pictures with missing parts are restored"
                + " directly. Default: ${DEFAULT-VALUE}")
    private boolean noiseMap;

    @Option(
        names = "--from",
        paramLabel = "DIR",
        description = "Checkpoint of the same configuration whose weights to begin with.")
    private Path from;

    @Override
    public Integer call() throws Exception {
      try (GracefulExit.Task stop = GracefulExit.begin()) {
        DenoiserTraining.run(
            new DenoisingUNet.Config(
                3, 2, channels, layersPerBlock, 128, SIGMA_DATA, sigmaMin, sigmaMax, noiseMap),
            new DenoiserTraining.Options(
                patch, batch, learningRate, common.duration(), common.seed(), from),
            common.pictures(),
            common.state("denoiser"),
            common.out(),
            stop,
            new ConsoleListener());
      }
      return 0;
    }
  }

  static final class ConsoleListener implements TrainingListener {
    @Override
    public void progress(long step, double fraction, double loss, double samplesPerSecond) {
      System.err.printf(
          "step %d  %.0f %%  loss %.5f  %.1f pictures/s%n",
          step, 100 * fraction, loss, samplesPerSecond);
    }

    @Override
    public void note(String text) {
      System.err.println(text);
    }
  }
}
