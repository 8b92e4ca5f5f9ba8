package io.priorart.models.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSpec;
import io.priorart.models.engine.Value;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@link DenoisingUNet} against its definition, written as loops in double precision. */
class DenoisingUNetTest {
  private static final DenoisingUNet.Config TINY = tiny(false);

  private static DenoisingUNet.Config tiny(boolean noiseMap) {
    return new DenoisingUNet.Config(3, 2, new int[] {4, 6, 5}, 2, 7, 0.5, 0.01, 8, noiseMap);
  }

  @TempDir private Path dir;

  private static Script script(CompileOptions options) {
    return script(TINY, options);
  }

  private static Script script(DenoisingUNet.Config config, CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("DenoisingUNet", options);
    DenoisingUNet net = new DenoisingUNet(config, builder.weights());
    Graph g = builder.method("forward");
    if (config.noiseMap()) {
      Value x = g.toCompute(g.input("x"), true);
      Value noise = g.input("noise");
      g.returns(g.toFloat32(net.forward(g, x, noise, g.toCompute(g.input("map"), true))));
      return builder.build();
    }
    g.returns(g.toFloat32(net.forward(g, g.toCompute(g.input("x"), true), g.input("noise"), null)));
    return builder.build();
  }

  private static Map<String, HostTensor> weights(Script script) {
    Map<String, HostTensor> weights = new LinkedHashMap<>();
    NoiseSource random = new NoiseSource(3);
    for (TensorSpec spec : script.weights()) {
      HostTensor w = random.normal(spec.shape());
      double scale = 1 / Math.sqrt((double) spec.shape().size() / spec.shape().get(0));
      for (int i = 0; i < w.values().length; i++) {
        w.values()[i] *= (float) scale;
      }
      weights.put(spec.name(), w);
    }
    return weights;
  }

