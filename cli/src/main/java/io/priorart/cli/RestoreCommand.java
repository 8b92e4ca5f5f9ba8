package io.priorart.cli;

import io.priorart.models.engine.GracefulExit;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.FileRestorer;
import io.priorart.runtime.Json;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.ProblemFile;
import io.priorart.runtime.Report;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveEvent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart restore}. */
@Command(
    name = "restore",
    description = "Restores damaged pictures.",
    mixinStandardHelpOptions = true)
final class RestoreCommand implements Callable<Integer> {
  enum Finish {
    projection,
    none
  }

  private static final Pattern SIZE = Pattern.compile("(\\d{1,7})x(\\d{1,7})");

  @Parameters(arity = "1..*", paramLabel = "IN", description = "PNG, JPEG or TIFF.")
  private List<Path> inputs;

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "OUT|DIR",
      description = "File to write; a folder for several pictures.")
  private Path output;

  @Mixin private OperatorOptions operators;

  @Option(
      names = "--problem",
      paramLabel = "P.json",
      description = "What 'degrade' wrote, instead of --operator and --sigma or --poisson.")
  private Path problem;

  @Mixin private NoiseOptions noiseOptions;

  @Option(
      names = "--solver",
      defaultValue = AutoSolver.NAME,
      paramLabel = "NAME",
      description = {
        "See 'priorart solvers'; auto chooses by model and task and says so in the report.",
        "Default: ${DEFAULT-VALUE}"
      })
  private String solver;

  @Option(
      names = "--preset",
      defaultValue = Restorer.USUAL_PRESET,
      paramLabel = "paper|fast|...",
      description =
          "The solver's parameters as published, or fewer steps. Default: ${DEFAULT-VALUE}")
  private String preset;

  @Option(names = "--param", paramLabel = "k=v", description = "A parameter of the solver.")
  private Map<String, String> parameters = new LinkedHashMap<>();

  @Option(names = "--steps", paramLabel = "N", description = "Short for --param steps=N.")
  private Integer steps;

  @Option(
      names = "--finish",
      defaultValue = "projection",
      paramLabel = "projection|none",
      description = {
        "How a solve ends: by a data step that takes away what the noise does not explain, after",
        "one of the denoiser where the picture reproduces noise; or as the solver left it.",
        "Default: ${DEFAULT-VALUE}"
      })
  private Finish finish;

  @Mixin private Sources model;

  @Mixin private PromptOptions text;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of everything that is drawn. Default: ${DEFAULT-VALUE}")
  private long seed;

  @Option(
      names = "--samples",
      defaultValue = "1",
      paramLabel = "K",
      description = {
        "Write K samples (sample k uses seed + k), their mean and their standard deviation.",
        "Default: ${DEFAULT-VALUE}"
      })
  private int samples;

  @Option(
      names = "--budget",
      paramLabel = "20s",
      description = {
        "Most time for solving a picture (ms, s, m, h), all its samples together; then the best",
        "estimate so far is finished and written, and marked in the report. Where neither solver,",
        "preset nor steps are named, what reaches most within it is picked by measured presets."
      })
  private String budget;

  @Option(
      names = "--keep-best",
      description = "On Ctrl-C, finish and write the samples and the best estimate so far.")
  private boolean keepBest;

  @Option(
      names = "--state",
      paramLabel = "FILE",
      description = {
        "Keep the solve in this file while it runs and when it is stopped, and go on from it when",
        "it is there: the result is the same. Removed when the results are written. All samples",
        "must fit into one batch (8, less where memory is short)."
      })
  private Path state;

  @Option(
      names = "--size",
      paramLabel = "WxH",
      description = "Size to return; by default what the operators imply.")
  private String size;

  @Option(
      names = "--server",
      paramLabel = "HOST:PORT",
      description = {
        "Let a running 'priorart serve' solve; --model is then one of its models.",
        "Previews then come at most five times a second."
      })
  private String server;

  @Option(names = "--report", paramLabel = "R.json", description = "Write a report.")
  private Path report;

  @Option(
      names = "--preview-dir",
      paramLabel = "D",
      description = "Write each step's estimate there.")
  private Path previewDir;

  @Option(names = "--json", description = "Print the report on standard output.")
  private boolean json;

  @Option(names = "--force", description = "Overwrite existing files; allow lossy output.")
  private boolean force;

  @Override
  public Integer call() {
    model.check();
    Restorer.Request request = request();
    if (request.prompt().hasText()) {
      model.requireText();
    }
    Map<Path, Path> targets = targets(request);
    List<Report> reports = new ArrayList<>();
    try (GracefulExit.Task cancel = GracefulExit.begin();
        RestoreDoor door = server == null ? new LocalDoor(model) : new RemoteDoor(server, model)) {
      Stopping stopping =
          new Stopping(
              cancel, budget == null ? null : Stopping.duration("budget", budget), keepBest, state);
      try {
        for (Map.Entry<Path, Path> e : targets.entrySet()) {
          reports.add(restore(door, e.getKey(), e.getValue(), request, stopping));
          if (cancel.getAsBoolean()) {
            break;
          }
        }
      } finally {
        // whatever happened to a later picture, and before the process may end
        if (!reports.isEmpty()) {
          tell(reports);
        }
      }
    }
    return 0;
  }

  private void tell(List<Report> reports) {
    Object all = inputs.size() == 1 ? reports.get(0) : reports;
    if (report != null) {
      Json.write(all, report, force);
    }
    if (json) {
      System.out.println(Json.text(all));
    }
  }

  private Restorer.Request request() {
    if (state != null && (inputs.size() > 1 || server != null)) {
      throw PriorArtException.badField("state", "is of one picture, solved in this process");
    }
    List<OperatorRequest> requests;
    Path base = Path.of("");
    Noise noise = noiseOptions.noise();
    int width = 0;
    int height = 0;
    if (problem != null) {
      if (!operators.isEmpty()) {
        throw PriorArtException.badField("problem", "and --operator exclude each other");
      }
      ProblemFile file = ProblemFile.read(problem);
      requests = file.operators();
      base = problem.toAbsolutePath().getParent();
      noise = noise == null ? file.noise() : noise;
      width = file.width();
      height = file.height();
    } else {
      requests = operators.requests();
    }
    if (size != null) {
      Matcher m = SIZE.matcher(size);
      if (!m.matches()) {
        throw PriorArtException.badField("size", "must be WIDTHxHEIGHT, was " + size);
      }
      width = Integer.parseInt(m.group(1));
      height = Integer.parseInt(m.group(2));
      if (width < 1 || height < 1) {
        throw PriorArtException.badField("size", "must be positive, was " + size);
      }
    }
    Path folder = base == null ? Path.of("") : base;
    return new Restorer.Request(
        requests.stream().map(r -> r.relativeTo(folder)).toList(),
        noise,
        solver,
        preset,
        parameters,
        steps,
        finish == Finish.projection,
        text.prompt(),
        seed,
        samples,
        width,
        height);
  }

  /** Each input with its output, all checked before anything runs. */
  private Map<Path, Path> targets(Restorer.Request request) {
    boolean toFolder = inputs.size() > 1 || Files.isDirectory(output);
    if (toFolder && !Files.isDirectory(output)) {
      throw PriorArtException.badField("output", output + " is no folder, for several pictures");
    }
    Map<Path, Path> targets = new LinkedHashMap<>();
    for (Path in : inputs) {
      Path out = toFolder ? output.resolve(in.getFileName()) : output;
      PictureFormat format = PictureFormat.of(out);
      if (request.keepsKnownPixels() && format.lossy() && !force) {
        throw PriorArtException.badField(
            "output",
            out + " is lossy and would change known pixels; write .png or .tif, or --force");
      }
      if (targets.containsValue(out)) {
        throw PriorArtException.badField("output", "two pictures would be written to " + out);
      }
      for (Path file : outputs(out, samples)) {
        PictureFiles.requireWritable(file, force);
      }
      targets.put(in, out);
    }
    if (report != null) {
      PictureFiles.requireWritable(report, force);
    }
    if (previewDir != null) {
      if (!Files.isDirectory(previewDir)) {
        throw PriorArtException.badField("preview-dir", previewDir + " is no folder");
      }
      for (Path in : inputs) {
        PictureFiles.requireWritable(previewDir.resolve(previewName(in, 0, 1)), force);
      }
    }
    return targets;
  }

  private String previewName(Path in, int sample, int step) {
    String name = in.getFileName().toString();
    return String.format(
        Locale.ROOT,
        "%s%s.step%04d.png",
        name.substring(0, Math.max(name.lastIndexOf('.'), 1)),
        samples == 1 ? "" : ".sample" + sample,
        step);
  }

  /** The files of so many samples, then (where several are wanted) of mean and deviation. */
  private List<Path> outputs(Path out, int restored) {
    if (samples == 1) {
      return List.of(out);
    }
    List<Path> files = new ArrayList<>();
    for (int k = 0; k < restored; k++) {
      files.add(named(out, "sample" + k));
    }
    files.add(named(out, "mean"));
    files.add(named(out, "std"));
    return files;
  }

  private static Path named(Path out, String part) {
    String name = out.getFileName().toString();
    int dot = name.lastIndexOf('.');
    return out.resolveSibling(name.substring(0, dot) + "." + part + name.substring(dot));
  }

  private Report restore(
      RestoreDoor door, Path in, Path out, Restorer.Request request, Stopping stopping) {
    FileRestorer.Job job =
        new FileRestorer.Job(
            in.toString(),
            PictureFiles.bytes(in),
            request,
            PictureFormat.of(out),
            0,
            samples > 1,
            "");
    FileRestorer.Restored restored;
    try (Progress progress = new Progress(in)) {
      restored = door.restore(job, progress, stopping);
    }
    for (String warning : restored.warnings()) {
      System.err.println(in + ": " + warning);
    }
    List<Path> files = outputs(out, restored.samples().size());
    List<byte[]> contents = new ArrayList<>(restored.samples());
    if (samples > 1) {
      contents.add(restored.mean());
      contents.add(restored.standardDeviation());
    }
    for (int k = 0; k < contents.size(); k++) {
      PictureFiles.requireWritable(files.get(k), force);
      PictureFiles.writeBytes(files.get(k), contents.get(k));
    }
    if (restored.whole()) {
      stopping.removeState();
    }
    Report result =
        restored.report().withFiles(in.toString(), files.stream().map(Path::toString).toList());
    for (Report.Sample s : result.samples()) {
      System.err.printf(
          Locale.ROOT,
          "%s  %s  ratio %.2f before, %.2f after the final step  %.1f s%n",
          s.output(),
          s.verdict().judgement(),
          s.verdict().ratioBefore(),
          s.verdict().ratioAfter(),
          s.seconds().solve() + s.seconds().finish());
    }
    return result;
  }

  /** A progress bar, previews where asked for. */
  private final class Progress implements RestoreListener, AutoCloseable {
    private final StepBar bar;
    private final Path in;
    private int sample;

    Progress(Path in) {
      this.in = in;
      bar = new StepBar(in.getFileName().toString());
    }

    @Override
    public void on(SolveEvent event) {
      bar.on(event);
      if (event instanceof SolveEvent.Preview p) {
        PictureFiles.write(
            new Picture(p.image(), 8, null),
            previewDir.resolve(previewName(in, sample, p.step())),
            force);
      }
    }

    @Override
    public void batchStarted(int first, int count) {
      sample = first;
    }

    @Override
    public void warning(String message) {
      System.err.println(in + ": " + message);
    }

    @Override
    public boolean wantsPreview(int step) {
      return previewDir != null;
    }

    @Override
    public void close() {
      bar.close();
    }
  }
}
