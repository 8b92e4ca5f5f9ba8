package io.priorart.runtime;

import ai.djl.ndarray.types.Shape;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.operator.Operators;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An operator as a user names it.
 *
 * @param name of an {@link OperatorKind}
 * @param parameters by name; text, numbers, booleans, or tensors already read
 */
public record OperatorRequest(String name, Map<String, Object> parameters) {
  public OperatorRequest {
    parameters = Map.copyOf(parameters);
  }

  /**
   * Reads {@code NAME[:key=value,...]}. A piece without {@code =} continues the value before it, so
   * that {@code box=10,20,30,40} needs no quoting.
   *
   * @throws PriorArtException INVALID_ARGUMENT when malformed
   */
  public static OperatorRequest parse(String text) {
    int colon = text.indexOf(':');
    if (colon < 0) {
      return new OperatorRequest(text.strip(), Map.of());
    }
    Map<String, Object> parameters = new LinkedHashMap<>();
    String last = null;
    for (String piece : text.substring(colon + 1).split(",")) {
      int equals = piece.indexOf('=');
      if (equals > 0) {
        last = piece.substring(0, equals).strip();
        if (parameters.put(last, piece.substring(equals + 1).strip()) != null) {
          throw PriorArtException.badField("operator " + text, last + " is given twice");
        }
      } else if (last != null && equals < 0) {
        parameters.merge(last, piece, (a, b) -> a + "," + b);
      } else {
        throw PriorArtException.badField(
            "operator " + text, "must be NAME or NAME:key=value,key=value");
      }
    }
    return new OperatorRequest(text.substring(0, colon).strip(), parameters);
  }

  public OperatorRequest with(String key, Object value) {
    Map<String, Object> more = new LinkedHashMap<>(parameters);
    more.put(key, value);
    return new OperatorRequest(name, more);
  }

  /**
   * Reads the files that tensor parameters name, relative to {@code base}; refuses an unknown
   * operator.
   */
  public OperatorRequest resolved(Path base, long maxPixels) {
    return resolve(Operators.byId(name), base, maxPixels);
  }

  private <P extends Record> OperatorRequest resolve(
      OperatorKind<P> kind, Path base, long maxPixels) {
    OperatorRequest result = this;
    for (ParameterSchema.Entry entry : ParameterSchema.of(kind.spec()).entries(kind.defaults())) {
      Object value = parameters.get(entry.name());
      if (entry.type() == ParameterSchema.Type.TENSOR && value instanceof String file) {
        Path path = base.resolve(file);
        HostTensor tensor =
            entry.name().equals("mask")
                ? PictureFiles.readMask(path, maxPixels)
                : PictureFiles.readKernel(path, maxPixels);
        result = result.with(entry.name(), tensor);
      }
    }
    return result;
  }

  /** Builds the operator for images of one shape. */
  OperatorKind.Drawn build(String path, Shape imageShape, NoiseSource random) {
    return build(Operators.byId(name), path, imageShape, random);
  }

  private <P extends Record> OperatorKind.Drawn build(
      OperatorKind<P> kind, String path, Shape imageShape, NoiseSource random) {
    P spec = ParameterSchema.of(kind.spec()).bind(path, parameters, kind.defaults());
    return kind.factory().create(spec, imageShape, random);
  }

  /** Shape of the image that a measurement was taken of. */
  Shape imageShape(String path, Shape measurementShape) {
    return imageShape(Operators.byId(name), path, measurementShape);
  }

  private <P extends Record> Shape imageShape(
      OperatorKind<P> kind, String path, Shape measurementShape) {
    P spec = ParameterSchema.of(kind.spec()).bind(path, parameters, kind.defaults());
    return kind.factory().imageShape(spec, measurementShape);
  }
}
