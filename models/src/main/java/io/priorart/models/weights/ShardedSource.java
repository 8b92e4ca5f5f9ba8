package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;

/** Weights in several files, by the {@code weight_map} of their index. */
public final class ShardedSource implements TensorSource {
  private final Path index;
  private final Map<String, SafetensorsFile> files;

  private ShardedSource(Path index, Map<String, SafetensorsFile> files) {
    this.index = index;
    this.files = files;
  }

  /**
   * @param contained checks that a file may be read
   * @throws PriorArtException INVALID_ARGUMENT for an index without a map, with files that are not
   *     beside it, or that does not agree with what they hold; NOT_FOUND for a missing file
   */
  public static ShardedSource open(Path index, UnaryOperator<Path> contained) {
    Map<String, SafetensorsFile> opened = new TreeMap<>();
    Map<String, SafetensorsFile> files = new LinkedHashMap<>();
    List<String> problems = new ArrayList<>();
    ConfigNode.read(index, MAX_BYTES)
        .json()
        .path("weight_map")
        .properties()
        .forEach(
            e -> {
              String shard = e.getValue().asText();
              if (!shard.matches("[A-Za-z0-9._-]+\\.safetensors")) {
                throw bad(index, "names " + e.getValue() + ", which is no file beside it");
              }
              SafetensorsFile file =
                  opened.computeIfAbsent(
                      shard, s -> SafetensorsFile.open(contained.apply(index.resolveSibling(s))));
              files.put(e.getKey(), file);
              if (!file.shapes().containsKey(e.getKey())) {
                problems.add(shard + " lacks " + e.getKey());
              }
            });
    opened.forEach(
        (shard, file) -> {
          for (String name : file.shapes().keySet()) {
            if (files.get(name) != file) {
              problems.add(shard + " also holds " + name);
            }
          }
        });
    if (files.isEmpty() || !problems.isEmpty()) {
      throw bad(
          index,
          files.isEmpty()
              ? "has no weight_map"
              : "does not agree with its files: " + TensorSource.some(problems));
    }
    return new ShardedSource(index, files);
  }

  private static final long MAX_BYTES = 16 << 20;

  private static PriorArtException bad(Path index, String problem) {
    return new PriorArtException(ErrorKind.INVALID_ARGUMENT, index + " " + problem);
  }

  @Override
  public String name() {
    return index.toString();
  }

  @Override
  public Map<String, Shape> shapes() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    files.values().stream().distinct().forEach(file -> shapes.putAll(file.shapes()));
    return shapes;
  }

  @Override
  public String type(String name) {
    return files.get(name).type(name);
  }

  @Override
  public NDArray map(NDManager manager, String name, Staging staging) {
    return files.get(name).map(manager, name, staging);
  }
}
