package io.priorart.runtime.dataset;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds 64-bit hashes near a given one without looking at all: multi-index hashing, Norouzi et al.,
 * "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012. Two hashes that differ in at
 * most {@code r} bits agree in at least one of {@code r + 1} parts, so only those that share a part
 * are compared.
 */
final class HammingIndex<T> {
  private record Entry<T>(long hash, T value) {}

  private final int radius;
  private final List<Map<Long, List<Entry<T>>>> parts = new ArrayList<>();

  /**
   * @param radius largest distance that counts as near, 0 to 31
   */
  HammingIndex(int radius) {
    this.radius = radius;
    for (int i = 0; i <= radius; i++) {
      parts.add(new HashMap<>());
    }
  }

  void add(long hash, T value) {
    Entry<T> entry = new Entry<>(hash, value);
    for (int i = 0; i <= radius; i++) {
      parts.get(i).computeIfAbsent(part(hash, i), k -> new ArrayList<>(1)).add(entry);
    }
  }

  /** The value of a nearest hash; {@code null} if none is near. */
  T nearest(long hash) {
    Entry<T> best = null;
    int least = radius + 1;
    for (int i = 0; i <= radius; i++) {
      for (Entry<T> entry : parts.get(i).getOrDefault(part(hash, i), List.of())) {
        int distance = Long.bitCount(entry.hash ^ hash);
        if (distance < least) {
          least = distance;
          best = entry;
        }
      }
    }
    return best == null ? null : best.value;
  }

  private long part(long hash, int i) {
    int from = 64 * i / (radius + 1);
    int to = 64 * (i + 1) / (radius + 1);
    return hash << (64 - to) >>> (64 - (to - from));
  }
}
