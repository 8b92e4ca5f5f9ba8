package io.priorart.models.engine;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Named tensors of one part of a checkpoint. */
public interface TensorSource {
  /** What a message calls it: the file. */
  String name();

  /** Shapes by tensor name. */
  Map<String, Shape> shapes();

  /** A tensor's element type as safetensors calls it: {@code F32}, {@code F16}, {@code BF16}. */
  String type(String name);

  /**
   * A tensor; bfloat16 comes as uint8 with its last axis doubled.
   *
   * @param staging where its bytes may be put, and the tensor is valid until it is flushed; {@code
   *     null} for a tensor without a copy where the format allows, valid while the source is open
   */
  NDArray map(NDManager manager, String name, Staging staging);

  /** {@link #map(NDManager, String, Staging)} without a copy. */
  default NDArray map(NDManager manager, String name) {
    return map(manager, name, null);
  }

  /** A tensor as float32 on the host. */
  default HostTensor read(NDManager scratch, String name) {
    try (NDArray mapped = map(scratch, name)) {
      if (mapped.getDataType() != DataType.UINT8) {
        return HostTensor.of(mapped);
      }
      ByteBuffer bytes = mapped.toByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
      float[] values = new float[Math.toIntExact(shapes().get(name).size())];
      for (int i = 0; i < values.length; i++) {
        // the upper half of a float32
        values[i] = Float.intBitsToFloat(bytes.getShort(2 * i) << 16);
      }
      return new HostTensor(shapes().get(name), values);
    }
  }

  /** All of a list of complaints, or the first fifty and how many more. */
  static String some(List<String> complaints) {
    int more = complaints.size() - 50;
    return String.join("; ", complaints.subList(0, Math.min(50, complaints.size())))
        + (more > 0 ? "; and " + more + " more" : "");
  }

  /** How many names there are, and the first five. */
  static String like(String what, List<String> names) {
    return names.size() + " " + what + " like " + names.subList(0, Math.min(5, names.size()));
  }

  /**
   * Checks that this holds exactly the declared tensors.
   *
   * @throws PriorArtException INVALID_ARGUMENT naming what is missing, unknown or misshapen, up to
   *     fifty
   */
  default void requireExactly(List<TensorSpec> declared) {
    List<String> problems = new ArrayList<>();
    Set<String> known = new HashSet<>();
    for (TensorSpec spec : declared) {
      known.add(spec.name());
      Shape found = shapes().get(spec.name());
      if (found == null) {
        problems.add("missing " + spec.name() + " " + spec.shape());
      } else if (!found.equals(spec.shape())) {
        problems.add(spec.name() + " is " + found + ", the network needs " + spec.shape());
      }
    }
    for (String name : shapes().keySet()) {
      if (!known.contains(name)) {
        problems.add("unknown " + name);
      }
    }
    if (!problems.isEmpty()) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          name() + " does not fit its configuration: " + some(problems));
    }
  }
}
