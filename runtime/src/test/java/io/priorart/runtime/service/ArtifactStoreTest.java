package io.priorart.runtime.service;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ArtifactStoreTest {
  private static final class Time extends Clock {
    private Instant now = Instant.parse("2026-01-01T00:00:00Z");

    @Override
    public Instant instant() {
      return now;
    }

    @Override
    public ZoneId getZone() {
      return ZoneOffset.UTC;
    }

    @Override
    public Clock withZone(ZoneId zone) {
      return this;
    }
  }

  @TempDir private Path folder;
  private final Time time = new Time();
  private ArtifactStore store;

  @BeforeEach
  void open() {
    store = new ArtifactStore(folder, 1000, 2500, Duration.ofMinutes(10), time);
  }

  private static byte[] bytes(int seed, int length) {
    byte[] bytes = new byte[length];
    new Random(seed).nextBytes(bytes);
    return bytes;
  }

  private static String hash(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }

  private void upload(byte[] bytes, int from, int to) throws Exception {
    try (ArtifactStore.Upload upload = store.begin(hash(bytes), bytes.length, from)) {
      upload.write(ByteBuffer.wrap(bytes, from, to - from));
      if (to == bytes.length) {
        upload.finish();
      }
    }
  }

  private static ErrorKind kind(org.junit.jupiter.api.function.Executable work) {
    return assertThrows(PriorArtException.class, work).kind();
  }

  @Test
  void aBrokenUploadGoesOnWhereItEndedEvenAfterARestart() throws Exception {
    byte[] file = bytes(1, 900);
    upload(file, 0, 300);
    assertEquals(300, store.find(hash(file)).receivedBytes());
    assertFalse(store.find(hash(file)).whole());
    assertEquals(ErrorKind.NOT_FOUND, kind(() -> store.read(hash(file))));
    open();
    assertEquals(ErrorKind.FAILED_PRECONDITION, kind(() -> store.begin(hash(file), 900, 200)));
    upload(file, 300, 900);
    assertTrue(store.find(hash(file)).whole());
    assertArrayEquals(file, store.read(hash(file)));
    open();
    assertArrayEquals(file, store.read(hash(file)));
  }

  @Test
  void whatIsNotAsAnnouncedNeverAppears() throws Exception {
    byte[] file = bytes(2, 100);
    byte[] other = bytes(3, 100);
    ArtifactStore.Upload wrong = store.begin(hash(other), 100, 0);
    wrong.write(ByteBuffer.wrap(file));
    assertEquals(ErrorKind.INVALID_ARGUMENT, kind(wrong::finish));
    ArtifactStore.Upload longer = store.begin(hash(file), 99, 0);
    assertEquals(ErrorKind.INVALID_ARGUMENT, kind(() -> longer.write(ByteBuffer.wrap(file))));
    ArtifactStore.Upload shorter = store.begin(hash(file), 200, 0);
    shorter.write(ByteBuffer.wrap(file));
    assertEquals(ErrorKind.INVALID_ARGUMENT, kind(shorter::finish));
    assertFalse(store.find(hash(file)).whole() || store.find(hash(other)).whole());
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(
          List.of(hash(file) + ".part"), files.map(f -> f.getFileName().toString()).toList());
    }
  }

  @Test
  void namesAndSizesAreChecked() {
    for (String name : List.of("", "../../etc/passwd", "A".repeat(64), "0".repeat(63))) {
      assertEquals(ErrorKind.INVALID_ARGUMENT, kind(() -> store.find(name)));
      assertEquals(ErrorKind.INVALID_ARGUMENT, kind(() -> store.read(name)));
    }
    for (long size : new long[] {0, -1, 1001, Long.MAX_VALUE}) {
      assertEquals(ErrorKind.INVALID_ARGUMENT, kind(() -> store.begin("0".repeat(64), size, 0)));
    }
    assertEquals(
        ErrorKind.INVALID_ARGUMENT, kind(() -> store.begin("0".repeat(64), 10, Long.MAX_VALUE)));
  }

  @Test
  void theQuotaCountsWhatIsAnnouncedAndIsFreedByExpiry() throws Exception {
    store.put(bytes(4, 1000));
    try (ArtifactStore.Upload open = store.begin(hash(bytes(5, 1000)), 1000, 0)) {
      PriorArtException full =
          assertThrows(PriorArtException.class, () -> store.begin(hash(bytes(6, 600)), 600, 0));
      assertEquals(ErrorKind.RESOURCE_EXHAUSTED, full.kind());
      assertEquals("600", full.details().get("retry_after_seconds"));
      assertEquals(
          ErrorKind.FAILED_PRECONDITION, kind(() -> store.begin(hash(bytes(5, 1000)), 1000, 0)));
    }
    upload(bytes(6, 600), 0, 600);
    assertEquals(1600, store.used());
    time.now = time.now.plus(Duration.ofMinutes(11));
    upload(bytes(7, 1000), 0, 1000);
    assertEquals(1000, store.used());
  }

  @Test
  void useAndHoldsKeepFilesFromExpiring() throws Exception {
    String used = store.put(bytes(8, 10));
    String held = store.put(bytes(9, 10));
    String left = store.put(bytes(10, 10));
    ArtifactStore.Hold hold = store.hold(held);
    time.now = time.now.plus(Duration.ofMinutes(9));
    store.read(used);
    time.now = time.now.plus(Duration.ofMinutes(9));
    assertTrue(store.find(used).whole());
    assertEquals(0, store.find(left).receivedBytes());
    assertArrayEquals(bytes(9, 10), hold.read());
    hold.close();
    hold.close();
    time.now = time.now.plus(Duration.ofMinutes(11));
    assertEquals(0, store.find(held).receivedBytes());
    assertEquals(ErrorKind.NOT_FOUND, kind(() -> store.hold(held)));
  }
}
