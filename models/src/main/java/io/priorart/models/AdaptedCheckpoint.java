package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.models.weights.LoraFile;
import io.priorart.solver.PriorArtException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** A checkpoint with another auto-encoder and with LoRAs merged. */
final class AdaptedCheckpoint implements Checkpoint {
  private static final String VAE = "vae";

  private final Checkpoint base;
  private final Checkpoint vae;
  private final List<Merge> merges = new ArrayList<>();
  private final String name;
  private String hash;

  private record Merge(LoraFile file, double scale, FileHash hash) {}

  AdaptedCheckpoint(Checkpoint base, ModelSource source) {
    this.base = base;
    StringBuilder named = new StringBuilder(base.name());
    vae = source.vae() == null ? base : vae(source.vae(), source.variant());
    if (vae != base) {
      named.append(" vae ").append(vae.name());
    }
    for (ModelSource.Lora lora : source.loras()) {
      PickledFiles.refuse(lora.path());
      LoraFile file = new LoraFile(lora.path(), lora.scale());
      for (String part : file.parts()) {
        if (!base.has(part)) {
          throw PriorArtException.badField(
              "lora", lora.path() + " changes " + part + ", which " + base.name() + " has not");
        }
      }
      merges.add(new Merge(file, lora.scale(), new FileHash(lora.path())));
      named
          .append(" lora ")
          .append(Checkpoint.nameOf(lora.path()))
          .append(':')
          .append(lora.scale());
    }
    name = named.toString();
  }

  private Checkpoint vae(Path path, String variant) {
    if (Files.isRegularFile(path)) {
      return CheckpointFile.openVae(path, base.config(VAE));
    }
    return CheckpointFolder.ofPart(VAE, path, variant);
  }

  @Override
  public String name() {
    return name;
  }

  private Checkpoint owner(String part) {
    return part.equals(VAE) ? vae : base;
  }

  @Override
  public boolean has(String part) {
    return owner(part).has(part);
  }

  @Override
  public boolean hasConfig(String part, String file) {
    return owner(part).hasConfig(part, file);
  }

  @Override
  public ConfigNode config(String part, String file) {
    return owner(part).config(part, file);
  }

  @Override
  public ConfigNode index() {
    return base.index();
  }

  @Override
  public TensorSource weights(String part) {
    TensorSource weights = owner(part).weights(part);
    for (Merge merge : merges) {
      if (merge.file().parts().contains(part)) {
        weights = merge.file().merged(part, weights);
      }
    }
    return weights;
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
    return base.license();
  }

  @Override
  public synchronized String hash() {
    if (hash == null) {
      MessageDigest digest = FileHash.sha256();
      List<String> all = new ArrayList<>(List.of(base.hash()));
      if (vae != base) {
        all.add("vae " + vae.hash());
      }
      for (Merge merge : merges) {
        all.add("lora " + merge.hash().get() + " " + merge.scale());
      }
      all.forEach(s -> digest.update(s.getBytes(StandardCharsets.UTF_8)));
      hash = HexFormat.of().formatHex(digest.digest());
    }
    return hash;
  }
}
