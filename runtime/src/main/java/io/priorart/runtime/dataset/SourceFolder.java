package io.priorart.runtime.dataset;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/** The pictures of a folder and of the folders in it, by their names; no link leads out of it. */
final class SourceFolder extends SimpleFileVisitor<Path> {
  private static final Pattern PICTURE = Pattern.compile(".*\\.(png|jpe?g|tiff?)", Pattern.DOTALL);
  private static final Pattern LICENCE =
      Pattern.compile("(licen[cs]e|copying|copyright)(\\.[a-z]+)?");

  /**
   * A file named like a picture, or a folder or link that could not be followed.
   *
   * @param licence the nearest licence text, beside it or above; {@code null} if there is none
   * @param problem why it cannot be used; {@code null} if it may be read
   */
  record Found(Path file, Path licence, String problem) {}

  private final Path root;
  private final List<Found> found = new ArrayList<>();
  private final Deque<Optional<Path>> licences = new ArrayDeque<>();
  private int others;

  private SourceFolder(Path root) {
    this.root = root;
  }

  /**
   * Looks through a folder.
   *
   * @param field what messages call it
   * @throws PriorArtException NOT_FOUND
   */
  static SourceFolder of(String field, Path folder) {
    if (!Files.isDirectory(folder)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, field + ": " + folder + " is no folder");
    }
    try {
      SourceFolder source = new SourceFolder(folder.toRealPath());
      Files.walkFileTree(source.root, source);
      source.found.sort(Comparator.comparing(f -> f.file().toString()));
      return source;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether it is a regular file itself, no link to one. */
  static boolean isRegular(Path file) {
    return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS);
  }

  /** Where it really is, all links resolved. */
  Path root() {
    return root;
  }

  List<Found> found() {
    return found;
  }

  /** Number of files whose names are not those of pictures. */
  int others() {
    return others;
  }

  @Override
  public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes)
      throws IOException {
    try (var files = Files.list(folder)) {
      licences.push(
          files
              .filter(f -> LICENCE.matcher(lower(f)).matches() && isRegular(f))
              .min(Comparator.naturalOrder())
              .or(this::licence));
    } catch (IOException e) {
      found.add(new Found(folder, null, "is a folder that cannot be read"));
      return FileVisitResult.SKIP_SUBTREE;
    }
    return FileVisitResult.CONTINUE;
  }

  @Override
  public FileVisitResult postVisitDirectory(Path folder, IOException e) {
    licences.pop();
    if (e != null) {
      found.add(new Found(folder, null, "is a folder that cannot be read to its end"));
    }
    return FileVisitResult.CONTINUE;
  }

  @Override
  public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
    if (attributes.isSymbolicLink() && Files.isDirectory(file)) {
      add(file, "is a link to a folder; links to folders are not followed");
    } else if (!PICTURE.matcher(lower(file)).matches()) {
      others++;
    } else {
      add(file, attributes.isSymbolicLink() ? linkProblem(file) : problem(attributes));
    }
    return FileVisitResult.CONTINUE;
  }

  @Override
  public FileVisitResult visitFileFailed(Path file, IOException e) {
    add(file, "cannot be read");
    return FileVisitResult.CONTINUE;
  }

  private void add(Path file, String problem) {
    found.add(new Found(file, licence().orElse(null), problem));
  }

  private Optional<Path> licence() {
    return licences.isEmpty() ? Optional.empty() : licences.peek();
  }

  private static String problem(BasicFileAttributes attributes) {
    return attributes.isRegularFile() ? null : "is not a regular file";
  }

  private String linkProblem(Path link) {
    try {
      Path target = link.toRealPath();
      return !target.startsWith(root)
          ? "is a link that leads out of the source folder"
          : isRegular(target) ? null : "is a link to what is not a regular file";
    } catch (IOException e) {
      return "is a link that leads nowhere";
    }
  }

  private static String lower(Path file) {
    return file.getFileName().toString().toLowerCase(Locale.ROOT);
  }
}
