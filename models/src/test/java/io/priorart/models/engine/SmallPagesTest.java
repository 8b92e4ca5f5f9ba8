package io.priorart.models.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

@EnabledOnOs(OS.LINUX)
class SmallPagesTest {
  @BeforeEach
  void whereThereAreHugePages() {
    assumeFalse(SmallPages.active());
  }

  @Test
  void theLastOneClosedGivesHugePagesBack() {
    try (SmallPages outer = SmallPages.whileWriting(SmallPages.WORTHWHILE)) {
      assertTrue(SmallPages.active());
      SmallPages inner = SmallPages.whileWriting(1L << 40);
      inner.close();
      inner.close();
      assertTrue(SmallPages.active());
    }
    assertFalse(SmallPages.active());
    try (SmallPages few = SmallPages.whileWriting(SmallPages.WORTHWHILE - 1)) {
      assertFalse(SmallPages.active());
    }
  }

  /** As the kernel tells it of this process. */
  @Test
  void theKernelAgrees() throws IOException {
    assertEquals("1", enabled());
    try (SmallPages pages = SmallPages.whileWriting(SmallPages.WORTHWHILE)) {
      assertEquals("0", enabled());
    }
    assertEquals("1", enabled());
  }

  private static String enabled() throws IOException {
    return Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(l -> l.startsWith("THP_enabled:"))
        .findFirst()
        .orElseThrow()
        .split("\\s+")[1];
  }
}
