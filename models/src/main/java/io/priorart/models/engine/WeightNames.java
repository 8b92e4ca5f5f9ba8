package io.priorart.models.engine;

import ai.djl.ndarray.types.Shape;

/**
 * A cursor over a checkpoint's tensor names: {@code
 * names.at("down_blocks").at(0).tensor("conv1.weight", shape)}. Declaring a tensor says that the
 * checkpoint must hold it, with this shape.
 */
public final class WeightNames {
  private final ScriptBuilder builder;
  private final String prefix;

  WeightNames(ScriptBuilder builder, String prefix) {
    this.builder = builder;
    this.prefix = prefix;
  }

  public WeightNames at(String part) {
    return new WeightNames(builder, prefix + part + ".");
  }

  public WeightNames at(int index) {
    return at(Integer.toString(index));
  }

  /** Declares the tensor and returns a handle for {@link Graph}'s operations. */
  public Weight tensor(String name, long... shape) {
    return builder.declare(prefix + name, new Shape(shape));
  }

  /**
   * A declared weight.
   *
   * @param index its place in the script's list
   */
  public record Weight(int index, Shape shape) {}
}
