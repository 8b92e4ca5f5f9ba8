package io.priorart.cli;

import io.priorart.models.ProximalPrior;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ConvexPotential;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.train.AutoencoderObjective;
import io.priorart.models.train.AutoencoderTraining;
import io.priorart.models.train.DenoiserTraining;
import io.priorart.models.train.DiffusionObjective;
import io.priorart.models.train.DiffusionTarget;
import io.priorart.models.train.DiffusionTraining;
import io.priorart.models.train.ProximalTraining;
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
      TrainCommand.Lpn.class,
      TrainEmCommand.class,
      TrainDistillCommand.class,
      TrainEvalCommand.class,
      TrainResumeCommand.class
    },
    synopsisSubcommandLabel =
        "(data | autoencoder | diffusion | denoiser | lpn | em | distill | eval | resume)")
final class TrainCommand {
  /** Deviation of pictures in [-1,1]. */
  static final double SIGMA_DATA = 0.5;

  @Command(
      name = "autoencoder",
      description = "Trains the auto-encoder (AutoencoderKL) and writes OUT/vae.",
      mixinStandardHelpOptions = true)
  static final class Autoencoder implements Callable<Integer> {
    @Mixin private LapOptions common;

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

    @Option(
        names = "--gradient-scales",
        defaultValue = "1",
        description =
            "Scales that gradients are compared at, each half of the one before. Default: ${DEFAULT-VALUE}")
    private int gradientScales;

    @Option(
        names = "--squared",
        description = "Count the error of pixels squared (L2) instead of absolute (L1).")
    private boolean squared;

    @Option(
        names = "--ms-ssim-weight",
        defaultValue = "0",
        description = "Weight of 1 - MS-SSIM (Wang et al. 2003). Default: ${DEFAULT-VALUE}")
    private double structureWeight;

    @Option(
        names = "--adversarial-weight",
        defaultValue = "0",
        description =
            "Weight of a patch discriminator's hinge loss (Isola et al. 2017; Esser et al. 2021 take"
                + " 0.8). Default: ${DEFAULT-VALUE}")
    private double adversarialWeight;

    @Option(
        names = "--adversarial-start",
        defaultValue = "1000",
        description = "Steps before the discriminator begins. Default: ${DEFAULT-VALUE}")
    private int adversarialStart;

    @Option(
        names = "--least-volume",
        defaultValue = "0",
        description =
            "Weight of the geometric mean of the latent channels' deviations, which empties channels"
                + " that are not needed (Least Volume, Chen and Fuge 2024). Default: ${DEFAULT-VALUE}")
    private double leastVolume;

    @Option(
        names = "--lipschitz",
        defaultValue = "1",
        description =
            "Bound of the decoder's gain that --least-volume needs. Default: ${DEFAULT-VALUE}")
    private double lipschitz;

    @Option(
        names = "--decoder-only",
        description =
            "Train the decoder alone, so that a denoiser of these latents stays good; with `train"
                + " resume --from`.")
    private boolean decoderOnly;

    @Option(
        names = "--latent-noise",
        defaultValue = "0",
        description =
            "With --decoder-only: noise on the latents, of a standard deviation from 0 to this for"
                + " each picture, as what a denoiser made up is not exact either. Default:"
                + " ${DEFAULT-VALUE}")
    private double latentNoise;

    @Override
    public Integer call() throws Exception {
      AutoencoderKL.Config config =
          new AutoencoderKL.Config(3, 3, channels, 1, latentChannels, 8, false, true, true, 1, 0);
      AutoencoderTraining.Options options =
          new AutoencoderTraining.Options(
              patch,
              batch,
              learningRate,
              new AutoencoderObjective(
                  klWeight,
                  gradientWeight,
                  gradientScales,
                  squared,
                  structureWeight,
                  adversarialWeight,
                  adversarialStart,
                  leastVolume,
                  lipschitz),
              decoderOnly,
              latentNoise,
              common.duration(),
              common.seed());
      return common.run(
          "vae", false, (pictures, lap) -> AutoencoderTraining.run(config, options, pictures, lap));
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
    @Mixin private LapOptions common;

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
        description =
            "Side of the training crops in latent pixels; smaller pictures, down to a quarter of it, are"
                + " trained at their own size. Default: ${DEFAULT-VALUE}")
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

    @Option(
        names = "--target",
        defaultValue = "v",
        description =
            "What the network says: epsilon, v, or flow, the velocity of rectified flow (Liu et al."
                + " 2023). Default: ${DEFAULT-VALUE}")
    private DiffusionTarget target;

