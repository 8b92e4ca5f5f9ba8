package io.priorart.models.engine;

import ai.djl.ndarray.types.Shape;

/**
 * A weight that a network declares.
 *
 * @param name full name in the checkpoint, for instance {@code
 *     down_blocks.0.resnets.1.conv1.weight}
 */
public record TensorSpec(String name, Shape shape) {}
