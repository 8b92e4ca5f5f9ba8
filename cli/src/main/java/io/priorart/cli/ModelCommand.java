package io.priorart.cli;

import io.priorart.models.LoraExport;
import io.priorart.models.ModelFamilies;
import io.priorart.models.ModelInspection;
import io.priorart.models.ModelSource;
import io.priorart.models.ModelVerification;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.GracefulExit;
import io.priorart.models.engine.Precision;
import io.priorart.models.train.PictureFolder;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.Json;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.train.VelocityCalibration;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.VelocityCurve;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart model}: looks into a checkpoint. */
@Command(
    name = "model",
    description = "Looks into a checkpoint.",
    mixinStandardHelpOptions = true,
    subcommands = {
      ModelCommand.Inspect.class,
      ModelCommand.Verify.class,
      ModelCommand.Trace.class,
      ModelCommand.ExtractLora.class,
      ModelCommand.Calibrate.class,
      LogPriorCommand.class
    },
    synopsisSubcommandLabel = "(inspect | verify | trace | extract-lora | calibrate | log-prior)")
final class ModelCommand {
  /** A command on one checkpoint, named after it or by {@code --model}. */
  abstract static class OneModel {
    @Mixin private Sources model;

    @Parameters(
        index = "0",
        arity = "0..1",
        paramLabel = "DIR|FILE",
        description = "The checkpoint, as --model.")
    private String checkpoint;

    @Option(names = "--json", description = "Print JSON.")
    boolean json;

    Sources named() {
      return model.named(checkpoint);
    }
  }

  @Command(
      name = "inspect",
      description = {
        "Says what a checkpoint is, from its configurations and the headers of its files:",
        "family, parts, parameters, element types, memory at each precision, licence."
      },
      mixinStandardHelpOptions = true)
  static final class Inspect extends OneModel implements Callable<Integer> {
    @Override
    public Integer call() {
      ModelInspection found = ModelInspection.of(named().source());
      if (json) {
        System.out.println(Json.text(found));
        return 0;
      }
      System.out.printf("%s: %s%n", found.name(), found.family());
      System.out.printf("licence: %s%n", found.license() == null ? "none stated" : found.license());
      if (found.scheduler() != null) {
        System.out.printf("scheduler: %s, %s%n", found.scheduler(), found.prediction());
      }
      for (ModelInspection.Part part : found.parts()) {
        System.out.printf(
            Locale.ROOT,
            "%-15s %-28s %9.1f M parameters, %s%n",
            part.name(),
            part.className(),
            part.parameters() * 1e-6,
            part.types());
      }
      System.out.printf(
          Locale.ROOT,
          "weights: %.1f MB stored; in memory %.1f MB in float32, %.1f MB in bfloat16 or float16%n",
          found.bytes() * 1e-6,
          found.parameters() * 4e-6,
          found.parameters() * 2e-6);
      return 0;
    }
  }

  @Command(
      name = "verify",
      description = {
        "Loads a checkpoint, which checks every tensor's name and shape, runs each network once",
        "and looks whether what they give is finite. Exit code 1 where it is not."
      },
      mixinStandardHelpOptions = true)
  static final class Verify extends OneModel implements Callable<Integer> {
    @Option(
        names = "--side",
        defaultValue = "64",
        paramLabel = "N",
        description = "Side of the picture, 8 to 1024. Default: ${DEFAULT-VALUE}")
    private int side;

    @Override
    public Integer call() {
      if (side < 8 || side > 1024) {
        throw PriorArtException.badField("side", "must be 8 to 1024, was " + side);
      }
      try (Sources open = named()) {
        open.check();
        Prior prior = open.get();
        List<ModelVerification.Check> checks = ModelVerification.run(prior, side);
        boolean passed = checks.stream().allMatch(ModelVerification.Check::passed);
        if (json) {
          Map<String, Object> report = new LinkedHashMap<>();
          report.put("model", prior.name());
          report.put("precision", open.precision());
          report.put("passed", passed);
          report.put("checks", checks.stream().map(Verify::entry).toList());
          System.out.println(Json.text(report));
        } else {
          for (ModelVerification.Check check : checks) {
            System.out.printf(
                Locale.ROOT,
                "%-24s %s%n",
                check.what(),
                check.passed() ? "finite, RMS %.4g".formatted(check.rms()) : "NOT FINITE");
          }
          System.out.println(prior.name() + (passed ? ": ok, " : ": failed, ") + open.precision());
        }
        return passed ? 0 : 1;
      }
    }

