package io.priorart.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * Metrics against a direct double loop and against other implementations
 * (testdata/fixtures/make_metrics.py); the parsing of operators.
 */
class ComparisonTest {
  private static final Path TESTDATA = Path.of(System.getProperty("priorart.home"), "testdata");

  private record Pair(
      String picture,
      int width,
      int height,
      String change,
      double ssim,
      Double msSsim,
      double gmsd) {}

  private record Measured(List<Pair> pairs) {}

  /** The upper left part of a picture, as it is or changed as make_metrics.py changes it. */
  private static Picture part(Picture all, Pair pair, String change) {
    int w = pair.width();
    int h = pair.height();
    float[] out = new float[3 * w * h];
    for (int c = 0; c < 3; c++) {
      for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
          int from = change.equals("rolled") ? (x + w - 1) % w : x;
          float sample = all.pixels().values()[(c * all.height() + y) * all.width() + from];
          int v = Math.round((sample + 1) * 127.5f);
          int changed =
              switch (change) {
                case "posterised" -> v & 0xE0;
                case "darker" -> v >> 1;
                default -> v;
              };
          out[(c * h + y) * w + x] = changed / 127.5f - 1;
        }
      }
    }
    return all.withPixels(new HostTensor(new Shape(1, 3, h, w), out));
  }

  @Test
  void agreesWithOtherImplementations() throws IOException {
    List<Pair> pairs =
        Json.read(
                Files.readString(TESTDATA.resolve("fixtures").resolve("metrics.json")),
                Measured.class)
            .pairs();
    assertEquals(6, pairs.size());
    for (Pair pair : pairs) {
      Picture all =
          PictureFiles.read(TESTDATA.resolve("pictures").resolve(pair.picture()), Limits.PIXELS);
      Comparison c = Comparison.of(part(all, pair, ""), part(all, pair, pair.change()), null);
      assertEquals(pair.ssim(), c.ssim(), 1e-6, pair.toString());
      assertEquals(
          pair.msSsim() == null ? Double.NaN : pair.msSsim(), c.msSsim(), 1e-6, pair.toString());
      assertEquals(pair.gmsd(), c.gmsd(), 1e-6, pair.toString());
    }
  }

  @Test
  void gmsdOfEqualPicturesIsZero() {
    Picture a = noisy(33, 20, 0);
    assertEquals(0, Comparison.of(a, a, null).gmsd(), 1e-12);
    double little = Comparison.of(a, noisy(33, 20, 0.05), null).gmsd();
    double much = Comparison.of(a, noisy(33, 20, 0.3), null).gmsd();
    assertTrue(0 < little && little < much, little + " " + much);
  }

  private static Picture noisy(int w, int h, double amount) {
    float[] base = new float[w * h];
    float[] noise = new NoiseSource(3).normal(new Shape(w * h)).values();
    for (int i = 0; i < base.length; i++) {
      base[i] = (float) (Math.sin(i % w * 0.3) * Math.cos(i / w * 0.2) * 0.8 + amount * noise[i]);
    }
    return new Picture(new HostTensor(new Shape(1, 1, h, w), base), 32, null);
  }

  @Test
  void ssimIsTheMeanOverWindows() {
    int w = 17;
    int h = 14;
    Picture a = noisy(w, h, 0);
    Picture b = noisy(w, h, 0.2);
    double[][] window = new double[11][11];
    double total = 0;
    for (int i = 0; i < 11; i++) {
      for (int j = 0; j < 11; j++) {
        window[i][j] = Math.exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
        total += window[i][j];
      }
    }
    double sum = 0;
    int count = 0;
    for (int y = 0; y + 11 <= h; y++) {
      for (int x = 0; x + 11 <= w; x++) {
        double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
        for (int i = 0; i < 11; i++) {
          for (int j = 0; j < 11; j++) {
            double k = window[i][j] / total;
            double va = (a.pixels().values()[(y + i) * w + x + j] + 1.0) / 2;
            double vb = (b.pixels().values()[(y + i) * w + x + j] + 1.0) / 2;
            ma += k * va;
            mb += k * vb;
            aa += k * va * va;
            bb += k * vb * vb;
            ab += k * va * vb;
          }
        }
        double c1 = 1e-4;
        double c2 = 9e-4;
        sum +=
            (2 * ma * mb + c1)
                * (2 * (ab - ma * mb) + c2)
                / ((ma * ma + mb * mb + c1) * (aa - ma * ma + bb - mb * mb + c2));
        count++;
      }
    }
    assertEquals(sum / count, Comparison.of(a, b, null).ssim(), 1e-12);
  }

  @Test
  void maskSplitsThePsnr() {
    Picture a = noisy(16, 16, 0);
    float[] shifted = a.pixels().values().clone();
    float[] mask = new float[256];
    for (int i = 0; i < 128; i++) {
      shifted[i] += 0.2f;
      mask[i] = 1;
    }
    Picture b = a.withPixels(new HostTensor(a.pixels().shape(), shifted));
    Comparison c = Comparison.of(a, b, new HostTensor(new Shape(1, 16, 16), mask));
    assertEquals(20, c.psnrInside(), 1e-4);
    assertEquals(Double.POSITIVE_INFINITY, c.psnrOutside());
    assertEquals(20 + 10 * Math.log10(2), c.psnr(), 1e-4);
    assertThrows(PriorArtException.class, () -> Comparison.of(a, noisy(16, 15, 0), null));
  }

  @Test
  void msSsimOrdersDamage() {
    Picture a = noisy(180, 176, 0);
    double little = Comparison.of(a, noisy(180, 176, 0.05), null).msSsim();
    double much = Comparison.of(a, noisy(180, 176, 0.5), null).msSsim();
    assertEquals(1, Comparison.of(a, a, null).msSsim(), 1e-12);
    assertTrue(1 > little && little > much && much > 0, little + " " + much);
    assertTrue(Double.isNaN(Comparison.of(noisy(100, 100, 0), noisy(100, 100, 0), null).msSsim()));
  }

  @Test
  void operatorsAreParsed() {
    assertEquals(
        new OperatorRequest("inpainting", Map.of("box", "1,2,3,4", "x", "y")),
        OperatorRequest.parse("inpainting:box=1,2,3,4,x=y"));
    assertEquals(new OperatorRequest("identity", Map.of()), OperatorRequest.parse("identity"));
    for (String bad : List.of("a:b", "a:=1", "a:b=1,b=2")) {
      assertThrows(PriorArtException.class, () -> OperatorRequest.parse(bad), bad);
    }
  }
}
