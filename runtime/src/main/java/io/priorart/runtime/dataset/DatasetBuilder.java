package io.priorart.runtime.dataset;

import ai.djl.ndarray.types.Shape;
import io.priorart.runtime.Json;
import io.priorart.runtime.Sha256;
import io.priorart.runtime.image.PerceptualHash;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.image.PictureInfo;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;

/**
 * Makes a dataset for training from folders of pictures: {@code OUT/train} and {@code OUT/heldout}
 * with 8-bit RGB PNG files and their captions, {@code OUT/dataset.json} ({@link DatasetSummary})
 * and {@code OUT/manifest.tsv} (a line a source picture, with its fate). The same pictures and
 * options make the same bytes, in whatever order folders list them.
 *
 * <p>Each picture's content and the seed give it a number {@code u} in [0,1), and pictures are
 * taken in the order of {@code u}. One that is like an earlier one, taken or not, is a duplicate;
 * of the others those with {@code u} below the held-out share are held out, with all their scales
 * and tiles. So no training picture is like any picture with {@code u} below the share: when
 * pictures are added later, a held-out picture and its duplicates still do not come into training.
 *
 * <p>Like means that the {@linkplain PerceptualHash perceptual hashes} are near, mirrored or not. A
 * picture stays out, too, if the largest square in its middle is like an excluded one; other crops
 * are not known again. Colour profiles are not applied.
 */
public final class DatasetBuilder {
  private static final String MANIFEST_HEADER =
      "source\tsha256\twidth\theight\tsplit\tfiles\tcaption\tlicence\tskipped\n";

  private static final int MAX_SLUG = 40;

  /** Hears how far it is. */
  public interface Listener {
    /** {@code done} of {@code total} pictures were looked at. */
    void progress(int done, int total);

    /** A file named like a picture cannot be used. */
    void unreadable(Path file, String problem);
  }

  /**
   * @param u decides order and side
   */
  private record Candidate(Path file, Path licence, String sha256, double u) {}

  private record Size(int width, int height) {}

  private record Row(
      Path file,
      Path licence,
      String sha256,
      Size size,
      String split,
      int files,
      String caption,
      String skipped) {
    private String line() {
      return Stream.of(
                  file.toString(),
                  sha256,
                  size == null ? "" : size.width,
                  size == null ? "" : size.height,
                  split,
                  files,
                  caption,
                  licence == null ? "" : licence,
                  skipped)
              .map(v -> escaped(v.toString()))
              .reduce((a, b) -> a + "\t" + b)
              .orElseThrow()
          + "\n";
    }

    private static String escaped(String text) {
      return text.replace("\\", "\\\\")
          .replace("\t", "\\t")
          .replace("\n", "\\n")
          .replace("\r", "\\r");
    }
  }

  private final DatasetOptions options;
  private final BooleanSupplier stop;
  private final Listener listener;
  private final HammingIndex<Path> excluded;
  private final HammingIndex<Path> known;
  private final List<Row> rows = new ArrayList<>();
  private final Map<String, Integer> skipped = new TreeMap<>();
  private DatasetSummary.Part train = new DatasetSummary.Part(0, 0, 0);
  private DatasetSummary.Part heldOut = train;

  private DatasetBuilder(DatasetOptions options, BooleanSupplier stop, Listener listener) {
    this.options = options;
    this.stop = stop;
    this.listener = listener;
    excluded = new HammingIndex<>(options.duplicateDistance());
    known = new HammingIndex<>(options.duplicateDistance());
  }