    private static Map<String, Object> entry(ModelVerification.Check check) {
      Map<String, Object> entry = new LinkedHashMap<>();
      entry.put("what", check.what());
      entry.put("finite", check.passed());
      entry.put("rms", check.passed() ? check.rms() : null);
      return entry;
    }
  }

  @Command(
      name = "trace",
      description = {
        "Runs single networks on tensors from a file and writes what they give.",
        "The tensors are named PART/NAME: unet/sample, unet/timestep, unet/encoder_hidden_states,",
        "vae.encoder/x, vae.decoder/z, text_encoder/input_ids; unet/text_embeds, unet/time_ids and",
        "text_encoder_2/input_ids of XL, unet/timestep_cond of a latent consistency model;",
        "transformer/sample, .../timestep, .../encoder_hidden_states, .../pooled_projections",
        "and text_encoder_3/input_ids of Stable Diffusion 3.",
        "Results are named PART/output."
      },
      mixinStandardHelpOptions = true)
  static final class Trace implements Callable<Integer> {
    private static final String[] PARTS = {
      "unet",
      "transformer",
      "vae.encoder",
      "vae.decoder",
      "text_encoder",
      "text_encoder_2",
      "text_encoder_3"
    };

    @Option(
        names = "--model",
        required = true,
        paramLabel = "DIR|FILE",
        description = "Checkpoint.")
    private Path model;

    @Option(
        names = "--inputs",
        required = true,
        paramLabel = "IN.safetensors",
        description = "Inputs.")
    private Path inputs;

    @Option(
        names = "--outputs",
        required = true,
        paramLabel = "OUT.safetensors",
        description = "Results.")
    private Path outputs;

    @Option(
        names = "--precision",
        defaultValue = "float32",
        description = "auto, float32, bfloat16 or float16. Default: ${DEFAULT-VALUE}")
    private Precision precision;

    @Option(names = "--json", description = "Print the shapes of the results as JSON.")
    private boolean json;

    @Option(names = "--force", description = "Overwrite an existing output.")
    private boolean force;

