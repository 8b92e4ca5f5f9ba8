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
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;

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

  /** Names of those given parameters that are files still to be read. */
  public Set<String> files() {
    return files(Operators.byId(name));
  }

  private <P extends Record> Set<String> files(OperatorKind<P> kind) {
    Set<String> files = new TreeSet<>();
    for (ParameterSchema.Entry entry : ParameterSchema.of(kind.spec()).entries(kind.defaults())) {
      if (entry.type() == ParameterSchema.Type.TENSOR
          && parameters.get(entry.name()) instanceof String) {
        files.add(entry.name());
      }
    }
    return files;
  }

  /** With file names continued from a folder. */
  public OperatorRequest relativeTo(Path folder) {
    OperatorRequest result = this;
    for (String file : files()) {
      result = result.with(file, folder.resolve(parameters.get(file).toString()).toString());
    }
    return result;
  }

  /**
   * With its files read.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT naming the file; also for an unknown
   *     operator
   */
  public OperatorRequest resolved(long maxPixels) {
    OperatorRequest result = this;
    for (String parameter : files()) {
      String file = parameters.get(parameter).toString();
      byte[] bytes = PictureFiles.bytes(Path.of(file));
      result = result.with(parameter, tensor(parameter, file, bytes, maxPixels));
    }
    return result;
  }

  /**
   * A tensor parameter's value from a file's bytes.
   *
   * @param file what messages call it
   */
  public static HostTensor tensor(String parameter, String file, byte[] bytes, long maxPixels) {
    return parameter.equals("mask")
        ? PictureFiles.mask(PictureFiles.decode(file, bytes, maxPixels))
        : PictureFiles.decodeKernel(file, bytes, maxPixels);
  }

  /** Refuses an unknown operator or parameter and values out of range. */
  void check(String path) {
    bind(Operators.byId(name), path);
  }

  /** Builds the operator for images of one shape. */
  OperatorKind.Drawn build(String path, Shape imageShape, NoiseSource random) {
    return build(Operators.byId(name), path, imageShape, random);
  }

  private <P extends Record> OperatorKind.Drawn build(
      OperatorKind<P> kind, String path, Shape imageShape, NoiseSource random) {
    P spec = bind(kind, path);
    return located(kind, path, () -> kind.factory().create(spec, imageShape, random));
  }

  /** Shape of the image that a measurement was taken of. */
  Shape imageShape(String path, Shape measurementShape) {
    return imageShape(Operators.byId(name), path, measurementShape);
  }

  private <P extends Record> Shape imageShape(
      OperatorKind<P> kind, String path, Shape measurementShape) {
    P spec = bind(kind, path);
    return located(kind, path, () -> kind.factory().imageShape(spec, measurementShape));
  }

  private <P extends Record> P bind(OperatorKind<P> kind, String path) {
    return ParameterSchema.of(kind.spec()).bind(path, parameters, kind.defaults());
  }

  /** What an operator finds wrong with one of its parameters, under the operator's path. */
  private static <P extends Record, T> T located(
      OperatorKind<P> kind, String path, Supplier<T> work) {
    try {
      return work.get();
    } catch (PriorArtException e) {
      String field = e.details().get("field");
      boolean own =
          ParameterSchema.of(kind.spec()).entries(kind.defaults()).stream()
              .anyMatch(entry -> entry.name().equals(field));
      throw own ? e.within(path) : e;
    }
  }
}
