package io.priorart.models.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Arithmetic of the networks. Whatever it is, tensors outside a script are float32. */
public enum Precision {
  /**
   * {@link #BFLOAT16} where the CPU multiplies it in hardware (AMX or AVX512-BF16), else {@link
   * #FLOAT32}.
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

  private static final class Auto {
    static final Precision CHOICE = detect();

    private static Precision detect() {
      try {
        String cpu = Files.readString(Path.of("/proc/cpuinfo"));
        return cpu.contains("amx_bf16") || cpu.contains("avx512_bf16") ? BFLOAT16 : FLOAT32;
      } catch (IOException e) {
        return FLOAT32;
      }
    }
  }
}
