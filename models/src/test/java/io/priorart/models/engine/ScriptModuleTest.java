package io.priorart.models.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The seam to libtorch: {@code f(x) = silu(conv(x, w))} compiled, loaded, differentiated. */
class ScriptModuleTest {
  @TempDir private Path dir;
  private NDManager manager;

  @BeforeEach
  void open() {
    manager = ScriptModule.newManager();
  }

  @AfterEach
  void close() {
    manager.close();
  }

  private static Script script(CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("Layer", options);
    WeightNames.Weight w = builder.weights().at("conv").tensor("weight", 3, 2, 3, 3);
    Graph g = builder.method("forward");
    Value x = g.input("x");
    g.returns(g.toFloat32(g.silu(g.conv2d(g.toCompute(x, true), w, null, 1, 1))));
    return builder.build();
  }

  private SafetensorsFile weights(String name, long... shape) {
    Path file = dir.resolve("w" + name.hashCode() + shape.length + ".safetensors");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put(name, new NoiseSource(5).normal(new Shape(shape)));
    SafetensorsWriter.write(file, tensors, Map.of(), false);
    return SafetensorsFile.open(file);
  }

  private ScriptModule module() {
    return ScriptModule.load(
        manager, script(CompileOptions.REFERENCE), weights("conv.weight", 3, 2, 3, 3));
  }

  /** Through room for one tensor, for some, for all, and for none. */
  @Test
  void weightsThatAreConvertedAreTheSameHoweverOftenTheirRoomIsUsedAgain() {
    Path file = dir.resolve("some.safetensors");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    CompileOptions options = new CompileOptions(Precision.BFLOAT16, true);
    ScriptBuilder builder = new ScriptBuilder("Several", options);
    for (int i = 0; i < 9; i++) {
      builder.weights().at("" + i).tensor("weight", 3 + i, 7);
      tensors.put(i + ".weight", new NoiseSource(i).normal(new Shape(3 + i, 7)));
    }
    Graph g = builder.method("forward");
    g.returns(g.silu(g.input("x")));
    SafetensorsWriter.write(file, tensors, Map.of(), true);
    for (int capacity : new int[] {1, 200, 400, 1 << 20}) {
      try (ScriptModule module =
          ScriptModule.load(manager, builder.build(), SafetensorsFile.open(file), capacity)) {
        NDList kept = module.list("ws");
        assertEquals(9, kept.size());
        for (int i = 0; i < 9; i++) {
          float[] wanted = tensors.get(i + ".weight").values();
          assertEquals(new Shape(3 + i, 7), kept.get(i).getShape());
          assertArrayEquals(
              wanted, kept.get(i).toType(DataType.FLOAT32, true).toFloatArray(), 0.02f);
        }
      }
    }
  }

  /** Smaller and larger than the pieces that are converted at once, vectors, kernels. */
  @Test
  void halvesBecomeTheNearestBfloat16() {
    List<Shape> shapes =
        List.of(
            new Shape(),
            new Shape(5),
            new Shape(3, 7),
            new Shape(900, 1000),
            new Shape(2, 400_000),
            new Shape(70, 500, 3, 3));
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    ScriptBuilder builder =
        new ScriptBuilder("Halves", new CompileOptions(Precision.BFLOAT16, true));
    for (int i = 0; i < shapes.size(); i++) {
      builder.weights().at("" + i).tensor("weight", shapes.get(i).getShape());
      tensors.put(i + ".weight", new NoiseSource(i).normal(shapes.get(i)));
    }
    Graph g = builder.method("forward");
    g.returns(g.silu(g.input("x")));
    Path file = dir.resolve("halves.safetensors");
    SafetensorsWriter.write(file, tensors, Map.of(), true);
    SafetensorsFile halves = SafetensorsFile.open(file);
    try (ScriptModule module = ScriptModule.load(manager, builder.build(), halves)) {
      NDList kept = module.list("ws");
      for (int i = 0; i < shapes.size(); i++) {
        float[] values = halves.read(i + ".weight").values();
        for (int k = 0; k < values.length; k++) {
          int bits = Float.floatToIntBits(values[k]);
          int upper = bits + 0x7fff + (bits >> 16 & 1) & 0xffff0000; // nearest, ties to even
          values[k] = Float.intBitsToFloat(upper);
        }
        assertArrayEquals(values, kept.get(i).toType(DataType.FLOAT32, true).toFloatArray());
      }
    }
  }

  @Test
  void stagingFlushesBeforeItWritesOverWhatWasTaken() {
    int[] flushes = {0};
    Staging staging = new Staging(256, () -> flushes[0]++);
    ByteBuffer first = staging.take(100).put(0, (byte) 1);
    ByteBuffer second = staging.take(60).put(0, (byte) 2);
    assertEquals(0, first.alignmentOffset(0, 64));
    assertEquals(0, second.alignmentOffset(0, 64));
    assertEquals(60, second.remaining());
    assertEquals(0, flushes[0]);
    assertEquals(1, first.get(0));
    staging.take(100);
    assertEquals(1, flushes[0]);
    ByteBuffer large = staging.take(1000);
    assertEquals(2, flushes[0]);
    assertEquals(1000, large.remaining());
    assertEquals(2, second.get(0));
  }

