package io.priorart.solver;

import ai.djl.ndarray.types.Shape;
import java.util.Map;

/**
 * An operator's public face, the twin of {@link SolverMethod}.
 *
 * @param id name on every wire, kebab-case
 * @param summary one sentence
 * @param spec the parameter record's class; each component carries {@link Parameter}
 * @param defaults used for components that a request leaves out; a {@code null} component has no
 *     default
 * @param factory builds the operator
 * @param <P> the parameter record
 */
public record OperatorKind<P extends Record>(
    String id, String summary, Class<P> spec, P defaults, Factory<P> factory) {
  /**
   * Builds an operator for images of one size.
   *
   * @param <P> the parameter record
   */
  public interface Factory<P> {
    /**
     * @param spec validated parameters
     * @param imageShape {@code [C, H, W]}
     * @param random for operators that are drawn (a random mask): drawn once, here
     * @throws PriorArtException INVALID_ARGUMENT naming the parameter
     */
    Drawn create(P spec, Shape imageShape, NoiseSource random);

    /**
     * Size of the image that a measurement of the given size was taken of, when nobody names it.
     *
     * @param measurementShape {@code [C, h, w]}
     */
    default Shape imageShape(P spec, Shape measurementShape) {
      return measurementShape;
    }
  }

  /**
   * A built operator with what was drawn for it, to be stored with the measurement.
   *
   * @param operator the operator
   * @param artifacts parameters that replace the random ones, by name: a drawn mask under "mask"
   *     ({@code [1, H, W]}, 1 = missing); empty when nothing was drawn
   */
  public record Drawn(ForwardOperator operator, Map<String, HostTensor> artifacts) {}
}