    @Option(
        names = "--min-snr",
        defaultValue = "0",
        description =
            "Bound of the signal-to-noise ratio in the weight of a timestep (Hang et al. 2023, who take"
                + " 5); 0 weighs all alike. Default: ${DEFAULT-VALUE}")
    private double minSnr;

    @Option(
        names = "--input-perturbation",
        defaultValue = "0",
        description =
            "Noise on the noise that the network sees (Ning et al. 2023, who take 0.1). Default: ${DEFAULT-VALUE}")
    private double inputPerturbation;

    @Option(
        names = "--step-variation",
        defaultValue = "0",
        description =
            "Weight of the step-wise variation regularisation (Smooth Diffusion, Guo et al. 2024, who"
                + " take 1); takes about three times as long. Default: ${DEFAULT-VALUE}")
    private double stepVariation;

    @Option(
        names = "--cumulative-error",
        defaultValue = "0",
        description =
            "Weight of the cumulative-error regularisation (Li and van der Schaar 2024). Default:"
                + " ${DEFAULT-VALUE}")
    private double cumulativeError;

    @Option(
        names = "--backward-steps",
        defaultValue = "2",
        description =
            "Steps that --cumulative-error follows the sampler for, each with its gradients. Default:"
                + " ${DEFAULT-VALUE}")
    private int backwardSteps;

    @Override
    public Integer call() throws Exception {
      DiffusionTraining.Options options =
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
              new DiffusionObjective(
                  target, minSnr, inputPerturbation, stepVariation, cumulativeError, backwardSteps),
              common.duration(),
              common.seed());
      return common.run(
          "diffusion", true, (pictures, lap) -> DiffusionTraining.run(options, pictures, lap));
    }
  }

  @Command(
      name = "denoiser",
      description =
          "Trains a denoiser of pictures themselves (DenoisingUNet), a prior without codec or text.",
      mixinStandardHelpOptions = true)
  static final class Denoiser implements Callable<Integer> {
    @Mixin private LapOptions common;

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

    @Override
    public Integer call() throws Exception {
      DenoisingUNet.Config config =
          new DenoisingUNet.Config(
              3, 2, channels, layersPerBlock, 128, SIGMA_DATA, sigmaMin, sigmaMax, noiseMap);
      DenoiserTraining.Options options =
          new DenoiserTraining.Options(
              patch, batch, learningRate, common.duration(), common.seed());
      return common.run(
          "denoiser",
          false,
          (pictures, lap) -> DenoiserTraining.run(config, options, pictures, lap));
    }
  }

  @Command(
      name = "lpn",
      description = {
        "Trains a learned proximal network: a convex function whose gradient takes away noise of one",
        "level, by proximal matching. What `restore --solver lpn` and `model log-prior` need."
      },
      mixinStandardHelpOptions = true)
  static final class Lpn implements Callable<Integer> {
    @Mixin private LapOptions common;

    @Option(
        names = "--width",
        defaultValue = "64",
        description = "Channels of every layer. Default: ${DEFAULT-VALUE}")
    private int width;

    @Option(
        names = "--levels",
        defaultValue = "3",
        description = "How often the size is halved. Default: ${DEFAULT-VALUE}")
    private int levels;

    @Option(
        names = "--beta",
        defaultValue = "100",
        description = "Sharpness of the softplus. Default: ${DEFAULT-VALUE}")
    private double beta;

    @Option(
        names = "--alpha",
        defaultValue = "1e-6",
        description = "Strong convexity. Default: ${DEFAULT-VALUE}")
    private double alpha;

    @Option(
        names = "--sigma",
        defaultValue = "0.2",
        description =
            "Noise that it takes away, on the [-1,1] scale. Default: ${DEFAULT-VALUE}, the paper's"
                + " 0.1 on [0,1]")
    private double sigma;

    @Option(
        names = "--gamma",
        defaultValue = "0.16",
        description =
            "Last width of proximal matching, on the [-1,1] scale. Default: ${DEFAULT-VALUE}, the"
                + " paper's 0.08 on [0,1]")
    private double gamma;

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

    @Override
    public Integer call() throws Exception {
      ConvexPotential.Config config =
          new ConvexPotential.Config(3, width, levels, beta, alpha, sigma);
      ProximalTraining.Options options =
          new ProximalTraining.Options(
              patch, batch, gamma, learningRate, common.duration(), common.seed());
      return common.run(
          ProximalPrior.PART,
          false,
          (pictures, lap) -> ProximalTraining.run(config, options, pictures, lap));
    }
  }
}