    @Override
    public Integer call() {
      if (Files.exists(outputs) && !force) {
        throw new PriorArtException(
            ErrorKind.ALREADY_EXISTS, outputs + " exists; add --force to overwrite it");
      }
      SafetensorsFile file = SafetensorsFile.open(inputs);
      Map<String, HostTensor> results = new LinkedHashMap<>();
      try (Prior pipeline =
          ModelFamilies.load(model, CompileOptions.REFERENCE.withPrecision(precision))) {
        for (String part : PARTS) {
          Map<String, HostTensor> tensors = new LinkedHashMap<>();
          for (String name : file.shapes().keySet()) {
            if (name.startsWith(part + "/")) {
              tensors.put(name.substring(part.length() + 1), file.read(name));
            }
          }
          if (!tensors.isEmpty()) {
            results.put(part + "/output", pipeline.trace(part, tensors));
          }
        }
      }
      if (results.isEmpty()) {
        throw PriorArtException.badField(
            "inputs", inputs + " holds no tensor named PART/NAME, for instance unet/sample");
      }
      SafetensorsWriter.write(outputs, results, Map.of(), false);
      if (json) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        results.forEach((name, tensor) -> shapes.put(name, tensor.shape().getShape()));
        System.out.println(Json.text(shapes));
      } else {
        results.forEach((name, tensor) -> System.out.println(name + " " + tensor.shape()));
      }
      return 0;
    }
  }

  @Command(
      name = "extract-lora",
      description = {
        "Writes what sets a fine-tuned or distilled denoiser apart from the one it came from as a",
        "LoRA: low-rank factors of each weight's change, in diffusers' keys."
      },
      mixinStandardHelpOptions = true)
  static final class ExtractLora implements Callable<Integer> {
    @Option(
        names = "--base",
        required = true,
        paramLabel = "DIR|FILE",
        description = "Checkpoint that the other came from.")
    private String base;

    @Option(
        names = "--changed",
        required = true,
        paramLabel = "DIR|FILE",
        description = "The other.")
    private String changed;

    @Option(
        names = "--rank",
        defaultValue = "32",
        paramLabel = "N",
        description = "Of the factors at most, 1 to 1024. Default: ${DEFAULT-VALUE}")
    private int rank;

    @Option(
        names = {"-o", "--output"},
        required = true,
        paramLabel = "FILE.safetensors",
        description = "File to write.")
    private Path output;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Option(names = "--force", description = "Overwrite an existing output.")
    private boolean force;

    @Override
    public Integer call() {
      LoraExport.Result result =
          LoraExport.write(
              ModelSource.of(Checkpoints.resolve(base, false)),
              ModelSource.of(Checkpoints.resolve(changed, false)),
              rank,
              output,
              force);
      if (json) {
        System.out.println(Json.text(result));
      } else {
        System.out.printf(
            Locale.ROOT,
            "%s: %d weights, %.1f %% of the squared change%n",
            output,
            result.modules(),
            100 * result.kept());
      }
      return 0;
    }
  }

  @Command(
      name = "calibrate",
      description = {
        "Measures on pictures how well a latent checkpoint knows the velocity at each share of",
        "noise, for the weights of solver flair. They are read from calibration.json in the",
        "checkpoint's folder, where this writes unless --output says otherwise."
      },
      mixinStandardHelpOptions = true)
  static final class Calibrate extends OneModel implements Callable<Integer> {
    @Option(
        names = "--data",
        required = true,
        paramLabel = "DIR",
        description =
            "Folder of PNG and JPEG pictures, captions in .txt files beside them; may be repeated.")
    private List<Path> data;

    @Option(
        names = "--side",
        defaultValue = "256",
        paramLabel = "N",
        description =
            "Crops from the middle of the pictures have at most N pixels a side, 8 to 1024."
                + " Default: ${DEFAULT-VALUE}")
    private int side;

    @Option(
        names = "--seed",
        defaultValue = "0",
        paramLabel = "N",
        description = "Of the noise. Default: ${DEFAULT-VALUE}")
    private long seed;

    @Option(
        names = {"-o", "--output"},
        paramLabel = "FILE.json",
        description = "File to write.")
    private Path output;

    @Option(names = "--force", description = "Overwrite an existing output.")
    private boolean force;

    @Override
    public Integer call() {
      if (side < 8 || side > 1024) {
        throw PriorArtException.badField("side", "must be 8 to 1024, was " + side);
      }
      Path checkpointFile = named().source().path();
      if (output == null && !Files.isDirectory(checkpointFile)) {
        throw PriorArtException.badField(
            "output", "is required for a checkpoint that is no folder: none is read beside it");
      }
      Path file = output == null ? checkpointFile.resolve("calibration.json") : output;
      PictureFiles.requireWritable(file, force);
      VelocityCurve curve;
      try (Sources open = named();
          GracefulExit.Task stop = GracefulExit.begin()) {
        open.check();
        curve = VelocityCalibration.measure(open.get(), PictureFolder.read(data), side, seed, stop);
      }
      Json.write(curve, file, force);
      if (json) {
        System.out.println(Json.text(curve));
      } else {
        System.out.println("  time  velocity error");
        for (int i = 0; i < curve.times().size(); i++) {
          System.out.printf(
              Locale.ROOT, "%6.3f  %14.4f%n", curve.times().get(i), curve.errors().get(i));
        }
        System.out.println(file);
      }
      return 0;
    }
  }
}