  private float[] run(CompileOptions options, HostTensor x, float[] noise) {
    Script script = script(options);
    Path file = dir.resolve(options.precision() + ".safetensors");
    SafetensorsWriter.write(file, weights(script), Map.of(), false);
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule module = ScriptModule.load(manager, script, SafetensorsFile.open(file))) {
      NDArray y = module.call("forward", x.to(manager), manager.create(noise))[0];
      assertEquals(x.shape(), y.getShape());
      return y.toFloatArray();
    }
  }

  @Test
  void isItsDefinition() {
    HostTensor x = new NoiseSource(4).normal(new Shape(2, 3, 16, 24));
    float[] noise = {-0.9f, 0.3f};
    float[] found = run(CompileOptions.REFERENCE, x, noise);
    Loops loops = new Loops(weights(script(CompileOptions.REFERENCE)));
    int size = 3 * 16 * 24;
    for (int n = 0; n < 2; n++) {
      double[][][] picture = new double[3][16][24];
      for (int i = 0; i < size; i++) {
        picture[i / 384][i / 24 % 16][i % 24] = x.values()[n * size + i];
      }
      double[][][] expected = loops.network(picture, noise[n]);
      for (int i = 0; i < size; i++) {
        double e = expected[i / 384][i / 24 % 16][i % 24];
        assertEquals(e, found[n * size + i], 1e-4 * (1 + Math.abs(e)), "sample " + n + " at " + i);
      }
    }
  }

  /** The map of levels is one more channel of the picture. */
  @Test
  void isItsDefinitionWithANoiseMap() {
    Script script = script(tiny(true), CompileOptions.REFERENCE);
    HostTensor all = new NoiseSource(6).normal(new Shape(1, 4, 8, 8));
    double[][][] channels = new double[4][8][8];
    for (int i = 0; i < 256; i++) {
      channels[i / 64][i / 8 % 8][i % 8] = all.values()[i];
    }
    Path file = dir.resolve("map.safetensors");
    SafetensorsWriter.write(file, weights(script), Map.of(), false);
    try (NDManager manager = ScriptModule.newManager();
        ScriptModule module = ScriptModule.load(manager, script, SafetensorsFile.open(file))) {
      NDArray together = all.to(manager);
      NDArray picture = together.get(":, 0:3");
      NDArray map = together.get(":, 3:4");
      NDArray noise = manager.create(new float[] {0.4f});
      float[] found = module.call("forward", picture, noise, map)[0].toFloatArray();
      double[][][] expected = new Loops(weights(script)).network(channels, 0.4f);
      for (int i = 0; i < found.length; i++) {
        double e = expected[i / 64][i / 8 % 8][i % 8];
        assertEquals(e, found[i], 1e-4 * (1 + Math.abs(e)), "at " + i);
      }
    }
  }

  @Test
  void computesTheSameInBfloat16ChannelsLast() {
    HostTensor x = new NoiseSource(5).normal(new Shape(1, 3, 32, 32));
    float[] exact = run(CompileOptions.REFERENCE, x, new float[] {-0.5f});
    float[] coarse = run(new CompileOptions(Precision.BFLOAT16, true), x, new float[] {-0.5f});
    double error = 0;
    double power = 0;
    for (int i = 0; i < exact.length; i++) {
      error += Math.pow(exact[i] - coarse[i], 2);
      power += Math.pow(exact[i], 2);
    }
    assertTrue(error < 4e-4 * power, "relative error " + Math.sqrt(error / power));
    assertTrue(error > 0, "bfloat16 has 8 bits");
  }

  /** Feature maps as {@code [channel][row][column]}. */
  private record Loops(Map<String, HostTensor> weights) {
    double[][][] network(double[][][] x, double noise) {
      double[] features = new double[16];
      for (int k = 0; k < 8; k++) {
        features[k] = Math.sin(noise * Math.pow(2, k));
        features[8 + k] = Math.cos(noise * Math.pow(2, k));
      }
      double[] e = silu(linear("noise_embedding.linear_1", features));
      e = silu(linear("noise_embedding.linear_2", e));
      double[][][] h0 = blocks("down_blocks.0", conv("conv_in", unshuffled(x), 1, 1), e);
      double[][][] h1 = blocks("down_blocks.1", conv("down_blocks.0.downsample", h0, 2, 0), e);
      double[][][] h2 = blocks("down_blocks.2", conv("down_blocks.1.downsample", h1, 2, 0), e);
      double[][][] u1 =
          blocks("up_blocks.1", sum(h1, shuffled(conv("up_blocks.1.upsample", h2, 1, 0))), e);
      double[][][] u0 =
          blocks("up_blocks.0", sum(h0, shuffled(conv("up_blocks.0.upsample", u1, 1, 0))), e);
      return shuffled(conv("conv_out", u0, 1, 1));
    }

    private double[][][] blocks(String level, double[][][] x, double[] e) {
      double[][][] h = x;
      for (int k = 0; k < TINY.layersPerBlock(); k++) {
        String name = level + ".blocks." + k;
        double[] scale = linear(name + ".scale", e);
        double[][][] inner = conv(name + ".conv1", silu(h), 1, 1);
        for (int c = 0; c < inner.length; c++) {
          for (double[] row : inner[c]) {
            for (int j = 0; j < row.length; j++) {
              row[j] *= 1 + scale[c];
            }
          }
        }
        h = sum(h, conv(name + ".conv2", silu(inner), 1, 1));
      }
      return h;
    }

    private double[] linear(String name, double[] x) {
      HostTensor w = weights.get(name + ".weight");
      double[] y = new double[(int) w.shape().get(0)];
      for (int o = 0; o < y.length; o++) {
        y[o] = weights.get(name + ".bias").values()[o];
        for (int i = 0; i < x.length; i++) {
          y[o] += w.values()[o * x.length + i] * x[i];
        }
      }
      return y;
    }

    private double[][][] conv(String name, double[][][] x, int stride, int padding) {
      HostTensor w = weights.get(name + ".weight");
      int k = (int) w.shape().get(2);
      int h = (x[0].length + 2 * padding - k) / stride + 1;
      int v = (x[0][0].length + 2 * padding - k) / stride + 1;
      double[][][] y = new double[(int) w.shape().get(0)][h][v];
      for (int o = 0; o < y.length; o++) {
        for (int r = 0; r < h; r++) {
          for (int c = 0; c < v; c++) {
            double sum = weights.get(name + ".bias").values()[o];
            for (int i = 0; i < x.length; i++) {
              for (int a = 0; a < k * k; a++) {
                int row = r * stride + a / k - padding;
                int column = c * stride + a % k - padding;
                if (row >= 0 && row < x[0].length && column >= 0 && column < x[0][0].length) {
                  sum += w.values()[(o * x.length + i) * k * k + a] * x[i][row][column];
                }
              }
            }
            y[o][r][c] = sum;
          }
        }
      }
      return y;
    }

    private static double silu(double x) {
      return x / (1 + Math.exp(-x));
    }

    private static double[] silu(double[] x) {
      return java.util.Arrays.stream(x).map(Loops::silu).toArray();
    }

    private static double[][][] silu(double[][][] x) {
      double[][][] y = new double[x.length][x[0].length][];
      for (int c = 0; c < x.length; c++) {
        for (int r = 0; r < x[0].length; r++) {
          y[c][r] = silu(x[c][r]);
        }
      }
      return y;
    }

    private static double[][][] sum(double[][][] a, double[][][] b) {
      double[][][] y = new double[a.length][a[0].length][a[0][0].length];
      for (int c = 0; c < y.length; c++) {
        for (int r = 0; r < y[0].length; r++) {
          for (int j = 0; j < y[0][0].length; j++) {
            y[c][r][j] = a[c][r][j] + b[c][r][j];
          }
        }
      }
      return y;
    }

    /** Channel {@code 4 c + 2 a + b} is row {@code 2 r + a}, column {@code 2 j + b} of c. */
    private static double[][][] unshuffled(double[][][] x) {
      double[][][] y = new double[4 * x.length][x[0].length / 2][x[0][0].length / 2];
      for (int c = 0; c < y.length; c++) {
        for (int r = 0; r < y[0].length; r++) {
          for (int j = 0; j < y[0][0].length; j++) {
            y[c][r][j] = x[c / 4][2 * r + c / 2 % 2][2 * j + c % 2];
          }
        }
      }
      return y;
    }

    private static double[][][] shuffled(double[][][] x) {
      double[][][] y = new double[x.length / 4][2 * x[0].length][2 * x[0][0].length];
      for (int c = 0; c < x.length; c++) {
        for (int r = 0; r < x[0].length; r++) {
          for (int j = 0; j < x[0][0].length; j++) {
            y[c / 4][2 * r + c / 2 % 2][2 * j + c % 2] = x[c][r][j];
          }
        }
      }
      return y;
    }
  }
}
