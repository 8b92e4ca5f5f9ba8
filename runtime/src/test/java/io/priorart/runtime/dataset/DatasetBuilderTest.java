package io.priorart.runtime.dataset;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.train.PictureFolder;
import io.priorart.models.train.TrainingPicture;
import io.priorart.runtime.image.PerceptualHash;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Datasets of pictures made here. */
class DatasetBuilderTest {
  private static final DatasetBuilder.Listener SILENT =
      new DatasetBuilder.Listener() {
        @Override
        public void progress(int done, int total) {
          assertTrue(done <= total);
        }

        @Override
        public void unreadable(Path file, String problem) {
          assertFalse(problem.isBlank());
        }
      };

  @TempDir private Path dir;
  private Path source;

  @BeforeEach
  void makeSource() throws IOException {
    source = Files.createDirectories(dir.resolve("source"));
  }

  private static DatasetOptions options(double heldOut) {
    return new DatasetOptions(128, 16, List.of(1.0), 0, 0xffffff, true, heldOut, 0, 6, 1 << 20);
  }

  private DatasetSummary build(String out, DatasetOptions options, Path... exclude) {
    return DatasetBuilder.build(
        List.of(source), List.of(exclude), dir.resolve(out), options, () -> false, SILENT);
  }

  /** Smooth hills, others for another seed: bumps at random places in three colours. */
  private static Picture scene(long seed, int width, int height) {
    NoiseSource random = new NoiseSource(seed);
    float[] out = new float[3 * width * height];
    for (int bump = 0; bump < 40; bump++) {
      double cx = random.uniform();
      double cy = random.uniform();
      double r = 0.05 + 0.2 * random.uniform();
      double[] colour = {random.uniform() - 0.5, random.uniform() - 0.5, random.uniform() - 0.5};
      for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
          double dx = (x + 0.5) / width - cx;
          double dy = (y + 0.5) / height - cy;
          double g = Math.exp(-(dx * dx + dy * dy) / (2 * r * r));
          for (int c = 0; c < 3; c++) {
            out[(c * height + y) * width + x] += (float) (colour[c] * g);
          }
        }
      }
    }
    for (int i = 0; i < out.length; i++) {
      out[i] = (float) Math.tanh(out[i]);
    }
    return rgb(width, height, out);
  }

  private static Picture rgb(int width, int height, float[] values) {
    return new Picture(new HostTensor(new Shape(1, 3, height, width), values), 8, null);
  }

  private static Picture mirrored(Picture picture) {
    int w = picture.width();
    float[] in = picture.pixels().values();
    float[] out = new float[in.length];
    for (int i = 0; i < in.length; i++) {
      out[i] = in[i / w * w + w - 1 - i % w];
    }
    return rgb(w, picture.height(), out);
  }

  /** The middle 64 of 96 columns. */
  private static Picture square(Picture picture) {
    float[] in = picture.pixels().values();
    float[] out = new float[3 * 64 * 64];
    for (int i = 0; i < out.length; i++) {
      out[i] = in[i / 64 * 96 + 16 + i % 64];
    }
    return rgb(64, 64, out);
  }

  private void put(String name, Picture picture) throws IOException {
    Files.createDirectories(source.resolve(name).getParent());
    PictureFiles.write(picture, source.resolve(name), false);
  }

  /** Line of each source by its name: header's columns to values. */
  private Map<String, Map<String, String>> manifest(String out) throws IOException {
    List<String> lines = Files.readAllLines(dir.resolve(out).resolve("manifest.tsv"));
    String[] header = lines.get(0).split("\t", -1);
    Map<String, Map<String, String>> rows = new HashMap<>();
    for (String line : lines.subList(1, lines.size())) {
      String[] values = line.split("\t", -1);
      assertEquals(header.length, values.length, line);
      Map<String, String> row = new HashMap<>();
      for (int i = 0; i < header.length; i++) {
        row.put(header[i], values[i]);
      }
      String file = row.get("source");
      rows.put(file.substring(file.lastIndexOf('/') + 1), row);
    }
    return rows;
  }

  private Map<String, String> splits(String out) throws IOException {
    Map<String, String> splits = new HashMap<>();
    manifest(out).forEach((name, row) -> splits.put(name, row.get("split")));
    return splits;
  }

  private List<Path> files(String folder, String suffix) throws IOException {
    try (Stream<Path> files = Files.list(dir.resolve(folder))) {
      return files.filter(f -> f.toString().endsWith(suffix)).sorted().toList();
    }
  }

  @Test
  void aHashKnowsScaleCompressionAndMirror() {
    List<PerceptualHash> others = new ArrayList<>();
    for (long seed = 0; seed < 20; seed++) {
      PerceptualHash hash = PerceptualHash.of(scene(seed, 160, 120));
      assertTrue(hash.distance(PerceptualHash.of(scene(seed, 64, 48))) <= 6);
      assertTrue(hash.distance(PerceptualHash.of(mirrored(scene(seed, 64, 48)))) <= 6);
      assertEquals(hash.mirrored(), PerceptualHash.of(mirrored(scene(seed, 160, 120))).bits());
      others.forEach(other -> assertTrue(hash.distance(other) > 6));
      others.add(hash);
    }
  }

  @Test
  void duplicatesAreFoundAndOthersKept() throws IOException {
    for (int seed = 0; seed < 8; seed++) {
      put("scene" + (char) ('a' + seed) + ".png", scene(seed, 120, 90));
    }
    put("sub/other.jpg", mirrored(PictureFiles.resized(scene(3, 120, 90), 80, 60)));
    DatasetSummary summary = build("out", options(0));
    assertEquals(new DatasetSummary.Part(8, 8, 8), summary.train());
    assertEquals(Map.of("duplicate", 1), summary.skipped());
    var rows = manifest("out");
    // which of the two is taken is the contents' affair
    boolean jpegTaken = rows.get("other.jpg").get("skipped").isEmpty();
    String skipped = rows.get(jpegTaken ? "scened.png" : "other.jpg").get("skipped");
    assertTrue(
        skipped.startsWith("duplicate: is like ")
            && skipped.endsWith(jpegTaken ? "other.jpg" : "scened.png"),
        skipped);
  }

  @Test
  void nothingOfAHeldOutPictureIsInTraining() throws IOException {
    Map<String, Integer> shade = new TreeMap<>();
    for (int i = 0; i < 24; i++) {
      // the scene fills green and blue; red tells which it is
      Picture picture = scene(i, 96, 96);
      float[] values = picture.pixels().values().clone();
      Arrays.fill(values, 0, 96 * 96, 2 * i * 10 / 255f - 1);
      put("p" + (char) ('a' + i) + ".png", rgb(96, 96, values));
      shade.put("p" + (char) ('a' + i) + ".png", i);
      put("q" + (char) ('a' + i) + ".jpg", mirrored(rgb(96, 96, values)));
    }
    DatasetOptions options =
        new DatasetOptions(96, 16, List.of(1.0, 0.5), 32, 0, true, 0.4, 3, 6, 1 << 20);
    DatasetSummary summary = build("out", options);
    assertTrue(summary.heldOut().pictures() >= 4, summary.toString());
    assertTrue(summary.train().pictures() >= 4, summary.toString());
    assertEquals(24, summary.heldOut().pictures() + summary.train().pictures());
    assertEquals(24, summary.skipped().get("duplicate"));
    // 96 = 3 tiles, 48 = 1 tile
    assertEquals(10 * summary.train().pictures(), summary.train().files());
    Set<Long> training = reds("out/train");
    Set<Long> held = reds("out/heldout");
    assertEquals(summary.train().pictures(), training.size());
    assertEquals(summary.heldOut().pictures(), held.size());
    training.retainAll(held);
    assertEquals(Set.of(), training);
  }

  private Set<Long> reds(String folder) throws IOException {
    Set<Long> reds = new HashSet<>();
    for (Path file : files(folder, ".png")) {
      Picture tile = PictureFiles.read(file, 1 << 20);
      assertEquals(new Shape(1, 3, 32, 32), tile.pixels().shape());
      // JPEG is not exact in red, scenes are 10 levels apart
      reds.add(Math.round((tile.pixels().values()[500] + 1) * 255 / 2 / 10.0));
    }
    return reds;
  }

  @Test
  void theSplitStaysWhenPicturesAreAdded() throws IOException {
    for (int i = 0; i < 20; i++) {
      put("m" + (char) ('a' + i) + ".png", scene(i, 48, 32));
    }
    build("first", options(0.3));
    for (int i = 20; i < 32; i++) {
      put("a" + (char) ('a' + i - 20) + ".png", scene(i, 48, 32));
    }
    build("second", options(0.3));
    Map<String, String> before = splits("first");
    Map<String, String> after = splits("second");
    assertEquals(32, after.size());
    assertEquals(Set.of("train", "heldout"), new HashSet<>(before.values()));
    before.forEach((name, split) -> assertEquals(split, after.get(name), name));

    // copies of everything: what was held out, or is like it, is still not trained on
    for (int i = 0; i < 20; i++) {
      put("z" + (char) ('a' + i) + ".jpg", mirrored(scene(i, 60, 40)));
    }
    build("third", options(0.3));
    Map<String, String> last = splits("third");
    int held = 0;
    for (int i = 0; i < 20; i++) {
      if (before.get("m" + (char) ('a' + i) + ".png").equals("heldout")) {
        held++;
        assertFalse(last.get("m" + (char) ('a' + i) + ".png").equals("train"));
        assertFalse(last.get("z" + (char) ('a' + i) + ".jpg").equals("train"));
      }
    }
    assertTrue(held > 0);

    DatasetOptions reseeded =
        new DatasetOptions(128, 16, List.of(1.0), 0, 0, true, 0.3, 1, 6, 1 << 20);
    build("fourth", reseeded);
    assertFalse(splits("fourth").equals(last));
  }

  @Test
  void theSamePicturesMakeTheSameBytes() throws IOException {
    for (int i = 0; i < 5; i++) {
      put("m" + (char) ('a' + i) + ".png", scene(i, 48, 32));
    }
    build("first", options(0.2));
    build("second", options(0.2));
    for (String part : List.of("train", "heldout")) {
      List<Path> first = files("first/" + part, "");
      assertEquals(
          first.stream().map(Path::getFileName).toList(),
          files("second/" + part, "").stream().map(Path::getFileName).toList());
      for (Path file : first) {
        assertArrayEquals(
            Files.readAllBytes(file),
            Files.readAllBytes(dir.resolve("second").resolve(part).resolve(file.getFileName())));
      }
    }
    assertEquals(
        Files.readString(dir.resolve("first/manifest.tsv")),
        Files.readString(dir.resolve("second/manifest.tsv")));
  }

  @Test
  void theExcludedAndWhatIsLikeThemStayOut() throws IOException {
    put("mine.png", scene(1, 96, 64));
    put("theirs.png", scene(2, 96, 64));
    Path tests = Files.createDirectories(dir.resolve("tests/deep"));
    PictureFiles.write(mirrored(scene(2, 48, 32)), tests.resolve("t.jpg"), false);
    put("whole.png", scene(3, 96, 64));
    Picture square = square(scene(3, 96, 64));
    PictureFiles.write(PictureFiles.resized(square, 40, 40), tests.resolve("s.png"), false);
    DatasetSummary summary = build("out", options(0), dir.resolve("tests"));
    assertEquals(Map.of("excluded", 2), summary.skipped());
    assertTrue(manifest("out").get("whole.png").get("skipped").endsWith("s.png"));
    assertEquals("train", splits("out").get("mine.png"));
    assertTrue(manifest("out").get("theirs.png").get("skipped").endsWith("t.jpg"));

    Files.writeString(tests.resolve("broken.png"), "no picture");
    PriorArtException e =
        assertThrows(
            PriorArtException.class, () -> build("next", options(0), dir.resolve("tests")));
    assertTrue(e.getMessage().contains("broken.png"), e.getMessage());
    assertFalse(Files.exists(dir.resolve("next")));
  }

  @Test
  void everyKindOfPictureBecomesRgb() throws IOException {
    int plane = 32 * 40;
    float[] ramp = new float[plane];
    float[] alpha = new float[plane];
    for (int i = 0; i < plane; i++) {
      ramp[i] = 2f * (i / 40) / 31 - 1;
      alpha[i] = i % 40 < 20 ? 0 : 1;
    }
    HostTensor grey = new HostTensor(new Shape(1, 1, 32, 40), ramp);
    put("deep.tif", new Picture(grey, 16, null));
    put("clear.png", new Picture(scene(5, 40, 32).pixels(), 16, tensor(alpha)));
    DatasetOptions red =
        new DatasetOptions(64, 16, List.of(1.0), 0, 0xff0000, true, 0, 0, 6, 1 << 20);
    build("out", red);
    List<TrainingPicture> pictures = PictureFolder.read(List.of(dir.resolve("out/train")));
    assertEquals(2, pictures.size());
    TrainingPicture clear = pictures.get(0);
    assertEquals("clear", clear.caption());
    assertEquals(40, clear.width());
    assertArrayEquals(new byte[] {(byte) 255, 0, 0}, Arrays.copyOf(clear.rgb(), 3));
    int middle = 3 * 20;
    float expected = (scene(5, 40, 32).pixels().values()[20] + 1) / 2 * 255;
    assertEquals(expected, clear.rgb()[middle] & 0xff, 0.6);
    TrainingPicture deep = pictures.get(1);
    int row = 3 * 40 * 10;
    assertEquals(Math.round(10 * 255 / 31.0), deep.rgb()[row] & 0xff, 1);
    assertEquals(deep.rgb()[row], deep.rgb()[row + 1]);
    assertEquals(deep.rgb()[row], deep.rgb()[row + 2]);
  }

  private static HostTensor tensor(float[] alpha) {
    return new HostTensor(new Shape(1, 32, 40), alpha);
  }

  @Test
  void sizesAndCaptionsAreThoseAskedFor() throws IOException {
    put("wide_tree.png", scene(1, 200, 100));
    Files.writeString(source.resolve("wide_tree.txt"), "an oak\n");
    Files.writeString(source.resolve("COPYING"), "do as you like");
    put("sub/tiny.png", scene(2, 30, 12));
    DatasetOptions options =
        new DatasetOptions(100, 20, List.of(1.0, 0.5, 0.25), 0, 0, true, 0, 0, 6, 1 << 20);
    DatasetSummary summary = build("out", options);
    assertEquals(new DatasetSummary.Part(1, 2, 1), summary.train());
    assertEquals(Map.of("too_small", 1), summary.skipped());
    assertEquals(2, summary.otherFiles());
    List<TrainingPicture> pictures = PictureFolder.read(List.of(dir.resolve("out/train")));
    assertEquals(Set.of(100, 50), Set.of(pictures.get(0).width(), pictures.get(1).width()));
    pictures.forEach(p -> assertEquals("an oak", p.caption()));
    Map<String, String> row = manifest("out").get("wide_tree.png");
    assertEquals("an oak", row.get("caption"));
    assertEquals("200", row.get("width"));
    assertTrue(row.get("licence").endsWith("source/COPYING"), row.toString());
    assertTrue(
        manifest("out").get("tiny.png").get("licence").endsWith("source/COPYING"),
        "the nearest above");

    DatasetOptions silent =
        new DatasetOptions(100, 20, List.of(1.0), 0, 0, false, 0, 0, 6, 1 << 20);
    build("silent", silent);
    assertEquals(List.of(), files("silent/train", ".txt"));
  }

  @Test
  void hostileFilesAreReportedAndSkipped() throws IOException {
    put("good.png", scene(1, 64, 64));
    byte[] good = Files.readAllBytes(source.resolve("good.png"));
    Files.write(source.resolve("empty.png"), new byte[0]);
    Files.writeString(source.resolve("text.jpg"), "<html>");
    Files.write(source.resolve("cut.png"), Arrays.copyOf(good, good.length / 2));
    byte[] bomb = good.clone();
    bomb[16] = 0x7f; // width of two thousand million
    CRC32 crc = new CRC32();
    crc.update(bomb, 12, 17);
    ByteBuffer.wrap(bomb).putInt(29, (int) crc.getValue());
    Files.write(source.resolve("bomb.png"), bomb);
    Files.createSymbolicLink(source.resolve("loop"), source);
    Path outside = dir.resolve("outside.png");
    PictureFiles.write(scene(2, 64, 64), outside, false);
    Files.createSymbolicLink(source.resolve("out.png"), outside);
    Files.createSymbolicLink(source.resolve("gone.png"), dir.resolve("nowhere"));
    Files.createDirectory(source.resolve("folder.png"));
    put("hidden/inside.png", scene(4, 64, 64));
    Files.createSymbolicLink(source.resolve("in.png"), source.resolve("hidden/inside.png"));
    put("tab\there\n.png", scene(3, 64, 64));

    DatasetSummary summary = build("out", options(0));
    assertEquals(3, summary.train().pictures());
    assertEquals(Map.of("unreadable", 7, "duplicate", 1), summary.skipped());
    var rows = manifest("out");
    assertTrue(rows.get("out.png").get("skipped").contains("leads out of the source folder"));
    assertTrue(rows.get("loop").get("skipped").contains("not followed"));
    assertEquals("train", rows.get("tab\\there\\n.png").get("split"));
    assertTrue(rows.get("bomb.png").get("skipped").contains("the limit is"), rows.toString());
  }

  @Test
  void damagedBytesNeverEndARun() throws IOException {
    put("good.png", scene(1, 32, 32));
    NoiseSource random = new NoiseSource(7);
    for (String format : List.of("png", "jpg", "tif")) {
      Path whole = dir.resolve("whole." + format);
      PictureFiles.write(scene(2, 32, 32), whole, false);
      byte[] bytes = Files.readAllBytes(whole);
      for (int i = 0; i < 150; i++) {
        byte[] damaged = bytes.clone();
        for (int k = 0; k < 3; k++) {
          // headers are what decides
          damaged[random.below(Math.min(400, bytes.length))] = (byte) random.below(256);
        }
        Files.write(source.resolve("d" + i + "." + format), damaged);
      }
    }
    DatasetSummary summary = build("out", options(0));
    assertTrue(summary.skipped().get("unreadable") > 100, summary.toString());
  }

  @Test
  void whatExistsIsKeptAndFailuresLeaveNothing() throws IOException {
    put("good.png", scene(1, 64, 64));
    Files.createDirectory(dir.resolve("empty"));
    build("empty", options(0));
    PriorArtException again =
        assertThrows(PriorArtException.class, () -> build("empty", options(0)));
    assertEquals(ErrorKind.ALREADY_EXISTS, again.kind());
    assertThrows(PriorArtException.class, () -> build("source/out", options(0)));
    assertThrows(PriorArtException.class, () -> build("no/parent", options(0)));
    PriorArtException all =
        assertThrows(PriorArtException.class, () -> build("next", options(0.999999999)));
    assertEquals(ErrorKind.FAILED_PRECONDITION, all.kind());
    PriorArtException stopped =
        assertThrows(
            PriorArtException.class,
            () ->
                DatasetBuilder.build(
                    List.of(source), List.of(), dir.resolve("s"), options(0), () -> true, SILENT));
    assertEquals(ErrorKind.CANCELLED, stopped.kind());
    try (Stream<Path> left = Files.list(dir)) {
      assertEquals(
          Set.of("source", "empty"),
          Set.copyOf(left.map(f -> f.getFileName().toString()).toList()));
    }
  }

  @Test
  void optionsOutOfRangeAreNamed() {
    Map<String, Runnable> bad = new TreeMap<>();
    bad.put("max-side", () -> of(15, 16, List.of(1.0), 0, 0.1, 6));
    bad.put("min-side", () -> of(64, 65, List.of(1.0), 0, 0.1, 6));
    bad.put("scales", () -> of(64, 16, List.of(1.0, Double.NaN), 0, 0.1, 6));
    bad.put("crop", () -> of(64, 16, List.of(1.0), 65, 0.1, 6));
    bad.put("held-out", () -> of(64, 16, List.of(1.0), 0, 1, 6));
    bad.put("duplicate-distance", () -> of(64, 16, List.of(1.0), 0, 0.1, 32));
    bad.forEach(
        (field, make) ->
            assertEquals(
                field,
                assertThrows(PriorArtException.class, make::run, field).details().get("field")));
  }

  private static DatasetOptions of(
      int maxSide, int minSide, List<Double> scales, int crop, double heldOut, int distance) {
    return new DatasetOptions(
        maxSide, minSide, scales, crop, 0, true, heldOut, 0, distance, 1 << 20);
  }
}
