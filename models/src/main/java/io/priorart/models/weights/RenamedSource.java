package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.PriorArtException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A file's tensors under other names, each whole or a part of one, some turned as another layout
 * keeps them.
 */
final class RenamedSource implements TensorSource {
  /** What lies between a tensor of the file and the one wanted. */
  enum Change {
    NONE,
    /** The first of three equal runs of rows, as of a query, key and value kept in one matrix. */
    FIRST_THIRD,
    SECOND_THIRD,
    LAST_THIRD,
    /** The second half of the rows before the first. */
    SWAPPED_HALVES,
    /** {@code [a, b]} of {@code [b, a]}. */
    TRANSPOSED,
    /** {@code [a, b]} of a pointwise convolution's {@code [a, b, 1, 1]}, or a matrix as it is. */
    MATRIX;

    private int third() {
      return ordinal() - FIRST_THIRD.ordinal();
    }

    /**
     * @throws PriorArtException INVALID_ARGUMENT for a shape that cannot be changed so
     */
    Shape shape(String name, Shape shape) {
      long[] dims = shape.getShape().clone();
      boolean fits =
          switch (this) {
            case NONE -> true;
            case FIRST_THIRD, SECOND_THIRD, LAST_THIRD -> dims.length > 0 && dims[0] % 3 == 0;
            case SWAPPED_HALVES -> dims.length > 0 && dims[0] % 2 == 0;
            case TRANSPOSED -> dims.length == 2;
            case MATRIX -> dims.length == 2 || dims.length == 4 && dims[2] == 1 && dims[3] == 1;
          };
      if (!fits) {
        throw PriorArtException.badField(name, "has the unexpected shape " + shape);
      }
      return switch (this) {
        case NONE, SWAPPED_HALVES -> shape;
        case FIRST_THIRD, SECOND_THIRD, LAST_THIRD -> {
          dims[0] /= 3;
          yield new Shape(dims);
        }
        case TRANSPOSED -> new Shape(dims[1], dims[0]);
        case MATRIX -> new Shape(dims[0], dims[1]);
      };
    }

    /**
     * @param bytes of an element of {@code mapped}'s last axis: 2 where bfloat16 is mapped as bytes
     */
    NDArray apply(NDArray mapped, int bytes) {
      long[] dims = mapped.getShape().getShape();
      // rows of a vector are its elements
      long rows = dims.length == 1 ? dims[0] / bytes : dims[0];
      long perRow = dims.length == 1 ? bytes : 1;
      return switch (this) {
        case NONE -> mapped;
        case FIRST_THIRD, SECOND_THIRD, LAST_THIRD -> {
          long third = rows / 3 * perRow;
          yield mapped.get("{}:{}", third() * third, (third() + 1) * third);
        }
        case SWAPPED_HALVES -> {
          long half = rows / 2 * perRow;
          yield NDArrays.concat(new NDList(mapped.get("{}:", half), mapped.get("0:{}", half)), 0);
        }
        case TRANSPOSED ->
            mapped
                .reshape(dims[0], dims[1] / bytes, bytes)
                .transpose(1, 0, 2)
                .reshape(dims[1] / bytes, dims[0] * bytes);
        case MATRIX -> dims.length == 2 ? mapped : mapped.reshape(dims[0], -1);
      };
    }
  }

  /** Where a tensor comes from. */
  record Origin(String tensor, Change change) {}

  private final TensorSource file;
  private final Map<String, Origin> origins;
  private final Map<String, Shape> shapes = new LinkedHashMap<>();

  RenamedSource(TensorSource file, Map<String, Origin> origins) {
    this.file = file;
    this.origins = origins;
    Map<String, Shape> held = file.shapes();
    origins.forEach(
        (name, origin) ->
            shapes.put(name, origin.change().shape(origin.tensor(), held.get(origin.tensor()))));
  }

  @Override
  public String name() {
    return file.name();
  }

  @Override
  public Map<String, Shape> shapes() {
    return new LinkedHashMap<>(shapes);
  }

  @Override
  public String type(String name) {
    return file.type(origins.get(name).tensor());
  }

  @Override
  public NDArray map(NDManager manager, String name, Staging staging) {
    Origin origin = origins.get(name);
    NDArray mapped = file.map(manager, origin.tensor(), staging);
    return origin.change().apply(mapped, mapped.getDataType() == DataType.UINT8 ? 2 : 1);
  }
}
