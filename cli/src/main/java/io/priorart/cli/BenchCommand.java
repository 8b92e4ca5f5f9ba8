package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Json;
import io.priorart.runtime.Machine;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.bench.Contender;
import io.priorart.runtime.bench.Gallery;
import io.priorart.runtime.bench.QualityBench;
import io.priorart.runtime.bench.QualityReport;
import io.priorart.runtime.bench.QualityRun;
import io.priorart.runtime.bench.QualityTask;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code priorart bench}: figures about PriorArt itself. */
@Command(
    name = "bench",
    description =
        "Measures how well solvers restore and how fast networks are, and plots trainings.",
    mixinStandardHelpOptions = true,
    subcommands = {
      BenchCommand.Quality.class,
      BenchCaptionsCommand.class,
      BenchModelCommand.class,
      BenchInversionCommand.class,
      BenchPresetsCommand.class,
      BenchRobustnessCommand.class,
      BenchCurveCommand.class
    },
    synopsisSubcommandLabel =
        "(quality | captions | model | inversion | presets | robustness | curve)")
final class BenchCommand {
  @Command(
      name = "quality",
      description = {
        "Degrades pictures, restores them with every solver and compares with the truth.",
        "Baselines get the parameters that do best on the tuning pictures.",
        "Every run is kept in the results file; the same command after an interruption goes on."
      },
      mixinStandardHelpOptions = true)
  static final class Quality implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Option(
        names = "--pictures",
        paramLabel = "DIR",
        description = "Pictures to report on. Default: testdata/pictures/heldout")
    private Path pictures = Checkpoints.home().resolve("testdata/pictures/heldout");

    @Option(
        names = "--tuning",
        paramLabel = "DIR",
        description =
            "Pictures to choose the baselines' parameters on. Default: testdata/pictures/tuning")
    private Path tuning = Checkpoints.home().resolve("testdata/pictures/tuning");

    @Option(
        names = "--task",
        paramLabel = "T",
        description = {
          "inpainting-70, inpainting-92, super-resolution-4, gaussian-blur-3, motion-blur-31,",
          "denoising-0.1, wrong-blur-5-as-3 (a control: the first solver is told the wrong",
          "operator); all of these when none is named.",
          "Or OPERATOR[+OPERATOR...]@SIGMA."
        })
    private List<String> tasks = new ArrayList<>();

    @Option(
        names = "--solver",
        paramLabel = "S",
        description =
            "See 'priorart solvers'; all when none is named. S*K is the mean of K samples.")
    private List<String> solvers = new ArrayList<>();

    @Option(
        names = "--preset",
        defaultValue = "fast",
        paramLabel = "paper|fast",
        description = "Of the solvers that are no baselines. Default: ${DEFAULT-VALUE}")
    private String preset;

    @Mixin private Sources model;

    @Option(
        names = "--seed",
        defaultValue = "0",
        paramLabel = "N",
        description = "Of everything that is drawn. Default: ${DEFAULT-VALUE}")
    private long seed;

    @Option(
        names = "--results",
        defaultValue = "bench-quality.jsonl",
        paramLabel = "FILE",
        description = "Where runs are kept. Default: ${DEFAULT-VALUE}")
    private Path results;

    @Option(
        names = "--kept-only",
        description = "Run nothing: report the solvers and tasks whose runs are all kept.")
    private boolean keptOnly;

    @Option(names = "--markdown", paramLabel = "FILE", description = "Write a page of tables.")
    private Path markdown;

    @Option(
        names = "--notes",
        paramLabel = "FILE",
        description = "What people have to say of the figures: Markdown to end the page with.")
    private Path notes;

    @Option(
        names = "--json",
        description = "Print the results as docs/design/bench-quality.schema.json describes them.")
    private boolean json;

    @Option(
        names = "--gallery",
        paramLabel = "DIR",
        description = {
          "Write a folder with a page of pictures, damaged, restored and true: for each task the",
          "best, the median and the two worst gains over the best baseline."
        })
    private Path gallery;

    @Option(
        names = "--gallery-solver",
        paramLabel = "S",
        description = "Whose restorations. Default: the first solver that is no baseline")
    private String gallerySolver;

    @Option(names = "--force", description = "Overwrite the page and the gallery's files.")
    private boolean force;

