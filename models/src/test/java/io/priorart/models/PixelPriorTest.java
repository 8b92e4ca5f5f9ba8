package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A pixel-space checkpoint as solvers see it. */
class PixelPriorTest {
  private static final String CONFIG =
      "{\"_class_name\": \"DenoisingUNet\", \"block_out_channels\": [4, 6], \"layers_per_block\": 1,"
          + " \"embedding_width\": 5, \"sigma_data\": 0.5, \"sigma_min\": 0.01, \"sigma_max\": 8}";

  @TempDir private Path dir;
  private final Map<String, HostTensor> weights = new LinkedHashMap<>();

  @BeforeEach
  void writeCheckpoint() throws IOException {
    writeCheckpoint(false);
  }

  private void writeCheckpoint(boolean noiseMap) throws IOException {
    ScriptBuilder builder = new ScriptBuilder("DenoisingUNet", CompileOptions.REFERENCE);
    new DenoisingUNet(
        new DenoisingUNet.Config(3, 2, new int[] {4, 6}, 1, 5, 0.5, 0.01, 8, noiseMap),
        builder.weights());
    NoiseSource random = new NoiseSource(1);
    builder
        .build()
        .weights()
        .forEach(
            spec -> {
              HostTensor w = random.normal(spec.shape());
              for (int i = 0; i < w.values().length; i++) {
                w.values()[i] *= 0.2f;
              }
              weights.put(spec.name(), w);
            });
    Path part = Files.createDirectories(dir.resolve("denoiser"));
    Files.writeString(
        dir.resolve("model_index.json"), "{\"_class_name\": \"PixelDenoiserPipeline\"}");
    String map = noiseMap ? ", \"noise_map\": true}" : "}";
    Files.writeString(part.resolve("config.json"), CONFIG.replace("}", map));
    writeWeights();
  }

  private void writeWeights() {
    SafetensorsWriter.write(
        dir.resolve("denoiser/diffusion_pytorch_model.safetensors"), weights, Map.of(), false);
  }

  private Prior load() {
    return ModelFamilies.load(dir, CompileOptions.REFERENCE);
  }

  /** Table 1 of arXiv 2206.00364, with the network's own output for F. */
  @Test
  void denoisesByItsPreconditioning() {
    HostTensor x = new NoiseSource(2).normal(new Shape(2, 3, 8, 12));
    double sigma = 0.7;
    double total = Math.hypot(sigma, 0.5);
    float[] scaled = new float[x.values().length];
    for (int i = 0; i < scaled.length; i++) {
      scaled[i] = (float) (x.values()[i] / total);
    }
    float level = (float) (Math.log(sigma) / 4);
    try (Prior prior = load();
        NDManager manager = prior.bind(8, 12).manager().newSubManager()) {
      float[] f =
          prior
              .trace(
                  "denoiser",
                  Map.of(
                      "x", new HostTensor(x.shape(), scaled),
                      "noise", new HostTensor(new Shape(2), new float[] {level, level})))
              .values();
      float[] expected = new float[f.length];
      for (int i = 0; i < f.length; i++) {
        expected[i] = (float) (0.25 / (total * total) * x.values()[i] + sigma * 0.5 / total * f[i]);
      }
      LatentDiffusionModel model = prior.bind(8, 12);
      NDArray found = model.denoise(x.to(manager), sigma, Conditioning.NONE);
      assertArrayEquals(expected, found.toFloatArray(), 1e-5f);
      assertEquals(1, model.counts().denoise());
      assertEquals(0, model.counts().encode() + model.counts().decode());
    }
  }

  /**
   * One colour of a picture filled by push-pull, as loops, then the halvings until something is
   * known; sides are multiples of four.
   */
  private static double[][][] filled(double[][] x, double[][] known) {
    double[][][] sums = new double[3][][];
    double[][][] weights = new double[3][][];
    sums[0] = new double[x.length][x[0].length];
    weights[0] = known;
    for (int r = 0; r < x.length; r++) {
      for (int c = 0; c < x[0].length; c++) {
        sums[0][r][c] = x[r][c] * known[r][c];
      }
    }
    for (int k = 1; k < 3; k++) {
      sums[k] = halved(sums[k - 1]);
      weights[k] = halved(weights[k - 1]);
    }
    double[][] filled = null;
    double[][] halvings = null;
    for (int k = 2; k >= 0; k--) {
      double[][] finer = new double[sums[k].length][sums[k][0].length];
      double[][] further = new double[finer.length][finer[0].length];
      for (int r = 0; r < finer.length; r++) {
        for (int c = 0; c < finer[0].length; c++) {
          double own = k == 0 ? x[r][c] : sums[k][r][c] / (weights[k][r][c] + 1e-3);
          double trust = k == 2 ? 1 : Math.min(1, weights[k][r][c] * (1 << 2 * k));
          finer[r][c] = trust * own + (k == 2 ? 0 : (1 - trust) * between(filled, r, c));
          further[r][c] = k == 2 ? 0 : (1 - trust) * (1 + between(halvings, r, c));
        }
      }
      filled = finer;
      halvings = further;
    }
    return new double[][][] {filled, halvings};
  }

