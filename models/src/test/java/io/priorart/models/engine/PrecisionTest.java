package io.priorart.models.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PrecisionTest {
  @ParameterizedTest(name = "{0}, {1}: {2}")
  @CsvSource({
    "GenuineIntel, avx512f avx512_bf16 amx_bf16 amx_tile, BFLOAT16",
    "GenuineIntel, avx512f avx512_bf16, FLOAT32",
    "GenuineIntel, avx512f, FLOAT32",
    "AuthenticAMD, avx512f avx512_bf16, BFLOAT16",
    "AuthenticAMD, avx2, FLOAT32",
  })
  void autoIsWhatTheProcessorIsFasterWith(String vendor, String flags, Precision expected) {
    String cpuInfo = "vendor_id\t: %s%nflags\t\t: fpu %s vme%n".formatted(vendor, flags);
    assertEquals(expected, Precision.auto(cpuInfo));
  }
}
