package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The tensors of a file whose names begin with one of the given prefixes, such as a VAE's encoder
 * half.
 */
public final class PrefixedSource implements TensorSource {
  private final TensorSource source;
  private final String[] prefixes;

  public PrefixedSource(TensorSource source, String... prefixes) {
    this.source = source;
    this.prefixes = prefixes;
  }

  @Override
  public String name() {
    return source.name();
  }

  @Override
  public Map<String, Shape> shapes() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    source
        .shapes()
        .forEach(
            (name, shape) -> {
              for (String prefix : prefixes) {
                if (name.startsWith(prefix)) {
                  shapes.put(name, shape);
                }
              }
            });
    return shapes;
  }

  @Override
  public String type(String name) {
    return source.type(name);
  }

  @Override
  public NDArray map(NDManager manager, String name, Staging staging) {
    return source.map(manager, name, staging);
  }
}
