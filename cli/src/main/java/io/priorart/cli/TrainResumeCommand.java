package io.priorart.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.models.train.DiffusionTarget;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code priorart train resume}: the next lap of a training. */
@Command(
    name = "resume",
    description = {
      "Goes on with a training: with STATE as it was, optimiser included, configuration from",
      "STATE/training.json; or with --from CHECKPOINT from its weights alone, moments zero."
    },
    mixinStandardHelpOptions = true)
final class TrainResumeCommand implements Callable<Integer> {
  @Parameters(arity = "0..1", paramLabel = "STATE", description = "State folder of a training.")
  private Path state;

  @Option(
      names = "--from",
      paramLabel = "CHECKPOINT",
      description = "Checkpoint whose weights to begin with; needs --data and -o.")
  private Path from;

  @Option(
      names = "--data",
      paramLabel = "DIR",
      description = "Folders of pictures, instead of those trained on so far.")
  private List<Path> data = List.of();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description =
          "Checkpoint folder to write. Default with STATE: that of the lap before, replaced as a"
              + " whole.")
  private Path out;

  @Option(names = "--minutes", description = "Length of this lap. Default: 60")
  private Double minutes;

  @Option(names = "--learning-rate", description = "Peak rate of this lap.")
  private Double learningRate;

  @Option(names = "--save-minutes", description = "How often the state is written. Default: 5")
  private Double saveMinutes;

  @Override
  public Integer call() throws IOException {
    if ((state == null) == (from == null)) {
      throw PriorArtException.badField("resume", "needs either STATE or --from CHECKPOINT");
    }
    List<String> arguments = state != null ? ofState() : ofCheckpoint();
    data.forEach(d -> arguments.add("--data=" + d));
    add(arguments, "--minutes", minutes);
    add(arguments, "--save-minutes", saveMinutes);
    CommandLine train = Main.configured(new CommandLine(new TrainCommand()));
    return train.execute(arguments.toArray(String[]::new));
  }

  private static void add(List<String> arguments, String name, Object value) {
    if (value != null) {
      arguments.add(name + "=" + value);
    }
  }

  private List<String> ofState() throws IOException {
    ObjectNode json = new TrainingFile(state.resolve("training.json")).read();
    ObjectNode options = (ObjectNode) json.path("options");
    if (learningRate != null) {
      options.put("--learning-rate", learningRate.toString());
    }
    List<String> arguments = new ArrayList<>(List.of(json.path("kind").asText(), "--resume"));
    options.properties().forEach(o -> add(arguments, o.getKey(), o.getValue().asText()));
    add(arguments, "--seed", json.path("seed").asLong());
    add(arguments, "--state", state);
    add(arguments, "--out", out != null ? out : json.path("out").asText());
    if (data.isEmpty()) {
      json.path("data").forEach(d -> arguments.add("--data=" + d.asText()));
    } else {
      arguments.add("--new-data");
    }
    return arguments;
  }

  private List<String> ofCheckpoint() {
    if (data.isEmpty() || out == null) {
      throw PriorArtException.badField(data.isEmpty() ? "data" : "out", "is needed with --from");
    }
    List<String> arguments = new ArrayList<>();
    if (Files.exists(from.resolve("denoiser/config.json"))) {
      DenoisingUNet.Config c = DenoisingUNet.Config.of(config("denoiser"));
      if (c.sigmaData() != TrainCommand.SIGMA_DATA) {
        throw config("denoiser").bad("sigma_data", "must be " + TrainCommand.SIGMA_DATA);
      }
      arguments.add("denoiser");
      add(arguments, "--channels", list(c.blockOutChannels()));
      add(arguments, "--layers-per-block", c.layersPerBlock());
      add(arguments, "--sigma-min", c.sigmaMin());
      add(arguments, "--sigma-max", c.sigmaMax());
      arguments.add(c.noiseMap() ? "--noise-map=true" : "--noise-map=false");
    } else if (Files.exists(from.resolve("unet/config.json"))) {
      UNet2DConditionModel.Config.of(config("unet"));
      ClipTextModel.Config.of(config("text_encoder"));
      ConfigNode unet = config("unet");
      ConfigNode text = config("text_encoder");
      arguments.add("diffusion");
      add(arguments, "--channels", list(unet.list("block_out_channels", new int[0], 1, 4096)));
      add(arguments, "--layers-per-block", unet.integer("layers_per_block", 2, 1, 32));
      add(arguments, "--heads", unet.integer("attention_head_dim", 8, 1, 4096));
      add(arguments, "--text-width", text.integer("hidden_size", 768, 1, 4096));
      String predicted =
          ConfigNode.read(from.resolve("scheduler/scheduler_config.json"))
              .text("prediction_type", "epsilon");
      add(arguments, "--target", DiffusionTarget.of(predicted));
      add(arguments, "--text-layers", text.integer("num_hidden_layers", 12, 1, 64));
    } else if (Files.exists(from.resolve("vae/config.json"))) {
      AutoencoderKL.Config c = AutoencoderKL.Config.of(config("vae"));
      arguments.add("autoencoder");
      add(arguments, "--channels", list(c.blockOutChannels()));
      add(arguments, "--latent-channels", c.latentChannels());
    } else {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND, from + ": holds no denoiser, unet or vae with a config.json");
    }
    add(arguments, "--from", from);
    add(arguments, "--out", out);
    add(arguments, "--learning-rate", learningRate);
    return arguments;
  }

  private ConfigNode config(String part) {
    return ConfigNode.read(from.resolve(part).resolve("config.json"));
  }

  private static String list(int[] values) {
    return Arrays.stream(values).mapToObj(Integer::toString).collect(Collectors.joining(","));
  }
}
