package io.priorart.api;

import com.google.protobuf.Duration;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.Limits;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.image.PictureInfo;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.Violations;
import io.priorart.solver.operator.Operators;
import io.priorart.v1.Conditioning;
import io.priorart.v1.Finish;
import io.priorart.v1.Format;
import io.priorart.v1.Image;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Noise;
import io.priorart.v1.Operator;
import io.priorart.v1.Output;
import io.priorart.v1.RestoreRequest;
import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** From the wire to the runtime's records; bad fields are refused by their path. */
@Singleton
public final class Requests {
  private static final int REQUEST_ID_CHARACTERS = 128;

  private final Service service;
  private final Images images;

  Requests(Service service, Images images) {
    this.service = service;
    this.images = images;
  }

  /** A restoration, checked as far as it can be without its pixels. */
  public record Restoration(
      Restorer.Request request,
      String choice,
      PictureFormat format,
      int bitDepth,
      boolean meanAndDeviation,
      java.time.Duration previewInterval,
      String model,
      Precision precision,
      java.time.Duration budget) {}

  /**
   * Checks and converts.
   *
   * @throws PriorArtException the first thing wrong, other bad fields as suppressed ones
   */
  public Restoration restoration(RestoreRequest wire) {
    Violations v = new Violations();
    Output output = wire.getOutput();
    v.check(() -> requireLength("request_id", wire.getRequestId(), REQUEST_ID_CHARACTERS));
    PictureInfo info =
        v.check(
            new PictureInfo(PictureFormat.PNG, 1, 1),
            () ->
                PictureFiles.info("image", images.bytes("image", wire.getImage()), Limits.PIXELS));
    Restorer.Request asked = request(wire, v);
    String model =
        v.check("", () -> service.models().named(wire.getModel(), asked.prompt().hasText()));
    java.time.Duration budget = v.check(null, () -> budget(wire.hasBudget(), wire.getBudget()));
    AutoSolver.Choice choice =
        v.check(
            null,
            () ->
                model.isEmpty()
                    ? null
                    : AutoSolver.choose(
                        asked,
                        service.models().traits(model),
                        wire.hasBudget() ? budget : null,
                        () -> asked.pixels(info.width(), info.height())));
    if (choice != null) {
      v.check(
          () -> {
            Restorer.check(choice.request());
            requireSteps(
                "solver",
                choice.request().steps() != null ? "steps" : "solver.steps",
                Restorer.parameters(choice.request()));
            Restorer.requireFit(choice.request(), service.models().traits(model));
          });
    }
    v.check(() -> requireDevice(wire.getDevice()));
    v.check(
        () ->
            requireKnown(
                "precision", wire.getPrecision() == io.priorart.v1.Precision.UNRECOGNIZED));
    v.check(() -> requireKnown("finish", wire.getFinish() == Finish.UNRECOGNIZED));
    PictureFormat format = v.check(info.format(), () -> format(output, info.format()));
    int bitDepth = v.check(0, () -> bitDepth(output));
    java.time.Duration previewInterval = v.check(null, () -> previewInterval(output));
    boolean harmful = format.lossy() && asked.keepsKnownPixels();
    v.check(
        () -> {
          if (harmful && output.getFormat() == Format.FORMAT_JPEG) {
            throw PriorArtException.badField(
                "output.format",
                "JPEG is lossy and would change known pixels; ask for PNG or TIFF");
          }
        });
    v.raise();
    return new Restoration(
        choice.request(),
        choice.reason(),
        harmful ? PictureFormat.PNG : format,
        bitDepth,
        output.getWantMeanAndStd() && asked.samples() > 1,
        previewInterval,
        model,
        precision(wire.getPrecision()),
        budget);
  }

  private Restorer.Request request(RestoreRequest wire, Violations v) {
    io.priorart.v1.Solver solver = wire.getSolver();
    boolean sized = wire.hasSize();
    return new Restorer.Request(
        // what goes on from a bad value must not be refused for another reason
        v.check(
            List.of(new OperatorRequest("identity", Map.of())),
            () -> operators(wire.getOperatorsList(), wire.getMaskPolarity())),
        v.check(
            io.priorart.solver.Noise.ofSigma(0),
            () -> noise(wire.hasNoise() ? wire.getNoise() : null)),
        solver.getName().isEmpty() ? AutoSolver.NAME : solver.getName(),
        solver.getPreset().isEmpty() ? Restorer.USUAL_PRESET : solver.getPreset(),
        v.check(Map.of(), () -> parameters("solver.parameters", solver.getParameters())),
        solver.hasSteps() ? solver.getSteps() : null,
        wire.getFinish() != Finish.FINISH_NONE,
        prompt("conditioning", wire.getConditioning(), v),
        wire.getSeed(),
        wire.hasSamples() ? wire.getSamples() : 1,
        sized ? v.check(1, () -> positive("size.width", wire.getSize().getWidth())) : 0,
        sized ? v.check(1, () -> positive("size.height", wire.getSize().getHeight())) : 0);
  }

