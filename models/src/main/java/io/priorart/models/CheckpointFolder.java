package io.priorart.models;

import io.priorart.models.engine.TensorSource;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.models.weights.OlderNames;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.ShardedSource;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A checkpoint in the diffusers folder layout: an index and a folder a part, whose weights are one
 * file, or several with an index ({@code model.safetensors.index.json}).
 *
 * <p>Files may be links within the folder, and into {@code blobs/} beside the {@code snapshots/}
 * that the folder lies in, as Hugging Face's cache keeps them; other links are refused.
 */
final class CheckpointFolder implements Checkpoint {
  private static final String CARD = "README.md";

  /** A part's weights, or a shard of them, or the index of the shards; with its variant. */
  private static final Pattern WEIGHTS =
      Pattern.compile(
          "(model|diffusion_pytorch_model)(?:\\.([A-Za-z0-9_]+))?(-\\d+-of-\\d+)?\\.safetensors"
              + "(?:\\.index(?:\\.([A-Za-z0-9_]+))?\\.json)?");

  private final Path directory;
  private final String variant;
  private final String whole;
  private final Path root;
  private final Path blobs;
  private final FileHash hash;

  /**
   * @param variant as in {@link ModelSource}
   * @throws PriorArtException NOT_FOUND
   */
  CheckpointFolder(Path directory, String variant) {
    this(directory, variant, null);
  }

  private CheckpointFolder(Path directory, String variant, String whole) {
    if (!Files.isDirectory(directory)) {
      PickledFiles.refuse(directory);
      throw new PriorArtException(
          ErrorKind.NOT_FOUND,
          "model: " + directory + " is neither a checkpoint folder nor a .safetensors file");
    }
    this.directory = directory;
    this.variant = variant;
    this.whole = whole;
    try {
      root = directory.toRealPath();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Path blobs = null;
    for (Path p = root; p.getParent() != null; p = p.getParent()) {
      if (p.getParent().endsWith("snapshots")) {
        blobs = p.getParent().resolveSibling("blobs");
        break;
      }
    }
    this.blobs = blobs;
    hash = new FileHash(directory, this::files);
  }

  /** A folder that is itself a part, with {@code config.json}, or holds one. */
  static CheckpointFolder ofPart(String part, Path directory, String variant) {
    boolean itself = Files.exists(directory.resolve("config.json"));
    return new CheckpointFolder(directory, variant, itself ? part : null);
  }

  /**
   * What decides what the model computes: no other variant's weights, no file that no part reads.
   */
  private Stream<Path> files() {
    try {
      return Files.walk(directory)
          .filter(f -> f.toString().matches(".*\\.(safetensors|json|txt|model)"))
          .filter(this::taken)
          .map(this::contained);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private boolean taken(Path file) {
    String name = file.getFileName().toString();
    if (!name.contains(".safetensors")) {
      return true;
    }
    Matcher m = WEIGHTS.matcher(name);
    if (!m.matches()) {
      return false;
    }
    String own = m.group(2) == null ? m.group(4) : m.group(2);
    return own == null ? variant == null || !hasVariant(file.getParent()) : own.equals(variant);
  }

  private boolean hasVariant(Path folder) {
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(f -> WEIGHTS.matcher(f.getFileName().toString()))
          .anyMatch(m -> m.matches() && (variant.equals(m.group(2)) || variant.equals(m.group(4))));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The path itself, unless it is a link that leaves. */
  Path contained(Path file) {
    try {
      if (Files.exists(file)) {
        Path real = file.toRealPath();
        if (!real.startsWith(root) && (blobs == null || !real.startsWith(blobs))) {
          throw PriorArtException.badField(
              file.toString(), "is a link out of the checkpoint's folder; copy the file there");
        }
      }
      return file;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Path path(String part) {
    return part.equals(whole) ? directory : directory.resolve(part);
  }

  @Override
  public String name() {
    return Checkpoint.nameOf(directory);
  }

  @Override
  public boolean has(String part) {
    return hasConfig(part, "config.json");
  }

  @Override
  public boolean hasConfig(String part, String file) {
    return Files.exists(path(part).resolve(file));
  }

  @Override
  public ConfigNode config(String part, String file) {
    return ConfigNode.read(contained(path(part).resolve(file)));
  }

  @Override
  public ConfigNode index() {
    return ConfigNode.read(contained(directory.resolve(INDEX)));
  }

  /** The files of a part that make its weights, without ending. */
  private static String stem(String part) {
    return part.startsWith("text_encoder") ? "model" : "diffusion_pytorch_model";
  }

  @Override
  public TensorSource weights(String part) {
    return OlderNames.attention(stored(part));
  }

  private TensorSource stored(String part) {
    Path folder = path(part);
    String stem = stem(part);
    // a part without files of the variant has them without, as in diffusers
    for (String kind : variant == null ? List.of("") : List.of("." + variant, "")) {
      Path file = folder.resolve(stem + kind + ".safetensors");
      if (Files.exists(file)) {
        return SafetensorsFile.open(contained(file));
      }
      Path index = folder.resolve(stem + ".safetensors.index" + kind + ".json");
      if (Files.exists(index)) {
        return ShardedSource.open(contained(index), this::contained);
      }
    }
    other(folder, stem)
        .ifPresent(
            v -> {
              throw new PriorArtException(
                  ErrorKind.NOT_FOUND,
                  folder + " has its weights as variant " + v + " alone; name it");
            });
    PickledFiles.in(folder).ifPresent(PickledFiles::refuse);
    throw new PriorArtException(
        ErrorKind.NOT_FOUND, folder.resolve(stem + ".safetensors") + ": no such file");
  }

  /** A variant that the folder has. */
  private static Optional<String> other(Path folder, String stem) {
    if (!Files.isDirectory(folder)) {
      return Optional.empty();
    }
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(f -> f.getFileName().toString())
          .filter(f -> f.matches(stem + "\\.[A-Za-z0-9_-]+\\.safetensors"))
          .map(f -> f.substring(stem.length() + 1, f.length() - ".safetensors".length()))
          .sorted()
          .findFirst();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public ClipTokenizer tokenizer(String part, int maxLength) {
    ClipTokenizer.FILES.forEach(file -> contained(path(part).resolve(file)));
    return ClipTokenizer.open(path(part), maxLength);
  }

  @Override
  public T5Tokenizer t5Tokenizer(String part) {
    T5Tokenizer.FILES.forEach(file -> contained(path(part).resolve(file)));
    return T5Tokenizer.open(path(part));
  }

  @Override
  public String license() {
    Path card = contained(directory.resolve(CARD));
    if (!Files.isRegularFile(card)) {
      return null;
    }
    try (Stream<String> lines = Files.lines(card)) {
      return lines
          .limit(100)
          .filter(line -> line.startsWith("license:"))
          .map(line -> line.substring("license:".length()).strip())
          .findFirst()
          .orElse(null);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public String hash() {
    return hash.get();
  }
}
