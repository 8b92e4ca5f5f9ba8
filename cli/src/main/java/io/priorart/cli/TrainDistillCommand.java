package io.priorart.cli;

import io.priorart.models.train.ConsistencyDistillation;
import io.priorart.runtime.Checkpoints;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code priorart train distill}: a few-step prior of a latent one. */
@Command(
    name = "distill",
    description = {
      "Makes a prior that is sampled in a few steps out of a latent one: latent consistency",
      "distillation (Luo et al. 2023). Writes a checkpoint with another U-Net and LCMScheduler."
    },
    mixinStandardHelpOptions = true)
final class TrainDistillCommand implements Callable<Integer> {
  @Mixin private LapOptions common;

  @Option(
      names = "--teacher",
      required = true,
      paramLabel = "CHECKPOINT",
      description = "Latent prior: a folder, or a bundled one's name.")
  private String teacher;

  @Option(
      names = "--guidance-scale",
      defaultValue = "1",
      paramLabel = "G",
      description = "Of the teacher, learnt in; 1 is none. Default: ${DEFAULT-VALUE}")
  private double guidanceScale;

  @Option(
      names = "--levels",
      defaultValue = "50",
      paramLabel = "N",
      description = "Steps that the teacher's path is cut into. Default: ${DEFAULT-VALUE}")
  private int levels;

  @Option(
      names = "--teacher-steps",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "Steps of the teacher's path from a level to its end, which is then the target; 0 takes one"
              + " step, and the student's word there. Default: ${DEFAULT-VALUE}")
  private int teacherSteps;

  @Option(
      names = "--patch",
      defaultValue = "128",
      description = "Side of the training crops in pixels. Default: ${DEFAULT-VALUE}")
  private int patch;

  @Option(
      names = "--batch",
      defaultValue = "8",
      description = "Crops a step. Default: ${DEFAULT-VALUE}")
  private int batch;

  @Option(
      names = "--learning-rate",
      defaultValue = "1e-4",
      description = "Peak rate. Default: ${DEFAULT-VALUE}")
  private double learningRate;

  @Override
  public Integer call() throws Exception {
    Path folder = Checkpoints.resolve(teacher, false);
    common.begin(folder);
    ConsistencyDistillation.Options options =
        new ConsistencyDistillation.Options(
            folder,
            levels,
            teacherSteps,
            guidanceScale,
            patch,
            batch,
            learningRate,
            common.duration(),
            common.seed());
    return common.run(
        "unet", true, (pictures, lap) -> ConsistencyDistillation.run(options, pictures, lap));
  }
}
