package io.priorart.models;

import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.List;

/**
 * Where a model comes from and what is changed of it on loading.
 *
 * @param path a folder in the diffusers layout, or one {@code .safetensors} file in the layout of
 *     the repositories that Stable Diffusion 1.x, 2.x, XL and 3 came from
 * @param variant which of a folder's files to take, as {@code fp16} for {@code
 *     model.fp16.safetensors}; {@code null} for those without a variant
 * @param vae an auto-encoder instead of the model's own: a folder with {@code config.json}, or a
 *     file in the original layout; {@code null} for its own
 * @param loras merged in this order
 * @param vaeTile side in pixels of the tiles that the auto-encoder works in, 64 to 8192, for
 *     pictures that would take too much memory as a whole; 0 for the whole picture
 */
public record ModelSource(Path path, String variant, Path vae, List<Lora> loras, int vaeTile) {
  private static final int MIN_TILE = 64;
  private static final int MAX_TILE = 8192;

  /**
   * A LoRA file and how much of it, 1 as trained.
   *
   * @param scale -10 to 10
   */
  public record Lora(Path path, double scale) {
    public Lora {
      if (!(Math.abs(scale) <= 10)) {
        throw PriorArtException.badField("lora", "takes a scale of -10 to 10, was " + scale);
      }
    }

    /**
     * @param text {@code FILE} or {@code FILE:SCALE}
     */
    public static Lora parse(String text) {
      int colon = text.lastIndexOf(':');
      if (colon > 0 && !text.endsWith(".safetensors")) {
        try {
          return new Lora(
              Path.of(text.substring(0, colon)), Double.parseDouble(text.substring(colon + 1)));
        } catch (NumberFormatException e) {
          throw PriorArtException.badField("lora", "takes FILE or FILE:SCALE, was " + text);
        }
      }
      return new Lora(Path.of(text), 1);
    }
  }

  public ModelSource {
    loras = List.copyOf(loras);
    if (variant != null && !variant.matches("[A-Za-z0-9_-]{1,32}")) {
      throw PriorArtException.badField(
          "variant", "must be 1 to 32 letters, digits, - or _, was " + variant);
    }
    if (vaeTile != 0 && (vaeTile < MIN_TILE || vaeTile > MAX_TILE)) {
      throw PriorArtException.badField(
          "vae-tile",
          "must be 0 or %d to %d pixels, was %d".formatted(MIN_TILE, MAX_TILE, vaeTile));
    }
  }

  /** With the auto-encoder taking pictures as a whole. */
  public ModelSource(Path path, String variant, Path vae, List<Lora> loras) {
    this(path, variant, vae, loras, 0);
  }

  /** A model as it is. */
  public static ModelSource of(Path path) {
    return new ModelSource(path, null, null, List.of(), 0);
  }

  /** This, with the auto-encoder working in tiles. */
  public ModelSource tiled(int vaeTile) {
    return new ModelSource(path, variant, vae, loras, vaeTile);
  }
}
