package io.priorart.cli;

import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Precision;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.runtime.Json;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code priorart model}: looks into a checkpoint. */
@Command(
    name = "model",
    description = "Looks into a checkpoint.",
    mixinStandardHelpOptions = true,
    subcommands = ModelCommand.Trace.class,
    synopsisSubcommandLabel = "trace")
final class ModelCommand {
  @Command(
      name = "trace",
      description = {
        "Runs single networks on tensors from a file and writes what they give.",
        "The tensors are named PART/NAME: unet/sample, unet/timestep, unet/encoder_hidden_states,",
        "vae.encoder/x, vae.decoder/z, text_encoder/input_ids. Results are named PART/output."
      },
      mixinStandardHelpOptions = true)
  static final class Trace implements Callable<Integer> {
    private static final String[] PARTS = {"unet", "vae.encoder", "vae.decoder", "text_encoder"};

    @Option(
        names = "--model",
        required = true,
        paramLabel = "DIR",
        description = "Checkpoint folder.")
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
}
