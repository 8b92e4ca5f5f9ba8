package io.priorart.runtime;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Keeps a solve from driving the machine out of memory. */
public final class MemoryBudget {
  /**
   * Working memory a pixel, rounded up: at 256x256 with the bundled checkpoint the whole process
   * peaked at 438 MB (prox-diffusion) and 784 MB (resample); 245 MB with a solver that runs no
   * network.
   */
  private static final long BYTES_PER_PIXEL = 4_000;

  private static final long BYTES_PER_PIXEL_WITH_GRADIENT = 16_000;

  private MemoryBudget() {}

  /**
   * @throws PriorArtException RESOURCE_EXHAUSTED with the figures
   */
  static void require(long pixels, boolean gradient) {
    long needed = pixels * (gradient ? BYTES_PER_PIXEL_WITH_GRADIENT : BYTES_PER_PIXEL);
    long available = kilobytes("/proc/meminfo", "MemAvailable") << 10;
    if (available > 0 && needed > available) {
      throw new PriorArtException(
          ErrorKind.RESOURCE_EXHAUSTED,
          "%d pixels need about %d MB of memory, %d MB are available; restore a smaller picture"
              .formatted(pixels, needed >> 20, available >> 20));
    }
  }

  /** Resident memory of this process in bytes; 0 where the system does not tell. */
  public static long residentBytes() {
    return kilobytes("/proc/self/status", "VmRSS") << 10;
  }

  /** Peak resident memory of this process in bytes; 0 where the system does not tell. */
  public static long peakResidentBytes() {
    return kilobytes("/proc/self/status", "VmHWM") << 10;
  }

  private static long kilobytes(String file, String key) {
    try {
      Matcher m = Pattern.compile(key + ":\\s+(\\d+) kB").matcher(Files.readString(Path.of(file)));
      return m.find() ? Long.parseLong(m.group(1)) : 0;
    } catch (IOException e) {
      return 0;
    }
  }
}
