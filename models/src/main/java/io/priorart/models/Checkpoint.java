package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A checkpoint as families read it, whatever files it is: an index, and parts with configuration,
 * weights or vocabulary, by the names of the diffusers folder layout.
 */
interface Checkpoint {
  String INDEX = "model_index.json";

  /** Beside the index, where somebody measured it: {@code times} and {@code errors} of velocity. */
  String CALIBRATION = "calibration.json";

  /** Names of the parts that have weights, in the order that people look at them. */
  String[] PARTS = {
    "unet",
    "transformer",
    "denoiser",
    "proximal",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3"
  };

  /**
   * What the model source names, with its changes.
   *
   * @throws io.priorart.solver.PriorArtException NOT_FOUND; INVALID_ARGUMENT naming file and defect
   */
  static Checkpoint open(ModelSource source) {
    Checkpoint opened =
        Files.isRegularFile(source.path())
            ? CheckpointFile.open(source.path())
            : DerivedCheckpoint.of(
                new CheckpointFolder(source.path(), source.variant()), source.path());
    return source.vae() == null && source.loras().isEmpty()
        ? opened
        : new AdaptedCheckpoint(opened, source);
  }

  /** What reports call it. */
  String name();

  /** Whether it has this part. */
  boolean has(String part);

  /** Whether {@link #config(String, String)} finds a file. */
  boolean hasConfig(String part, String file);

  /** A configuration file of a part. */
  ConfigNode config(String part, String file);

  /** {@code config.json} of a part. */
  default ConfigNode config(String part) {
    return config(part, "config.json");
  }

  /** {@code model_index.json}. */
  ConfigNode index();

  /** A part's tensors under the names that diffusers and transformers give them. */
  TensorSource weights(String part);

  /**
   * A CLIP tokenizer.
   *
   * @param part {@code tokenizer} or {@code tokenizer_2}
   */
  ClipTokenizer tokenizer(String part, int maxLength);

  /** T5's tokenizer, of the part {@code tokenizer_3}. */
  T5Tokenizer t5Tokenizer(String part);

  /** The licence that it states, {@code null} for none. */
  String license();

  /** SHA-256 of the contents that decide what the model computes; computed once. */
  String hash();

  /** A path's last name without {@code .safetensors}. */
  static String nameOf(Path path) {
    return path.toAbsolutePath().normalize().getFileName().toString().replace(".safetensors", "");
  }
}
