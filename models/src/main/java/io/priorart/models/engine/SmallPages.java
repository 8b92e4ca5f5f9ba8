package io.priorart.models.engine;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.NativeLong;
import com.sun.jna.Platform;

/**
 * While one is open, the process gets memory in small pages, whatever its allocator asks for
 * ({@code prctl PR_SET_THP_DISABLE}; Linux alone, elsewhere nothing happens). Huge pages are for
 * memory that comes and goes with every evaluation; weights are written once, and where a
 * hypervisor had taken the free memory back, huge pages made that twice to three times as slow
 * (docs/full-size.md).
 */
final class SmallPages implements AutoCloseable {
  /** Bytes from which on it is worth loading the native binding for. */
  static final long WORTHWHILE = 256L << 20;

  private static final int SET_THP_DISABLE = 41;
  private static final int GET_THP_DISABLE = 42;

  private static int open;

  /** Whether the process had huge pages before the first was opened. */
  private static boolean changed;

  private boolean counted;

  private SmallPages(boolean counted) {
    this.counted = counted;
  }

  /**
   * @param bytes about to be written; for few nothing is done
   */
  static SmallPages whileWriting(long bytes) {
    boolean counted = bytes >= WORTHWHILE && Platform.isLinux();
    if (counted) {
      begin();
    }
    return new SmallPages(counted);
  }

  private static synchronized void begin() {
    if (open++ == 0) {
      changed = prctl(GET_THP_DISABLE, 0) == 0 && prctl(SET_THP_DISABLE, 1) == 0;
    }
  }

  private static synchronized void end() {
    if (--open == 0 && changed) {
      prctl(SET_THP_DISABLE, 0);
    }
  }

  /** Whether huge pages are switched off now. */
  static boolean active() {
    return Platform.isLinux() && prctl(GET_THP_DISABLE, 0) == 1;
  }

  /** The C library's; negative where the kernel refuses or there is no binding to it. */
  private static int prctl(int option, long value) {
    try {
      Function function = NativeLibrary.getInstance(Platform.C_LIBRARY_NAME).getFunction("prctl");
      NativeLong zero = new NativeLong(0);
      return function.invokeInt(new Object[] {option, new NativeLong(value), zero, zero, zero});
    } catch (LinkageError e) {
      return -1; // a checkpoint loads without it, too
    }
  }

  @Override
  public void close() {
    if (counted) {
      counted = false;
      end();
    }
  }
}
