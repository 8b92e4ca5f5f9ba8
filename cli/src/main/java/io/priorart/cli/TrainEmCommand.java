package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.train.DenoiserTraining;
import io.priorart.runtime.train.ExpectationMaximization;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code priorart train em}: a prior from damaged pictures alone. */
@Command(
    name = "em",
    description = {
      "Trains a denoiser on damaged pictures alone: draws what each may have been, trains on that,",
      "and again (Rozet et al., NeurIPS 2024). Finished laps are kept in the state folder."
    },
    mixinStandardHelpOptions = true)
final class TrainEmCommand implements Callable<Integer> {
  @Option(
      names = "--data",
      required = true,
      paramLabel = "DIR",
      description =
          "Folder of damaged pictures, each with the .problem.json that degrade writes; may be"
              + " repeated.")
  private List<Path> data;

  @Option(
      names = "--held-out",
      paramLabel = "DIR",
      description = "Folder of undamaged pictures to measure denoising on after each lap.")
  private List<Path> heldOut = List.of();

  @Option(
      names = {"-o", "--out"},
      required = true,
      paramLabel = "DIR",
      description = "Checkpoint folder to write.")
  private Path out;

  @Option(
      names = "--state",
      paramLabel = "DIR",
      description =
          "Where the laps are kept; the finished ones are not done again. Default: OUT.state")
  private Path state;

  @Option(
      names = "--laps",
      defaultValue = "6",
      description = "How often to draw and train. Default: ${DEFAULT-VALUE}")
  private int laps;

  @Option(
      names = "--lap-minutes",
      defaultValue = "10",
      description = "Training time of each lap. Default: ${DEFAULT-VALUE}")
  private double lapMinutes;

  @Option(
      names = "--steps",
      defaultValue = "20",
      description = "Steps of a draw by mmps. Default: ${DEFAULT-VALUE}")
  private int steps;

  @Option(
      names = "--iterations",
      defaultValue = "1",
      description = "Conjugate gradient iterations of a step. Default: ${DEFAULT-VALUE}")
  private int iterations;

  @Option(
      names = "--channels",
      split = ",",
      defaultValue = "32,64,96,128",
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
      defaultValue = "64",
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
      description = "Peak rate of each lap. Default: ${DEFAULT-VALUE}")
  private double learningRate;

  @Option(
      names = "--seed",
      defaultValue = "0",
      description = "Of weights, draws, crops and noise. Default: ${DEFAULT-VALUE}")
  private long seed;

  @Override
  public Integer call() throws Exception {
    Duration lap = Duration.ofMillis(Math.round(lapMinutes * 60_000));
    ExpectationMaximization.Plan plan =
        new ExpectationMaximization.Plan(
            data,
            heldOut,
            laps,
            lap,
            steps,
            iterations,
            new DenoisingUNet.Config(
                3, 2, channels, layersPerBlock, 128, TrainCommand.SIGMA_DATA, 0.01, 8, true),
            new DenoiserTraining.Options(patch, batch, learningRate, lap, seed),
            out,
            state != null ? state : out.resolveSibling(out.getFileName() + ".state"));
    try (GracefulExit.Task stop = GracefulExit.begin();
        TrainingConsole console = new TrainingConsole()) {
      boolean done = new ExpectationMaximization(plan, stop, console).run();
      return done ? 0 : 1;
    }
  }
}
