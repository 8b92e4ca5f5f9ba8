package io.priorart.runtime.image;

import io.priorart.solver.PriorArtException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** File formats that pictures are read from and written to. */
public enum PictureFormat {
  PNG("png"),
  JPEG("jpg", "jpeg"),
  TIFF("tif", "tiff");

  private final List<String> extensions;

  PictureFormat(String... extensions) {
    this.extensions = List.of(extensions);
  }

  /**
   * The format that a file's name says.
   *
   * @throws PriorArtException INVALID_ARGUMENT
   */
  public static PictureFormat of(Path file) {
    String name = file.getFileName().toString();
    String extension = name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
    return Arrays.stream(values())
        .filter(f -> f.extensions.contains(extension))
        .findFirst()
        .orElseThrow(
            () ->
                PriorArtException.badField(
                    "output", file + " must end in .png, .jpg, .jpeg, .tif or .tiff"));
  }

  /** Its usual file name extension. */
  public String extension() {
    return extensions.get(0);
  }

  /** The depth in bits that it can hold, nearest to the one wanted. */
  public int depth(int wanted) {
    return switch (this) {
      case JPEG -> 8;
      case PNG -> Math.min(16, wanted);
      case TIFF -> wanted;
    };
  }

  /** Whether writing changes pixels. */
  public boolean lossy() {
    return this == JPEG;
  }
}