    @Override
    public Integer call() {
      model.check();
      if (markdown != null) {
        PictureFiles.requireWritable(markdown, force);
      }
      String remarks = remarks();
      PictureFiles.requireWritable(results, true);
      List<QualityTask> chosenTasks =
          tasks.isEmpty()
              ? QualityTask.defaults()
              : tasks.stream().map(QualityTask::parse).distinct().toList();
      List<Contender> contenders =
          solvers.isEmpty()
              ? Restorer.SOLVERS.list().stream().map(m -> new Contender(m, 1)).toList()
              : solvers.stream().map(Contender::parse).distinct().toList();
      Contender shown =
          gallery == null ? null : Gallery.solver(contenders, gallerySolver, gallery, force);
      try (GracefulExit.Task cancel = GracefulExit.begin();
          Sources open = model) {
        QualityReport report =
            QualityBench.run(
                new QualityBench.Plan(
                    pictures,
                    tuning,
                    chosenTasks,
                    contenders,
                    preset,
                    seed,
                    model.precision(),
                    results,
                    keptOnly),
                model,
                Machine.revision(),
                cancel,
                new Progress());
        if (markdown != null) {
          PictureFiles.writeBytes(
              markdown, (page(report) + remarks).getBytes(StandardCharsets.UTF_8));
        }
        if (gallery != null) {
          Gallery.write(report, shown, model, cancel, gallery, force);
        }
        if (json) {
          System.out.println(Json.text(report.json(Machine.describe())));
        } else if (markdown == null) {
          System.out.println(report.tables());
        }
      }
      return 0;
    }

    /** The notes as they end the page; read before the hours of a benchmark, not after them. */
    private String remarks() {
      if (notes == null) {
        return "";
      }
      if (markdown == null) {
        throw PriorArtException.badField("notes", "end a page: give --markdown, too");
      }
      try {
        return "\n" + Files.readString(notes);
      } catch (IOException e) {
        throw PriorArtException.badField(
            "notes", "cannot be read as UTF-8 text: " + e.getMessage());
      }
    }

    private String page(QualityReport report) {
      StringBuilder machine = new StringBuilder();
      Machine.describe().forEach((k, v) -> machine.append(k).append(' ').append(v).append("; "));
      return """
          # Results

          Written by `./priorart %s`; do not edit. %s

          Machine: %s
          Model: `%s`, SHA-256 `%s`, %s.
          Revisions that ran: %s.

          PSNR, SSIM, MS-SSIM and GMSD (0 is best) are means over the %d pictures, `-` where a run was made before they
          were measured; seconds are the mean of solving and of the final steps without
          loading the model. A ratio is RMS(y - A x)/sigma_eff, 1 for the true picture, as median and range, before
          the final steps and of the picture as written. `tuned` has the parameters of a grid that did best on the tuning
          pictures, and so were the presets of `dpir` other than `paper`; the others' are as published, or fewer steps. Network
          calls are of one run. Peak is the most resident memory of the process in any run, Java and the checkpoint's weights
          included.
          %s
          ## PSNR of each picture
          %s"""
          .formatted(
              String.join(" ", spec.commandLine().getParseResult().originalArgs()),
              "Sorted by PSNR: where a baseline wins, it stands first.",
              machine,
              model.get().name(),
              model.get().hash(),
              model.precision(),
              String.join(", ", report.revisions()),
              report.pictures(),
              report.tables(),
              report.perPicture());
    }

    private static final class Progress implements QualityBench.Listener {
      private int fresh;
      private int kept;

      @Override
      public void ran(QualityRun run, boolean isFresh) {
        if (!isFresh) {
          kept++;
          return;
        }
        fresh++;
        System.err.printf(
            Locale.ROOT,
            "%d run, %d kept  %s%s  %s  %s  %.2f dB  ratio %.2f, %.2f  %.1f s%n",
            fresh,
            kept,
            run.key().tuning() ? "tuning " : "",
            run.key().task(),
            run.key().solver(),
            run.key().picture(),
            run.psnr(),
            run.ratioBefore(),
            run.ratioAfter(),
            run.seconds());
      }

      @Override
      public void skipped(QualityTask task, String solver, String why) {
        System.err.println(task.name() + " without " + solver + ": " + why);
      }
    }
  }
}