  private static double[][] halved(double[][] x) {
    double[][] y = new double[x.length / 2][x[0].length / 2];
    for (int r = 0; r < x.length; r++) {
      for (int c = 0; c < x[0].length; c++) {
        y[r / 2][c / 2] += x[r][c] / 4;
      }
    }
    return y;
  }

  /** What lies at a pixel of the finer picture, linearly between the pixels' middles. */
  private static double between(double[][] coarse, int row, int column) {
    double r = Math.max(0, (row + 0.5) / 2 - 0.5);
    double c = Math.max(0, (column + 0.5) / 2 - 0.5);
    int r0 = (int) r;
    int c0 = (int) c;
    int r1 = Math.min(r0 + 1, coarse.length - 1);
    int c1 = Math.min(c0 + 1, coarse[0].length - 1);
    double top = coarse[r0][c0] + (c - c0) * (coarse[r0][c1] - coarse[r0][c0]);
    double bottom = coarse[r1][c0] + (c - c0) * (coarse[r1][c1] - coarse[r1][c0]);
    return top + (r - r0) * (bottom - top);
  }

  /** The smallest level is told, and all distances; c_out is each pixel's own; gaps are filled. */
  @Test
  void takesANoiseLevelForEachPixel() throws IOException {
    writeCheckpoint(true);
    HostTensor x = new NoiseSource(2).normal(new Shape(2, 3, 8, 12));
    float[] sigma = new float[2 * 96];
    float[] map = new float[2 * 96];
    double[] smallest = {0.09, 0.004};
    for (int i = 0; i < sigma.length; i++) {
      // the second picture's levels go beyond the training's
      sigma[i] = (float) (i % 96 == 0 ? smallest[i / 96] : i % 3 == 0 ? 20 : 0.1 + 0.002 * i);
      double told = Math.min(8, Math.max(0.01, sigma[i]));
      map[i] = (float) (Math.log(told / Math.max(0.01, smallest[i / 96])) / 4);
    }
    double[] filled = new double[x.values().length];
    double[] halvings = new double[filled.length];
    float[] scaled = new float[filled.length];
    for (int plane = 0; plane < 6; plane++) {
      double least = Math.hypot(0.5, smallest[plane / 3]);
      double[][] values = new double[8][12];
      double[][] known = new double[8][12];
      for (int p = 0; p < 96; p++) {
        values[p / 12][p % 12] = x.values()[plane * 96 + p];
        known[p / 12][p % 12] = Math.pow(least / Math.hypot(0.5, sigma[plane / 3 * 96 + p]), 2);
      }
      double[][][] all = filled(values, known);
      for (int p = 0; p < 96; p++) {
        filled[plane * 96 + p] = all[0][p / 12][p % 12];
        halvings[plane * 96 + p] = all[1][p / 12][p % 12];
        scaled[plane * 96 + p] = (float) (all[0][p / 12][p % 12] / least);
      }
    }
    HostTensor levels = new HostTensor(new Shape(2, 1, 8, 12), sigma);
    try (Prior prior = load();
        NDManager manager = prior.bind(8, 12).manager().newSubManager()) {
      float[] noise = {(float) (Math.log(0.09) / 4), (float) (Math.log(0.01) / 4)};
      Map<String, HostTensor> inputs =
          Map.of(
              "x", new HostTensor(x.shape(), scaled),
              "noise", new HostTensor(new Shape(2), noise),
              "map", new HostTensor(levels.shape(), map));
      float[] f = prior.trace("denoiser", inputs).values();
      LatentDiffusionModel model = prior.bind(8, 12);
      float[] found =
          model.denoise(x.to(manager), levels.to(manager), Conditioning.NONE).toFloatArray();
      for (int i = 0; i < f.length; i++) {
        double s = sigma[i / 288 * 96 + i % 96];
        double first = smallest[i / 288];
        double skip = 0.25 / (0.25 + first * first);
        double gap = 0.01 * (Math.pow(2, halvings[i]) - 1);
        double out = Math.min(0.5 * s / Math.hypot(s, 0.5), Math.sqrt(skip * first * first + gap));
        double expected = skip * filled[i] + out * f[i];
        assertEquals(expected, found[i], 2e-5 * (1 + Math.abs(expected)), "at " + i);
      }
      assertTrue(model.noiseMap() && prior.traits().noiseMap());
      NDArray even = manager.full(new Shape(1, 1, 8, 12), 0.3f);
      assertArrayEquals(
          model.denoise(x.to(manager), 0.3, Conditioning.NONE).toFloatArray(),
          model.denoise(x.to(manager), even, Conditioning.NONE).toFloatArray(),
          1e-6f);
      assertThrows(
          IllegalArgumentException.class,
          () ->
              model.denoise(x.to(manager), manager.ones(new Shape(1, 1, 8, 8)), Conditioning.NONE));
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () ->
                  prior.trace(
                      "denoiser", Map.of("x", inputs.get("x"), "noise", inputs.get("noise"))));
      assertTrue(e.getMessage().contains("map"), e.getMessage());
    }
    writeCheckpoint(false);
    try (Prior prior = load();
        NDManager manager = prior.bind(8, 12).manager().newSubManager()) {
      PriorArtException e =
          assertThrows(
              PriorArtException.class,
              () ->
                  prior.bind(8, 12).denoise(x.to(manager), levels.to(manager), Conditioning.NONE));
      assertEquals(ErrorKind.FAILED_PRECONDITION, e.kind());
    }
  }

  /** What is padded away must be the picture's reflection, and nothing of it may come back. */
  @Test
  void takesAnySizeByReflection() {
    HostTensor x = new NoiseSource(3).normal(new Shape(1, 3, 6, 7));
    float[] reflected = new float[3 * 8 * 8];
    int[] rows = {0, 1, 2, 3, 4, 5, 4, 3};
    int[] columns = {0, 1, 2, 3, 4, 5, 6, 5};
    for (int i = 0; i < reflected.length; i++) {
      int from = i / 64 * 42 + rows[i / 8 % 8] * 7 + columns[i % 8];
      reflected[i] = x.values()[from];
    }
    try (Prior prior = load();
        NDManager manager = prior.bind(8, 8).manager().newSubManager()) {
      float[] odd = prior.bind(6, 7).denoise(x.to(manager), 0.3, Conditioning.NONE).toFloatArray();
      float[] even =
          prior
              .bind(8, 8)
              .denoise(
                  new HostTensor(new Shape(1, 3, 8, 8), reflected).to(manager),
                  0.3,
                  Conditioning.NONE)
              .toFloatArray();
      for (int i = 0; i < odd.length; i++) {
        assertEquals(even[i / 42 * 64 + i / 7 % 6 * 8 + i % 7], odd[i], 1e-5f);
      }
    }
  }

  @Test
  void pullsBackTheDerivative() {
    NoiseSource random = new NoiseSource(4);
    HostTensor x = random.normal(new Shape(1, 3, 6, 6));
    HostTensor direction = random.normal(x.shape());
    HostTensor cotangent = random.normal(x.shape());
    try (Prior prior = load();
        NDManager manager = prior.bind(6, 6).manager().newSubManager()) {
      LatentDiffusionModel model = prior.bind(6, 6);
      NDArray point = x.to(manager);
      NDArray d = direction.to(manager);
      NDArray v = cotangent.to(manager);
      double pulled;
      try (Linearization at = model.denoiseAt(point, 0.4, Conditioning.NONE)) {
        pulled = at.pullback(v).mul(d).sum().getFloat();
      }
      float h = 1e-2f;
      NDArray up = model.denoise(point.add(d.mul(h)), 0.4, Conditioning.NONE);
      NDArray down = model.denoise(point.sub(d.mul(h)), 0.4, Conditioning.NONE);
      double difference = up.sub(down).mul(v).sum().getFloat() / (2 * h);
      assertEquals(difference, pulled, 2e-3 * (1 + Math.abs(difference)));
      try (Linearization codec = model.decodeAt(point)) {
        assertArrayEquals(x.values(), codec.value().toFloatArray());
        assertArrayEquals(cotangent.values(), codec.pullback(v).toFloatArray());
      }
    }
  }

  @Test
  void refusesTextAndWhatDoesNotFit() throws IOException {
    try (Prior prior = load()) {
      PriorArtException text =
          assertThrows(
              PriorArtException.class,
              () -> prior.bind(4, 4).condition(null, new Prompt("a bridge", "", 1)));
      assertEquals(ErrorKind.FAILED_PRECONDITION, text.kind());
    }
    HostTensor wrong = weights.remove("conv_in.weight");
    weights.put("conv_out.weight", wrong);
    weights.put("conv_inn.weight", wrong);
    writeWeights();
    String message = assertThrows(PriorArtException.class, this::load).getMessage();
    assertTrue(message.contains("missing conv_in.weight"), message);
    assertTrue(message.contains("unknown conv_inn.weight"), message);
    assertTrue(message.contains("conv_out.weight is"), message);
    Files.writeString(dir.resolve("denoiser/config.json"), CONFIG.replace("0.01", "9"));
    message = assertThrows(PriorArtException.class, this::load).getMessage();
    assertTrue(message.contains("sigma_max"), message);
    // each level halves: this one would pad every picture to 262,144 pixels a side
    Files.writeString(
        dir.resolve("denoiser/config.json"),
        CONFIG.replace("[4, 6]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1], \"patch_size\": 8"));
    message = assertThrows(PriorArtException.class, this::load).getMessage();
    assertTrue(message.contains("block_out_channels"), message);
    Files.writeString(dir.resolve("model_index.json"), "{\"_class_name\": \"FluxPipeline\"}");
    message = assertThrows(PriorArtException.class, this::load).getMessage();
    assertTrue(message.contains("FluxPipeline") && message.contains("PixelDenoiser"), message);
  }
}
