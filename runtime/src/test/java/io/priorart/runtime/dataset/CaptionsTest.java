package io.priorart.runtime.dataset;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CaptionsTest {
  @ParameterizedTest
  @CsvSource({
    "Dragonfly_by_Bolly,dragonfly",
    "Bridge_by_Sander_Klootwijk,bridge",
    "house_by_the_sea,house by the sea",
    "ButterflyByKennethWimer,butterfly",
    "by_night,by night",
    "after-the-rain,after the rain",
    "YellowFlower,yellow flower",
    "HTMLPage,html page",
    "beach10_harro_2x,beach harro",
    "IMG_20190301_123456,''",
    "DSC01234 old mill,old mill",
    "red.apple (3),red apple",
    "tree-9f86d081884c7d65,tree",
    "sunset_1920x1080,sunset",
    "été à la plage,été à la plage",
    "'',''"
  })
  void aNameBecomesWords(String stem, String words) {
    assertEquals(words, Captions.words(stem));
  }

  @Test
  void aTextBesideWins(@TempDir Path dir) throws IOException {
    Path picture = dir.resolve("red_tree.png");
    assertEquals("red tree", Captions.of(picture));
    Files.writeString(dir.resolve("red_tree.txt"), "\ufeffan oak,\r\n\tin  autumn\0 \n");
    assertEquals("an oak, in autumn", Captions.of(picture));
    Files.write(dir.resolve("red_tree.txt"), new byte[] {'a', (byte) 0xff, 'b'});
    assertEquals("a\ufffdb", Captions.of(picture));
    Files.writeString(dir.resolve("red_tree.txt"), "x".repeat(100_000));
    assertEquals(4096, Captions.of(picture).length());
  }

  @Test
  void aLinkIsNoText(@TempDir Path dir) throws IOException {
    Path secret = Files.writeString(dir.resolve("secret"), "of somebody else");
    Files.createSymbolicLink(dir.resolve("tree.txt"), secret);
    assertEquals("tree", Captions.of(dir.resolve("tree.png")));
  }
}
