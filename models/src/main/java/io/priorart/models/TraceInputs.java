package io.priorart.models;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.util.Map;

/** Tensors from outside, checked before a network sees them. */
final class TraceInputs {
  private TraceInputs() {}

  static HostTensor checked(
      Map<String, HostTensor> inputs, String name, int rank, long channels, long multiple) {
    return checked(inputs, name, rank, channels, multiple, -1);
  }

  static HostTensor checked(
      Map<String, HostTensor> inputs,
      String name,
      int rank,
      long channels,
      long multiple,
      long lastAxis) {
    HostTensor tensor = inputs.get(name);
    if (tensor == null) {
      throw PriorArtException.badField("inputs", "lacks the tensor " + name);
    }
    long[] shape = tensor.shape().getShape();
    boolean fits = shape.length == rank && tensor.shape().size() > 0;
    fits = fits && (channels < 0 || rank > 1 && shape[1] == channels);
    fits = fits && (rank < 4 || shape[2] % multiple == 0 && shape[3] % multiple == 0);
    fits = fits && (lastAxis < 0 || shape[rank - 1] == lastAxis);
    if (!fits) {
      throw PriorArtException.badField(
          name,
          "is %s; needs rank %d%s%s%s"
              .formatted(
                  tensor.shape(),
                  rank,
                  channels < 0 ? "" : ", " + channels + " channels",
                  multiple == 1 ? "" : ", sides that are multiples of " + multiple,
                  lastAxis < 0 ? "" : ", last axis " + lastAxis));
    }
    return tensor;
  }

  static HostTensor exactly(Map<String, HostTensor> inputs, String name, Shape shape) {
    HostTensor tensor = checked(inputs, name, shape.dimension(), -1, 1);
    if (!tensor.shape().equals(shape)) {
      throw PriorArtException.badField(name, "is " + tensor.shape() + "; needs " + shape);
    }
    return tensor;
  }

  /** {@code input_ids [N, L]}, whole numbers of a vocabulary. */
  static HostTensor tokens(Map<String, HostTensor> inputs, int maxLength, int vocabulary) {
    HostTensor ids = checked(inputs, "input_ids", 2, -1, 1);
    if (ids.shape().get(1) > maxLength) {
      throw PriorArtException.badField("input_ids", "has more than " + maxLength + " positions");
    }
    for (long id : longs(ids)) {
      if (id < 0 || id >= vocabulary) {
        throw PriorArtException.badField("input_ids", id + " is outside 0 to " + (vocabulary - 1));
      }
    }
    return ids;
  }

  static long[] longs(HostTensor tensor) {
    long[] values = new long[tensor.values().length];
    for (int i = 0; i < values.length; i++) {
      values[i] = (long) tensor.values()[i];
    }
    return values;
  }
}