  @Test
  void pullbackIsTheGradientOfFiniteDifferences() {
    try (ScriptModule module = module()) {
      NDArray x = new NoiseSource(1).normal(manager, new Shape(1, 2, 5, 4));
      NDArray u = new NoiseSource(2).normal(manager, new Shape(1, 3, 5, 4));
      NDArray d = new NoiseSource(3).normal(manager, new Shape(1, 2, 5, 4));
      double h = 1e-2;
      double plus = inner(module.call("forward", x.add(d.mul(h)))[0], u);
      double minus = inner(module.call("forward", x.sub(d.mul(h)))[0], u);
      try (Linearization at = module.linearize("forward", 0, x)) {
        double analytic = inner(at.pullback(u), d);
        assertEquals((plus - minus) / (2 * h), analytic, 2e-3 * Math.abs(analytic));
        // linear in the cotangent, and nothing accumulates from call to call
        assertEquals(2 * analytic, inner(at.pullback(u.mul(2)), d), 1e-4 * Math.abs(analytic));
      }
    }
  }

  /** The chain rule written out in double precision: {@code w^T * (u silu'(w * x))}. */
  @Test
  void pullbackIsTheGradientWorkedOutByHand() {
    SafetensorsFile file = weights("conv.weight", 3, 2, 3, 3);
    float[] w = file.read("conv.weight").values();
    HostTensor x = new NoiseSource(1).normal(new Shape(1, 2, 5, 4));
    HostTensor u = new NoiseSource(2).normal(new Shape(1, 3, 5, 4));
    double[] expected = new double[2 * 5 * 4];
    for (int o = 0; o < 3; o++) {
      for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 4; j++) {
          double[] p = new double[1];
          taps(o, i, j, (weight, at) -> p[0] += (double) w[weight] * x.values()[at]);
          double sigmoid = 1 / (1 + Math.exp(-p[0]));
          double slope = sigmoid * (1 + p[0] * (1 - sigmoid)) * u.values()[(o * 5 + i) * 4 + j];
          taps(o, i, j, (weight, at) -> expected[at] += slope * w[weight]);
        }
      }
    }
    try (ScriptModule module = ScriptModule.load(manager, script(CompileOptions.REFERENCE), file);
        Linearization at = module.linearize("forward", 0, x.to(manager))) {
      float[] found = at.pullback(u.to(manager)).toFloatArray();
      for (int k = 0; k < expected.length; k++) {
        assertEquals(expected[k], found[k], 1e-4, "entry " + k);
      }
    }
  }

  private interface Tap {
    void at(int weight, int input);
  }

  /** Weight and input index of every tap of a padded 3x3 convolution inside a 2x5x4 input. */
  private static void taps(int o, int i, int j, Tap tap) {
    for (int c = 0; c < 2; c++) {
      for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
          int row = i + a - 1;
          int column = j + b - 1;
          if (row >= 0 && row < 5 && column >= 0 && column < 4) {
            tap.at(((o * 2 + c) * 3 + a) * 3 + b, (c * 5 + row) * 4 + column);
          }
        }
      }
    }
  }

  private static double inner(NDArray a, NDArray b) {
    return a.mul(b).sum().getFloat();
  }

  @Test
  void eightThreadsLinearizeAtOnce() throws Exception {
    try (ScriptModule module = module()) {
      ExecutorService pool = Executors.newFixedThreadPool(8);
      List<Future<float[]>> results = new ArrayList<>();
      for (int i = 0; i < 64; i++) {
        long seed = i % 4;
        results.add(
            pool.submit(
                () -> {
                  try (NDManager own = manager.newSubManager()) {
                    NDArray x = new NoiseSource(seed).normal(own, new Shape(1, 2, 5, 4));
                    try (Linearization at = module.linearize("forward", 0, x)) {
                      return at.pullback(at.value()).toFloatArray();
                    }
                  }
                }));
      }
      for (int i = 4; i < results.size(); i++) {
        org.junit.jupiter.api.Assertions.assertArrayEquals(
            results.get(i % 4).get(), results.get(i).get());
      }
      pool.shutdown();
    }
  }

  @Test
  void scopesFreeWhatCallsMake() {
    try (ScriptModule module = module()) {
      NDArray x = new NoiseSource(1).normal(manager, new Shape(1, 2, 32, 32));
      for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
          try (TensorScope scope = new TensorScope();
              Linearization at = module.linearize("forward", 0, x)) {
            at.pullback(at.value());
          }
        }
      }
      // the argument itself, and the module's own manager, are all that is left
      assertTrue(
          manager.getManagedArrays().size() <= 2, manager.getManagedArrays().size() + " arrays");
    }
  }

  @Test
  void aCheckpointThatDoesNotFitIsListedWhole() {
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                ScriptModule.load(
                    manager, script(CompileOptions.REFERENCE), weights("other", 3, 2)));
    assertTrue(e.getMessage().contains("missing conv.weight"), e.getMessage());
    assertTrue(e.getMessage().contains("unknown other"), e.getMessage());
    e =
        assertThrows(
            PriorArtException.class,
            () ->
                ScriptModule.load(
                    manager, script(CompileOptions.REFERENCE), weights("conv.weight", 3, 2, 1, 3)));
    assertTrue(e.getMessage().contains("(3, 2, 1, 3)"), e.getMessage());
  }

  @Test
  void aScriptErrorNamesTheJavaLine() {
    ScriptBuilder builder = new ScriptBuilder("Broken", CompileOptions.REFERENCE);
    Graph g = builder.method("forward");
    Value x = g.input("x");
    g.returns(g.concat(1, x, g.reshape(x, 1, -1)));
    try (ScriptModule module = ScriptModule.load(manager, builder.build())) {
      NDArray x0 = manager.zeros(new Shape(2, 3));
      PriorArtException e = assertThrows(PriorArtException.class, () -> module.call("forward", x0));
      assertTrue(e.getMessage().contains("at ScriptModuleTest.java:"), e.getMessage());
    }
  }
}
