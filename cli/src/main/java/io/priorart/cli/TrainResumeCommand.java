package io.priorart.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.PredictionType;
import io.priorart.models.ProximalPrior;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.ConvexPotential;
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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IModelTransformer;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code priorart train resume}: the next lap of a training. */
@Command(
    name = "resume",
    description = {
      "Goes on with a training: with STATE as it was, optimiser included, configuration from",
      "STATE/training.json; or with --from CHECKPOINT from its weights alone, moments zero, and",
      "the options of a new training except the network's own."
    },
    mixinStandardHelpOptions = true,
    modelTransformer = TrainResumeCommand.Borrowed.class)
final class TrainResumeCommand implements Callable<Integer> {
  /** What the checkpoint says itself. */
  private static final Set<String> NETWORK =
      Set.of(
          "--channels",
          "--latent-channels",
          "--layers-per-block",
          "--heads",
          "--text-width",
          "--text-layers",
          "--vocabulary",
          "--target",
          "--sigma-min",
          "--sigma-max",
          "--noise-map",
          "--width",
          "--levels",
          "--beta",
          "--alpha",
          "--sigma");

  /** Gives this command the options that {@code --from} hands on to a new training. */
  static final class Borrowed implements IModelTransformer {
    @Override
    public CommandSpec transform(CommandSpec resume) {
      Map<OptionSpec, String> kinds = new LinkedHashMap<>();
      Map<String, OptionSpec> first = new LinkedHashMap<>();
      for (Class<?> kind :
          List.of(
              TrainCommand.Autoencoder.class,
              TrainCommand.Diffusion.class,
              TrainCommand.Denoiser.class,
              TrainCommand.Lpn.class)) {
        CommandSpec training = CommandSpec.forAnnotatedObject(kind);
        for (OptionSpec option : training.options()) {
          String name = option.longestName();
          boolean known = resume.findOption(name) != null;
          if (!known && !option.hidden() && !NETWORK.contains(name)) {
            OptionSpec one = first.computeIfAbsent(name, n -> option);
            kinds.merge(one, training.name(), (some, more) -> some + ", " + more);
          }
        }
      }
      kinds.forEach(
          (option, names) ->
              resume.addOption(
                  OptionSpec.builder(option.longestName())
                      .type(option.arity().max() == 0 ? boolean.class : String.class)
                      .arity(option.arity().toString())
                      .paramLabel(option.paramLabel())
                      .description("With --from, of a training's own (" + names + ").")
                      .build()));
      return resume;
    }
  }

  @Spec private CommandSpec command;

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
    List<String> borrowed = borrowed();
    List<String> arguments = state != null ? ofState() : ofCheckpoint();
    arguments.addAll(borrowed);
    data.forEach(d -> arguments.add("--data=" + d));
    add(arguments, "--minutes", minutes);
    add(arguments, "--save-minutes", saveMinutes);
    CommandLine train = Main.configured(new CommandLine(new TrainCommand()));
    return train.execute(arguments.toArray(String[]::new));
  }

  /** Options of the training as they were given; those of this command itself are fields. */
  private List<String> borrowed() {
    List<String> given = new ArrayList<>();
    for (OptionSpec option : command.commandLine().getParseResult().matchedOptions()) {
      if (option.userObject() == null && !option.usageHelp() && !option.versionHelp()) {
        String name = option.longestName();
        if (state != null) {
          throw PriorArtException.badField(
              name.substring(2),
              "belongs to the training in "
                  + state
                  + "; begin a new one from its checkpoint with --from to change it");
        }
        boolean flag = option.arity().max() == 0;
        given.add(flag ? name : name + "=" + option.getValue());
      }
    }
    return given;
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
    } else if (Files.exists(from.resolve(ProximalPrior.PART).resolve("config.json"))) {
      ConvexPotential.Config c = ConvexPotential.Config.of(config(ProximalPrior.PART));
      arguments.add("lpn");
      add(arguments, "--width", c.width());
      add(arguments, "--levels", c.levels());
      add(arguments, "--beta", c.beta());
      add(arguments, "--alpha", c.alpha());
      add(arguments, "--sigma", c.sigma());
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
      PredictionType predicted =
          PredictionType.of(ConfigNode.read(from.resolve("scheduler/scheduler_config.json")));
      add(arguments, "--target", DiffusionTarget.of(predicted.name().toLowerCase(Locale.ROOT)));
      add(arguments, "--text-layers", text.integer("num_hidden_layers", 12, 1, 64));
    } else if (Files.exists(from.resolve("vae/config.json"))) {
      AutoencoderKL.Config c = AutoencoderKL.Config.of(config("vae"));
      arguments.add("autoencoder");
      add(arguments, "--channels", list(c.blockOutChannels()));
      add(arguments, "--latent-channels", c.latentChannels());
    } else {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          from + ": holds no denoiser, proximal, unet or vae with a config.json");
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
