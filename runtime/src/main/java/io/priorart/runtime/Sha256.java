package io.priorart.runtime;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** SHA-256 as 64 lower-case hexadecimal digits: the name of an artifact, the identity of a file. */
public final class Sha256 {
  private Sha256() {}

  /** The hash of all bytes. */
  public static String of(byte[] bytes) {
    return text(digest().digest(bytes));
  }

  /** For bytes that come in parts; every JDK has it. */
  public static MessageDigest digest() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  /** A finished digest in digits. */
  public static String text(byte[] digest) {
    return HexFormat.of().formatHex(digest);
  }
}
