package io.priorart.models.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Memory that tensors pass through on their way into a script that keeps converted copies: filled,
 * flushed, filled again. A checkpoint that is converted is so never resident twice, as it would be
 * if its file were mapped. Not safe for concurrent use.
 */
public final class Staging {
  /** Bytes; a larger tensor gets more. */
  static final int CAPACITY = 64 << 20;

  /** Of every tensor, for the widest loads of the processor. */
  private static final int ALIGNMENT = 64;

  private final int capacity;
  private final Runnable flush;
  private ByteBuffer buffer;

  /**
   * @param flush uses all that was taken so far, which then is free again
   */
  Staging(int capacity, Runnable flush) {
    this.capacity = capacity;
    this.flush = flush;
  }

  /** Room for one tensor, in the byte order of the machine; valid until the next flush. */
  public ByteBuffer take(int bytes) {
    if (buffer != null && align(buffer.position()) + (long) bytes > buffer.capacity()) {
      flush.run();
      buffer.clear();
    }
    if (buffer == null || bytes > buffer.capacity() - ALIGNMENT) {
      buffer = ByteBuffer.allocateDirect(Math.max(capacity, bytes + ALIGNMENT));
    }
    int begin = align(buffer.position());
    buffer.position(begin + bytes);
    return buffer.slice(begin, bytes).order(ByteOrder.nativeOrder());
  }

  /** In address, not in position: a direct buffer begins anywhere. */
  private int align(int position) {
    return position + (ALIGNMENT - buffer.alignmentOffset(position, ALIGNMENT)) % ALIGNMENT;
  }
}