  /**
   * What a model is told.
   *
   * @param field of the request
   */
  Prompt prompt(String field, Conditioning told, Violations v) {
    int limit = service.settings().limit().promptCharacters();
    v.check(() -> requireLength(field + ".prompt", told.getPrompt(), limit));
    v.check(() -> requireLength(field + ".negative_prompt", told.getNegativePrompt(), limit));
    v.check(() -> requireLength(field + ".suppress", told.getSuppress(), limit));
    return new Prompt(
        told.getPrompt(),
        told.getNegativePrompt(),
        told.hasGuidanceScale() ? told.getGuidanceScale() : 1,
        told.getSuppress(),
        told.getSuppressIterations());
  }

  /**
   * That none of a method's parameters asks for more steps than this server makes.
   *
   * @param path what a message calls them
   * @param stepsField what it calls the number of steps
   */
  void requireSteps(String path, String stepsField, Map<String, Object> parameters) {
    int limit = service.settings().limit().steps();
    parameters.forEach(
        (name, value) -> {
          if ((name.equals("steps") || name.equals("iterations"))
              && value instanceof Number n
              && n.longValue() > limit) {
            throw PriorArtException.badField(
                name.equals("steps") ? stepsField : path + "." + name,
                "must be at most " + limit + " on this server, was " + value);
          }
        });
  }

  /** The operators, their masks and kernels read. */
  public List<OperatorRequest> operators(List<Operator> wire, MaskPolarity polarity) {
    if (wire.size() > Limits.OPERATORS) {
      throw PriorArtException.badField(
          "operators", "must be at most " + Limits.OPERATORS + ", were " + wire.size());
    }
    List<OperatorRequest> operators = new ArrayList<>();
    for (int i = 0; i < wire.size(); i++) {
      operators.add(operator("operators[" + i + "]", wire.get(i), polarity));
    }
    return operators;
  }

  private OperatorRequest operator(String path, Operator wire, MaskPolarity polarity) {
    Map<String, Object> parameters = parameters(path + ".parameters", wire.getParameters());
    List<String> tensors = tensors(Operators.byId(wire.getName()));
    wire.getArtifactsMap()
        .forEach(
            (name, image) -> {
              String field = path + ".artifacts." + name;
              if (!tensors.contains(name)) {
                throw PriorArtException.badField(
                    field, wire.getName() + " takes " + (tensors.isEmpty() ? "none" : tensors));
              }
              HostTensor tensor =
                  OperatorRequest.tensor(name, field, images.bytes(field, image), Limits.PIXELS);
              parameters.put(name, name.equals("mask") ? missing(tensor, polarity) : tensor);
            });
    return new OperatorRequest(wire.getName(), parameters);
  }

  private static <P extends Record> List<String> tensors(io.priorart.solver.OperatorKind<P> kind) {
    return ParameterSchema.of(kind.spec()).entries(kind.defaults()).stream()
        .filter(e -> e.type() == ParameterSchema.Type.TENSOR)
        .map(ParameterSchema.Entry::name)
        .toList();
  }

  /** A mask in which 1 is missing. */
  static HostTensor missing(HostTensor mask, MaskPolarity polarity) {
    return switch (polarity) {
      case MASK_POLARITY_WHITE_IS_MISSING -> mask;
      case MASK_POLARITY_BLACK_IS_MISSING -> {
        float[] inverted = mask.values().clone();
        for (int i = 0; i < inverted.length; i++) {
          inverted[i] = 1 - inverted[i];
        }
        yield new HostTensor(mask.shape(), inverted);
      }
      case MASK_POLARITY_UNSPECIFIED, UNRECOGNIZED ->
          throw PriorArtException.badField(
              "mask_polarity", "must say what white means: there is a mask");
    };
  }

  /** A {@code Struct}'s numbers, booleans and texts. */
  static Map<String, Object> parameters(String path, Struct struct) {
    Map<String, Object> parameters = new LinkedHashMap<>();
    struct
        .getFieldsMap()
        .forEach((key, value) -> parameters.put(key, parameter(path + "." + key, value)));
    return parameters;
  }

  private static Object parameter(String path, Value value) {
    return switch (value.getKindCase()) {
      case NUMBER_VALUE -> value.getNumberValue();
      case BOOL_VALUE -> value.getBoolValue();
      case STRING_VALUE -> value.getStringValue();
      case NULL_VALUE, STRUCT_VALUE, LIST_VALUE, KIND_NOT_SET ->
          throw PriorArtException.badField(path, "must be a number, a text, true or false");
    };
  }

