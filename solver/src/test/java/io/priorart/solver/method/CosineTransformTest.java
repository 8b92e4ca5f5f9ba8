package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link CosineTransform} against its definition as sums in double precision. */
class CosineTransformTest {
  @ParameterizedTest
  @CsvSource({"8, 6", "5, 7", "1, 4", "3, 1", "2, 9"})
  void isItsDefinitionAndItsInverse(int height, int width) {
    HostTensor x = new NoiseSource(height).normal(new Shape(2, 3, height, width));
    try (NDManager manager = NDManager.newBaseManager()) {
      CosineTransform transform = new CosineTransform(manager, height, width);
      NDArray spectrum = transform.forward(x.to(manager));
      float[] found = spectrum.toFloatArray();
      for (int plane = 0; plane < 6; plane++) {
        for (int k = 0; k < height; k++) {
          for (int l = 0; l < width; l++) {
            double sum = 0;
            for (int i = 0; i < height; i++) {
              for (int j = 0; j < width; j++) {
                sum +=
                    x.values()[(plane * height + i) * width + j]
                        * Math.cos(Math.PI * (i + 0.5) * k / height)
                        * Math.cos(Math.PI * (j + 0.5) * l / width);
              }
            }
            sum *= Math.sqrt((k == 0 ? 1.0 : 2.0) / height * (l == 0 ? 1.0 : 2.0) / width);
            assertEquals(sum, found[(plane * height + k) * width + l], 1e-5);
          }
        }
      }
      assertArrayEquals(x.values(), transform.inverse(spectrum).toFloatArray(), 1e-5f);
    }
  }
}
