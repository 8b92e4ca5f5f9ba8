package io.priorart.runtime;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.operator.ComposedOperator;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The operators of a request, built for one image shape and composed in the order given.
 *
 * @param operator their composition
 * @param drawn what was drawn for each, by parameter name
 */
record OperatorChain(ForwardOperator operator, List<Map<String, HostTensor>> drawn) {
  /** Refuses unknown operators and parameters, and values out of range. */
  static void check(List<OperatorRequest> requests) {
    if (requests.isEmpty()) {
      throw PriorArtException.badField("operators", "name at least one, for instance inpainting");
    }
    if (requests.size() > Limits.OPERATORS) {
      throw PriorArtException.badField(
          "operators", "must be at most " + Limits.OPERATORS + ", were " + requests.size());
    }
    for (int i = 0; i < requests.size(); i++) {
      requests.get(i).check(path(i));
    }
  }

  static OperatorChain build(List<OperatorRequest> requests, Shape imageShape, NoiseSource random) {
    check(requests);
    List<ForwardOperator> operators = new ArrayList<>();
    List<Map<String, HostTensor>> drawn = new ArrayList<>();
    Shape shape = imageShape;
    for (int i = 0; i < requests.size(); i++) {
      OperatorKind.Drawn built = requests.get(i).build(path(i), shape, random);
      operators.add(built.operator());
      drawn.add(built.artifacts());
      shape = built.operator().measurementShape();
    }
    return new OperatorChain(ComposedOperator.of(operators), drawn);
  }

  /** Shape of the image behind a measurement, when nobody names it. */
  static Shape imageShape(List<OperatorRequest> requests, Shape measurementShape) {
    Shape shape = measurementShape;
    for (int i = requests.size() - 1; i >= 0; i--) {
      shape = requests.get(i).imageShape(path(i), shape);
    }
    return shape;
  }

  private static String path(int index) {
    return "operators[" + index + "]";
  }
}
