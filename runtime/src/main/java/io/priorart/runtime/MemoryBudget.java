package io.priorart.runtime;

import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolverMethod;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
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

  /** Larger batches are no faster. */
  private static final int MOST = 8;

  private MemoryBudget() {}

  /**
   * How many samples of a picture can be solved at a time.
   *
   * @param wanted 1 or more
   * @return 1 to {@code wanted}; half of the available memory is left for more than one
   * @throws PriorArtException RESOURCE_EXHAUSTED with the figures where one does not fit
   */
  static int batch(long pixels, boolean gradient, int wanted) {
    long available = available();
    if (available <= 0) {
      return 1;
    }
    long needed = needed(pixels, gradient);
    require(pixels, needed, available);
    return (int) Math.max(1, Math.min(wanted, Math.min(MOST, available / 2 / needed)));
  }

  /**
   * That a picture can be worked on.
   *
   * @param kept bytes of what is kept of it besides
   * @throws PriorArtException RESOURCE_EXHAUSTED with the figures where it does not fit
   */
  public static void require(long pixels, boolean gradient, long kept) {
    long available = available();
    if (available > 0) {
      require(pixels, needed(pixels, gradient) + kept, available);
    }
  }

  private static void require(long pixels, long needed, long available) {
    if (needed > available) {
      throw new PriorArtException(
          ErrorKind.RESOURCE_EXHAUSTED,
          "%d pixels need about %d MB of memory, %d MB are available; take a smaller picture"
              .formatted(pixels, needed >> 20, available >> 20));
    }
  }

  /** Whether a method keeps what pullbacks through large networks need. */
  public static boolean takesGradients(Set<SolverMethod.Need> needs) {
    return needs.contains(SolverMethod.Need.DECODER_GRADIENT)
        || needs.contains(SolverMethod.Need.DENOISER_GRADIENT)
        || needs.contains(SolverMethod.Need.TEXT_GRADIENT);
  }

  private static long needed(long pixels, boolean gradient) {
    return pixels * (gradient ? BYTES_PER_PIXEL_WITH_GRADIENT : BYTES_PER_PIXEL);
  }

  private static long available() {
    return kilobytes("/proc/meminfo", "MemAvailable") << 10;
  }

  /** Resident memory of this process in bytes; 0 where the system does not tell. */
  public static long residentBytes() {
    return kilobytes("/proc/self/status", "VmRSS") << 10;
  }

  /** Peak resident memory of this process in bytes; 0 where the system does not tell. */
  public static long peakResidentBytes() {
    return kilobytes("/proc/self/status", "VmHWM") << 10;
  }

  /**
   * Begins {@link #peakResidentBytes} anew from what is resident now.
   *
   * @return whether the system allows it
   */
  public static boolean forgetPeak() {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5", StandardOpenOption.WRITE);
      return true;
    } catch (IOException e) {
      return false;
    }
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
