package io.priorart.runtime.dataset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The index against looking at all. */
class HammingIndexTest {
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 6, 31})
  void findsWhatLookingAtAllFinds(int radius) {
    SplittableRandom random = new SplittableRandom(radius);
    HammingIndex<Long> index = new HammingIndex<>(radius);
    long[] known = random.longs(500).toArray();
    for (long hash : known) {
      index.add(hash, hash);
    }
    int near = 0;
    for (int i = 0; i < 2000; i++) {
      long query = known[random.nextInt(known.length)];
      int flips = random.nextInt(radius + 4);
      for (int k = 0; k < flips; k++) {
        query ^= 1L << random.nextInt(64);
      }
      int least = 65;
      for (long hash : known) {
        least = Math.min(least, Long.bitCount(hash ^ query));
      }
      Long found = index.nearest(query);
      if (least <= radius) {
        near++;
        assertEquals(least, Long.bitCount(found ^ query));
      } else {
        assertNull(found);
      }
    }
    assertTrue(near > 200, near + " were near");
  }
}
