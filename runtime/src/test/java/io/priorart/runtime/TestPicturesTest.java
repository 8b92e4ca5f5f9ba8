package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The pictures that figures are reported on: what they are, whose, and that no prior saw them. */
class TestPicturesTest {
  private static final Path PICTURES = Checkpoints.home().resolve("testdata/pictures");

  @ParameterizedTest
  @ValueSource(strings = {"heldout", "tuning", "graphics"})
  void haveASizeALicenceAndWereNotTrainedOn(String folder) throws IOException {
    List<String> rows = Files.readAllLines(PICTURES.resolve("LICENCES.md"));
    List<Path> pictures;
    try (Stream<Path> files = Files.list(PICTURES.resolve(folder))) {
      pictures = files.sorted().toList();
    }
    assertTrue(pictures.size() >= (folder.equals("heldout") ? 8 : 2));
    for (Path file : pictures) {
      Picture picture = PictureFiles.read(file, Limits.PIXELS);
      assertEquals(
          List.of(256, 256, 3), List.of(picture.width(), picture.height(), picture.channels()));
      String name = "| " + folder + "/" + file.getFileName() + " |";
      List<String> row = rows.stream().filter(r -> r.startsWith(name)).toList();
      assertEquals(1, row.size(), name);
      String[] cells = row.get(0).split(" \\| ");
      assertEquals(5, cells.length, "picture, package, original, copyright, licence");
      for (Path checkpoint : Checkpoints.bundled()) {
        assertFalse(
            Files.readString(checkpoint.resolve("TRAINING_DATA.tsv")).contains(cells[2].strip()),
            cells[2] + " was trained on");
      }
    }
  }
}
