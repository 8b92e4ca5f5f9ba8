package io.priorart.models.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Arithmetic of the networks. Whatever it is, tensors outside a script are float32. */
public enum Precision {
  /**
   * {@link #BFLOAT16} where the CPU multiplies it faster, which is with AMX, or with AVX512-BF16 on
   * AMD's; else {@link #FLOAT32}. Intel's AVX512-BF16 without AMX takes longer for it
   * (docs/design/engine.md).
   */
  AUTO(-1),
  FLOAT32(6),
  BFLOAT16(15),
  FLOAT16(5);

  private final int scalarType;

  Precision(int scalarType) {
    this.scalarType = scalarType;
  }

  /** libtorch's {@code ScalarType} number, the one that scripts use. */
  int scalarType() {
    return resolve().scalarType;
  }

  /**
   * The element type of a file whose tensors may be used where they are mapped; {@code null} for
   * bfloat16, which DJL cannot name.
   */
  String mappedType() {
    return switch (resolve()) {
      case FLOAT32 -> "F32";
      case FLOAT16 -> "F16";
      default -> null;
    };
  }

  /** Of a weight. */
  public int bytes() {
    return resolve() == FLOAT32 ? 4 : 2;
  }

  /** This, or what {@link #AUTO} means on this machine. */
  public Precision resolve() {
    return this == AUTO ? Auto.CHOICE : this;
  }

  /** What {@link #AUTO} means on the machine that {@code /proc/cpuinfo} describes so. */
  static Precision auto(String cpuInfo) {
    boolean fast =
        cpuInfo.contains("amx_bf16")
            || cpuInfo.contains("avx512_bf16") && cpuInfo.contains("AuthenticAMD");
    return fast ? BFLOAT16 : FLOAT32;
  }

  private static final class Auto {
    static final Precision CHOICE = detect();

    private static Precision detect() {
      try {
        return auto(Files.readString(Path.of("/proc/cpuinfo")));
      } catch (IOException e) {
        return FLOAT32;
      }
    }
  }
}
