package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.solver.PriorArtException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;

/**
 * A folder that is another checkpoint but for a LoRA and a scheduler of its own: its {@code
 * model_index.json} names, as {@code _base}, the folder beside it that it is made of, and, as
 * {@code _lora}, the file in it that is merged. So a few-step variant takes a tenth of the space.
 */
final class DerivedCheckpoint implements Checkpoint {
  private static final String BASE = "_base";
  private static final String LORA = "_lora";

  /** No way out of the folder that both lie in. */
  private static final String NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}";

  private static final String SCHEDULER = "scheduler";

  private final CheckpointFolder own;
  private final Checkpoint base;
  private String hash;

  private DerivedCheckpoint(CheckpointFolder own, Checkpoint base) {
    this.own = own;
    this.base = base;
  }

  /** {@code folder} itself, or what it derives from with its changes. */
  static Checkpoint of(CheckpointFolder folder, Path path) {
    if (!folder.hasConfig("", INDEX) || !folder.index().json().has(BASE)) {
      return folder;
    }
    String base = name(folder, BASE);
    String lora = name(folder, LORA);
    Path sibling = path.toAbsolutePath().normalize().resolveSibling(base);
    CheckpointFolder found = new CheckpointFolder(sibling, null);
    if (found.index().json().has(BASE)) {
      throw PriorArtException.badField("model", base + " is derived itself");
    }
    ModelSource.Lora change = new ModelSource.Lora(folder.contained(path.resolve(lora)), 1);
    ModelSource source = new ModelSource(sibling, null, null, List.of(change));
    return new DerivedCheckpoint(folder, new AdaptedCheckpoint(found, source));
  }

  private static String name(CheckpointFolder folder, String key) {
    String name = folder.index().text(key, "");
    if (!name.matches(NAME)) {
      throw PriorArtException.badField(
          "model", folder.name() + "/" + INDEX + " has a " + key + " that is no plain name");
    }
    return name;
  }

  @Override
  public String name() {
    return own.name();
  }

  private Checkpoint owner(String part) {
    return part.equals(SCHEDULER) ? own : base;
  }

  /** What was measured of the base does not hold of what was made from it. */
  private Checkpoint owner(String part, String file) {
    return file.equals(CALIBRATION) ? own : owner(part);
  }

  @Override
  public boolean has(String part) {
    return owner(part).has(part);
  }

  @Override
  public boolean hasConfig(String part, String file) {
    return owner(part, file).hasConfig(part, file);
  }

  @Override
  public ConfigNode config(String part, String file) {
    return owner(part, file).config(part, file);
  }

  @Override
  public ConfigNode index() {
    return base.index();
  }

  @Override
  public TensorSource weights(String part) {
    return base.weights(part);
  }

  @Override
  public ClipTokenizer tokenizer(String part, int maxLength) {
    return base.tokenizer(part, maxLength);
  }

  @Override
  public T5Tokenizer t5Tokenizer(String part) {
    return base.t5Tokenizer(part);
  }

  @Override
  public String license() {
    return own.license();
  }

  @Override
  public synchronized String hash() {
    if (hash == null) {
      MessageDigest digest = FileHash.sha256();
      digest.update((base.hash() + own.hash()).getBytes(StandardCharsets.UTF_8));
      hash = HexFormat.of().formatHex(digest.digest());
    }
    return hash;
  }
}
