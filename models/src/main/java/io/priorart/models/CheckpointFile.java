package io.priorart.models;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.models.weights.OriginalLayout;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * A checkpoint in one file of the original layout: configurations are told from its tensors ({@link
 * OriginalConfigs}), the vocabulary is CLIP's own.
 */
final class CheckpointFile implements Checkpoint {
  private static final String VAE = "vae";

  private final Path path;
  private final Map<String, TensorSource> parts;
  private final Map<String, ObjectNode> configs;
  private final Map<String, String> metadata;
  private final FileHash hash;

  private CheckpointFile(
      Path path,
      Map<String, TensorSource> parts,
      Map<String, ObjectNode> configs,
      Map<String, String> metadata) {
    this.path = path;
    this.parts = parts;
    this.configs = configs;
    this.metadata = metadata;
    hash = new FileHash(path);
  }

  /**
   * @throws PriorArtException INVALID_ARGUMENT for a pickled file, a file of another layout, or one
   *     that lacks parts
   */
  static CheckpointFile open(Path path) {
    PickledFiles.refuse(path);
    SafetensorsFile file = SafetensorsFile.open(path);
    Map<String, TensorSource> parts = OriginalLayout.parts(file);
    boolean marked = file.shapes().containsKey("v_pred");
    OriginalConfigs configs = new OriginalConfigs(path.toString(), parts, file.metadata(), marked);
    return new CheckpointFile(path, parts, configs.files(), file.metadata());
  }

  /**
   * An auto-encoder alone.
   *
   * @param scaling the configuration of the one it replaces, whose scale and shift it keeps
   */
  static CheckpointFile openVae(Path path, ConfigNode scaling) {
    PickledFiles.refuse(path);
    SafetensorsFile file = SafetensorsFile.open(path);
    TensorSource vae = OriginalLayout.vae(file);
    ObjectNode config = OriginalConfigs.vae(path.toString(), vae);
    for (String key : new String[] {"scaling_factor", "shift_factor", "force_upcast"}) {
      if (scaling.json().has(key)) {
        config.set(key, scaling.json().get(key));
      }
    }
    return new CheckpointFile(
        path, Map.of(VAE, vae), Map.of(VAE + "/config.json", config), file.metadata());
  }

  @Override
  public String name() {
    return Checkpoint.nameOf(path);
  }

  @Override
  public boolean has(String part) {
    return parts.containsKey(part);
  }

  @Override
  public boolean hasConfig(String part, String file) {
    return configs.containsKey(part + "/" + file);
  }

  @Override
  public ConfigNode config(String part, String file) {
    return file(part + "/" + file);
  }

  @Override
  public ConfigNode index() {
    return file(INDEX);
  }

  private ConfigNode file(String file) {
    ObjectNode node = configs.get(file);
    if (node == null) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, path + " tells no " + file);
    }
    return new ConfigNode(path + " as " + file, node);
  }

  @Override
  public TensorSource weights(String part) {
    TensorSource weights = parts.get(part);
    if (weights == null) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, path + " has no " + part);
    }
    return weights;
  }

  @Override
  public ClipTokenizer tokenizer(String part, int maxLength) {
    // the file has no vocabulary: every family of this layout uses this one
    String encoder = part.replace("tokenizer", "text_encoder");
    return ClipTokenizer.published(config(encoder).text("pad_token", ClipTokenizer.END), maxLength);
  }

  /** T5's vocabulary is too large to come with us: it is looked for beside the file. */
  @Override
  public T5Tokenizer t5Tokenizer(String part) {
    Path folder = path.resolveSibling(part);
    if (!Files.isDirectory(folder)) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          path
              + " holds T5 without its vocabulary: put the folder "
              + part
              + " of its family beside it, or take the file without T5");
    }
    return T5Tokenizer.open(folder);
  }

  @Override
  public String license() {
    return metadata.get("modelspec.license");
  }

  @Override
  public String hash() {
    return hash.get();
  }
}