  /**
   * Makes a dataset, one picture in memory at a time. It is written aside and renamed; after a
   * failure nothing is left.
   *
   * @param sources folders, looked through with the folders in them
   * @param exclude folders whose pictures, and what is like them, must not come in
   * @param out folder to make; an empty one is replaced
   * @param stop true when it should end early
   * @return what {@code dataset.json} says
   * @throws PriorArtException NOT_FOUND for a folder that is missing; ALREADY_EXISTS for an {@code
   *     out} that is not empty; INVALID_ARGUMENT for an {@code out} inside a source or an excluded
   *     picture that cannot be read; FAILED_PRECONDITION if no picture is left for training;
   *     CANCELLED
   */
  public static DatasetSummary build(
      List<Path> sources,
      List<Path> exclude,
      Path out,
      DatasetOptions options,
      BooleanSupplier stop,
      Listener listener) {
    Path target = out.toAbsolutePath().normalize();
    requireFree(out, target);
    List<SourceFolder> from = sources.stream().map(f -> SourceFolder.of("source", f)).toList();
    List<SourceFolder> not = exclude.stream().map(f -> SourceFolder.of("exclude", f)).toList();
    try {
      Path real = target.getParent().toRealPath().resolve(target.getFileName());
      for (SourceFolder source : from) {
        if (real.startsWith(source.root())) {
          throw PriorArtException.badField("out", out + " lies inside the source " + source.root());
        }
      }
      DatasetBuilder builder = new DatasetBuilder(options, stop, listener);
      return builder.build(from, not, target);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void requireFree(Path out, Path target) {
    Path parent = target.getParent();
    if (parent == null || !Files.isDirectory(parent)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "out: there is no folder " + parent);
    }
    if (!Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    try (Stream<Path> files =
        Files.isDirectory(target, LinkOption.NOFOLLOW_LINKS)
            ? Files.list(target)
            : Stream.of(target)) {
      if (files.findAny().isPresent()) {
        throw new PriorArtException(
            ErrorKind.ALREADY_EXISTS, "out: " + out + " exists; name a new folder or an empty one");
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private DatasetSummary build(List<SourceFolder> sources, List<SourceFolder> exclude, Path out)
      throws IOException {
    List<Path> keptOut =
        exclude.stream().flatMap(f -> f.found().stream()).map(DatasetBuilder::usable).toList();
    List<Candidate> candidates = candidates(sources);
    int total = keptOut.size() + candidates.size();
    int done = 0;
    for (Path file : keptOut) {
      exclude(file);
      listener.progress(++done, total);
    }
    Path aside = out.resolveSibling("." + out.getFileName() + ".part");
    try {
      Files.createDirectory(aside);
    } catch (FileAlreadyExistsException e) {
      throw new PriorArtException(
          ErrorKind.ALREADY_EXISTS,
          "out: " + aside + " exists: another run writes it, or one was killed; then delete it");
    }
    try {
      Files.createDirectory(aside.resolve("train"));
      Files.createDirectory(aside.resolve("heldout"));
      for (Candidate candidate : candidates) {
        take(candidate, aside);
        listener.progress(++done, total);
      }
      requirePictures();
      DatasetSummary summary =
          new DatasetSummary(
              names(sources),
              names(exclude),
              options,
              train,
              heldOut,
              skipped,
              sources.stream().mapToInt(SourceFolder::others).sum());
      Files.writeString(aside.resolve("dataset.json"), Json.text(summary) + "\n");
      writeManifest(aside.resolve("manifest.tsv"));
      try {
        Files.deleteIfExists(out);
      } catch (DirectoryNotEmptyException e) {
        throw new PriorArtException(
            ErrorKind.ALREADY_EXISTS, "out: " + out + " was filled by another while this ran");
      }
      Files.move(aside, out, StandardCopyOption.ATOMIC_MOVE);
      return summary;
    } finally {
      delete(aside);
    }
  }

  private static List<String> names(List<SourceFolder> folders) {
    return folders.stream().map(f -> f.root().toString()).toList();
  }

  private static Path usable(SourceFolder.Found found) {
    if (found.problem() != null) {
      throw cannotExclude(found.file(), found.problem());
    }
    return found.file();
  }

  private static PriorArtException cannotExclude(Path file, String problem) {
    return PriorArtException.badField(
        "exclude", file + " " + problem + "; mend it or take it away, or it is not kept out");
  }

  /** Keeps out what is like a picture; one that cannot be seen cannot be kept out. */
  private void exclude(Path file) {
    requireGoing();
    try {
      PerceptualHash hash =
          PerceptualHash.of(
              rgb(PictureFiles.decode("", PictureFiles.bytes(file), options.maxPixels())));
      excluded.add(hash.bits(), file);
    } catch (PriorArtException | UncheckedIOException e) {
      throw cannotExclude(file, problem(e));
    }
  }

  private List<Candidate> candidates(List<SourceFolder> sources) {
    List<Candidate> candidates = new ArrayList<>();
    for (SourceFolder source : sources) {
      for (SourceFolder.Found found : source.found()) {
        requireGoing();
        if (found.problem() != null) {
          skipUnreadable(found.file(), found.licence(), "", found.problem());
          continue;
        }
        try {
          String sha256 = sha256(found.file());
          double u =
              new NoiseSource(options.seed() ^ Long.parseUnsignedLong(sha256.substring(0, 16), 16))
                  .uniform();
          candidates.add(new Candidate(found.file(), found.licence(), sha256, u));
        } catch (IOException e) {
          skipUnreadable(found.file(), found.licence(), "", "cannot be read");
        }
      }
    }
    candidates.sort(
        Comparator.comparingDouble(Candidate::u)
            .thenComparing(Candidate::sha256)
            .thenComparing(c -> c.file().toString()));
    return candidates;
  }

  private static String sha256(Path file) throws IOException {
    MessageDigest digest = Sha256.digest();
    try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
      in.transferTo(OutputStream.nullOutputStream());
    }
    return Sha256.text(digest.digest());
  }

  private void take(Candidate candidate, Path folder) throws IOException {
    requireGoing();
    Path file = candidate.file();
    Size size = null;
    Picture picture;
    String caption;
    Set<Size> sizes;
    try {
      byte[] bytes = PictureFiles.bytes(file);
      PictureInfo info = PictureFiles.info("", bytes, options.maxPixels());
      size = new Size(info.width(), info.height());
      sizes = sizes(size);
      if (sizes.isEmpty()) {
        skip("too_small", candidate, size, "is smaller than min-side or crop");
        return;
      }
      picture = rgb(PictureFiles.decode("", bytes, options.maxPixels()));
      caption = options.captions() ? Captions.of(file) : "";
    } catch (PriorArtException | UncheckedIOException | IOException e) {
      skipUnreadable(file, candidate.licence(), candidate.sha256(), problem(e));
      return;
    }
    PerceptualHash hash = PerceptualHash.of(picture);
    Path like = nearest(excluded, hash);
    if (like == null) {
      // test sets are often cut square from the middle
      like = nearest(excluded, PerceptualHash.of(middle(picture)));
    }
    HammingIndex<Path> index = like == null ? known : excluded;
    if (like == null) {
      like = nearest(known, hash);
    }
    index.add(hash.bits(), file);
    if (like != null) {
      skip(index == excluded ? "excluded" : "duplicate", candidate, size, "is like " + like);
      return;
    }
    boolean out = candidate.u() < options.heldOut();
    String split = out ? "heldout" : "train";
    int files = write(picture, sizes, caption, folder.resolve(split), name(candidate));
    rows.add(
        new Row(file, candidate.licence(), candidate.sha256(), size, split, files, caption, ""));
    if (out) {
      heldOut = heldOut.plus(files, !caption.isEmpty());
    } else {
      train = train.plus(files, !caption.isEmpty());
    }
  }

  /** RGB on the background, 8 bits, without what its file said beside. */
  private Picture rgb(Picture picture) {
    int plane = picture.width() * picture.height();
    float[] in = picture.pixels().values();
    float[] out = picture.channels() == 3 ? in : new float[3 * plane];
    for (int c = 0; c < 3; c++) {
      if (picture.channels() == 1) {
        System.arraycopy(in, 0, out, c * plane, plane);
      }
      if (picture.alpha() != null) {
        float[] alpha = picture.alpha().values();
        float behind = (options.background() >> 8 * (2 - c) & 0xff) / 127.5f - 1;
        for (int i = 0; i < plane; i++) {
          out[c * plane + i] = alpha[i] * out[c * plane + i] + (1 - alpha[i]) * behind;
        }
      }
    }
    return new Picture(
        new HostTensor(new Shape(1, 3, picture.height(), picture.width()), out), 8, null);
  }

  /** Those to write, each once. */
  private Set<Size> sizes(Size whole) {
    double most = Math.min(1, (double) options.maxSide() / Math.max(whole.width(), whole.height()));
    Set<Size> sizes = new LinkedHashSet<>();
    for (double scale : options.scales()) {
      int w = (int) Math.round(whole.width() * most * scale);
      int h = (int) Math.round(whole.height() * most * scale);
      if (Math.min(w, h) >= Math.max(options.minSide(), options.crop())) {
        sizes.add(new Size(w, h));
      }
    }
    return sizes;
  }

  private int write(Picture picture, Set<Size> sizes, String caption, Path folder, String name)
      throws IOException {
    int files = 0;
    for (Size size : sizes) {
      Picture scaled =
          size.width() == picture.width() && size.height() == picture.height()
              ? picture
              : PictureFiles.resized(picture, size.width(), size.height());
      int w = options.crop() == 0 ? size.width() : options.crop();
      int h = options.crop() == 0 ? size.height() : options.crop();
      // what is no whole tile is left over at all four sides alike
      for (int y = size.height() % h / 2; y + h <= size.height(); y += h) {
        for (int x = size.width() % w / 2; x + w <= size.width(); x += w) {
          String at = options.crop() == 0 ? "" : "+%d+%d".formatted(x, y);
          String stem = "%s-%dx%d%s".formatted(name, size.width(), size.height(), at);
          Files.write(
              folder.resolve(stem + ".png"),
              PictureFiles.encode(tile(scaled, x, y, w, h), PictureFormat.PNG));
          if (!caption.isEmpty()) {
            Files.writeString(folder.resolve(stem + ".txt"), caption + "\n");
          }
          files++;
        }
      }
    }
    return files;
  }

  private static Path nearest(HammingIndex<Path> index, PerceptualHash hash) {
    Path near = index.nearest(hash.bits());
    return near != null ? near : index.nearest(hash.mirrored());
  }

  private static Picture middle(Picture picture) {
    int side = Math.min(picture.width(), picture.height());
    return tile(picture, (picture.width() - side) / 2, (picture.height() - side) / 2, side, side);
  }

  private static Picture tile(Picture picture, int x, int y, int w, int h) {
    if (w == picture.width() && h == picture.height()) {
      return picture;
    }
    return new Picture(picture.part(x, y, w, h).pixels(), 8, null);
  }

  /** Speaks, and is unique by the content. */
  private static String name(Candidate candidate) {
    String slug =
        Captions.words(Captions.stem(candidate.file()))
            .replaceAll("[^a-z]+", "-")
            .replaceAll("^-|-$", "");
    return (slug.isEmpty() ? "" : slug.substring(0, Math.min(MAX_SLUG, slug.length())) + "-")
        + candidate.sha256().substring(0, 16);
  }

  private void skip(String kind, Candidate candidate, Size size, String reason) {
    skipped.merge(kind, 1, Integer::sum);
    rows.add(
        new Row(
            candidate.file(),
            candidate.licence(),
            candidate.sha256(),
            size,
            "",
            0,
            "",
            kind + ": " + reason));
  }

  private void skipUnreadable(Path file, Path licence, String sha256, String reason) {
    skip("unreadable", new Candidate(file, licence, sha256, 0), null, reason);
    listener.unreadable(file, reason);
  }

  /** Without the field, which was no name to tell. */
  private static String problem(Exception e) {
    if (!(e instanceof PriorArtException problem)) {
      return "cannot be read";
    }
    String message = problem.getMessage();
    return message.startsWith(": ") ? message.substring(2) : message;
  }

  private void requireGoing() {
    if (stop.getAsBoolean()) {
      throw new PriorArtException(ErrorKind.CANCELLED, "stopped; nothing was written");
    }
  }

  private void requirePictures() {
    if (train.pictures() == 0) {
      String first =
          rows.stream().map(Row::skipped).filter(s -> !s.isEmpty()).findFirst().orElse("none");
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          String.format(
              Locale.ROOT,
              "source: no picture is left for training: %d held out, skipped %s (first: %s)",
              heldOut.pictures(),
              skipped,
              first));
    }
  }

  private void writeManifest(Path file) throws IOException {
    rows.sort(Comparator.comparing(r -> r.file().toString()));
    StringBuilder text = new StringBuilder(MANIFEST_HEADER);
    rows.forEach(r -> text.append(r.line()));
    Files.write(file, text.toString().getBytes(StandardCharsets.UTF_8));
  }

  private static void delete(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