  /** {@code null} when it is left out. */
  static io.priorart.solver.Noise noise(Noise noise) {
    if (noise == null) {
      return null;
    }
    return switch (noise.getKindCase()) {
      case NONE -> new io.priorart.solver.Noise.None();
      case POISSON -> new io.priorart.solver.Noise.Poisson(noise.getPoisson().getPeak());
      case GAUSSIAN -> {
        double sigma = noise.getGaussian().getSigma();
        if (!(sigma > 0 && sigma <= 1)) {
          throw PriorArtException.badField(
              "sigma",
              "must be more than 0 and at most 1 (on the [0,1] pixel scale; say none for no noise),"
                  + " was "
                  + sigma);
        }
        yield new io.priorart.solver.Noise.Gaussian(sigma);
      }
      case KIND_NOT_SET ->
          throw PriorArtException.badField("noise", "must be none, gaussian or poisson");
    };
  }

  private static PictureFormat format(Output output, PictureFormat original) {
    return switch (output.getFormat()) {
      case FORMAT_UNSPECIFIED -> original;
      case FORMAT_PNG -> PictureFormat.PNG;
      case FORMAT_TIFF -> PictureFormat.TIFF;
      case FORMAT_JPEG -> PictureFormat.JPEG;
      case UNRECOGNIZED ->
          throw PriorArtException.badField("output.format", "is none that this server knows");
    };
  }

  /** As {@link #format}, where there is no original to follow. */
  static PictureFormat format(Output output) {
    return format(output, PictureFormat.PNG);
  }

  static int bitDepth(Output output) {
    if (!output.hasBitDepth()) {
      return 0;
    }
    int depth = output.getBitDepth();
    if (depth != 8 && depth != 16 && depth != 32) {
      throw PriorArtException.badField("bit-depth", "must be 8, 16 or 32, was " + depth);
    }
    return depth;
  }

  private java.time.Duration previewInterval(Output output) {
    if (!output.hasPreviewInterval()) {
      return null;
    }
    java.time.Duration wanted = duration("output.preview_interval", output.getPreviewInterval());
    java.time.Duration least = service.settings().preview().interval();
    return wanted.compareTo(least) < 0 ? least : wanted;
  }

  /** As asked, and no longer than the server's own. */
  java.time.Duration budget(boolean asked, Duration budget) {
    java.time.Duration longest = service.settings().budget();
    if (!asked) {
      return longest;
    }
    java.time.Duration wanted = duration("budget", budget);
    return wanted.compareTo(longest) > 0 ? longest : wanted;
  }

  private static java.time.Duration duration(String field, Duration wire) {
    long seconds = wire.getSeconds();
    boolean sound =
        seconds >= 0
            && seconds <= 315_576_000_000L
            && wire.getNanos() >= 0
            && wire.getNanos() < 1_000_000_000;
    if (!sound || seconds == 0 && wire.getNanos() == 0) {
      throw PriorArtException.badField(field, "must be a positive duration");
    }
    return java.time.Duration.ofSeconds(seconds, wire.getNanos());
  }

  private static Precision precision(io.priorart.v1.Precision wire) {
    return switch (wire) {
      case PRECISION_UNSPECIFIED, UNRECOGNIZED -> Precision.AUTO;
      case PRECISION_FLOAT32 -> Precision.FLOAT32;
      case PRECISION_BFLOAT16 -> Precision.BFLOAT16;
      case PRECISION_FLOAT16 -> Precision.FLOAT16;
    };
  }

  static void requireDevice(String device) {
    if (!device.isEmpty() && !device.equals("cpu")) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          "no device \"" + device + "\"; this server has cpu",
          Map.of("device", device, "nearest", "cpu"),
          null);
    }
  }

  private static void requireKnown(String field, boolean unrecognized) {
    if (unrecognized) {
      throw PriorArtException.badField(field, "is none that this server knows");
    }
  }

  private static int positive(String field, int value) {
    if (value < 1) {
      throw PriorArtException.badField(field, "must be at least 1, was " + value);
    }
    return value;
  }

  private static void requireLength(String field, String text, int limit) {
    if (text.length() > limit) {
      throw PriorArtException.badField(
          field, "must be at most " + limit + " characters, has " + text.length());
    }
  }

  /** A picture of a request, decoded. */
  public io.priorart.runtime.image.Picture picture(String field, Image image) {
    return PictureFiles.decode(field, images.bytes(field, image), Limits.PIXELS);
  }
}
