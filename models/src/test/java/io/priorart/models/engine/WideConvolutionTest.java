package io.priorart.models.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A convolution with more weights than pixels, as a product of patches and as oneDNN's own. */
class WideConvolutionTest {
  private static final int IN = 480;
  private static final int OUT = 1024;

  @TempDir private Path dir;

  private static Script script(boolean channelsLast, int stride) {
    CompileOptions options = new CompileOptions(Precision.FLOAT32, channelsLast);
    ScriptBuilder builder = new ScriptBuilder("Wide", options);
    WeightNames at = builder.weights();
    WeightNames.Weight w = at.tensor("weight", OUT, IN, 3, 3);
    WeightNames.Weight b = at.tensor("bias", OUT);
    Graph g = builder.method("forward");
    Value x = g.input("x");
    g.returns(g.toFloat32(g.conv2d(g.toCompute(x, true), w, b, stride, 1)));
    return builder.build();
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 4, 4", "2, 1, 5, 3", "1, 1, 1, 2", "1, 2, 6, 8", "2, 2, 7, 5", "1, 1, 24, 24"})
  void bothAgree(int batch, int stride, int height, int width) {
    Path file = dir.resolve("wide.safetensors");
    NoiseSource noise = new NoiseSource(4);
    Map<String, HostTensor> tensors =
        Map.of(
            "weight", noise.normal(new Shape(OUT, IN, 3, 3)), "bias", noise.normal(new Shape(OUT)));
    SafetensorsWriter.write(file, tensors, Map.of(), false);
    Shape shape = new Shape(batch, IN, height, width);
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule products =
            ScriptModule.load(manager, script(true, stride), SafetensorsFile.open(file));
        ScriptModule convolutions =
            ScriptModule.load(manager, script(false, stride), SafetensorsFile.open(file));
        TensorScope scope = new TensorScope()) {
      NDArray x = noise.normal(shape).to(manager);
      try (Linearization a = products.linearize("forward", 0, x);
          Linearization b = convolutions.linearize("forward", 0, x)) {
        assertEquals(b.value().getShape(), a.value().getShape());
        assertClose(b.value(), a.value());
        NDArray cotangent = noise.normal(a.value().getShape()).to(manager);
        assertClose(b.pullback(cotangent), a.pullback(cotangent));
      }
    }
  }

  private static void assertClose(NDArray expected, NDArray actual) {
    float[] want = expected.toFloatArray();
    float[] got = actual.toFloatArray();
    double squares = 0;
    for (float v : want) {
      squares += (double) v * v;
    }
    double scale = Math.sqrt(squares / want.length);
    for (int i = 0; i < want.length; i++) {
      assertEquals(want[i], got[i], 1e-4 * scale, "at " + i);
    }
  }
}
