package io.priorart.solver.operator;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.PriorArtException;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Operators against slow, obvious double-precision loops, and their parameters' own rules. */
class OperatorReferenceTest {
  private static final int H = 9;
  private static final int W = 14;
  private static final HostTensor PICTURE = new NoiseSource(5).normal(new Shape(1, 2, H, W));

  private static HostTensor apply(ForwardOperator a) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return HostTensor.of(a.apply(PICTURE.to(manager)));
    }
  }

  /** A pixel of the picture's endless extension, walking step by step instead of by modulus. */
  private static double pixel(int channel, int row, int column, Boundary boundary) {
    return PICTURE
        .values()[(channel * H + inside(row, H, boundary)) * W + inside(column, W, boundary)];
  }

  private static int inside(int i, int n, Boundary boundary) {
    while (i < 0 || i >= n) {
      switch (boundary) {
        case REFLECT -> i = i < 0 ? -1 - i : 2 * n - 1 - i;
        case CIRCULAR -> i = i < 0 ? i + n : i - n;
        default -> i = i < 0 ? 0 : n - 1;
      }
    }
    return i;
  }

  private static float[] convolved(double[][] kernel, Boundary boundary) {
    int rows = kernel.length;
    int columns = kernel[0].length;
    float[] out = new float[2 * H * W];
    for (int c = 0, k = 0; c < 2; c++) {
      for (int i = 0; i < H; i++) {
        for (int j = 0; j < W; j++, k++) {
          double sum = 0;
          for (int a = 0; a < rows; a++) {
            for (int b = 0; b < columns; b++) {
              sum += kernel[a][b] * pixel(c, i - (a - rows / 2), j - (b - columns / 2), boundary);
            }
          }
          out[k] = (float) sum;
        }
      }
    }
    return out;
  }

  /** An asymmetric kernel, once smaller and once far larger than the picture. */
  @ParameterizedTest
  @CsvSource({
    "REFLECT, 3, 4", "CIRCULAR, 3, 4", "REPLICATE, 3, 4",
    "REFLECT, 40, 33", "CIRCULAR, 40, 33", "REPLICATE, 40, 33"
  })
  void customBlurIsTheLoop(Boundary boundary, int rows, int columns) {
    HostTensor raw = new NoiseSource(11).normal(new Shape(1, rows, columns));
    double sum = 0;
    for (int i = 0; i < raw.values().length; i++) {
      raw.values()[i] = Math.abs(raw.values()[i]);
      sum += raw.values()[i];
    }
    double[][] kernel = new double[rows][columns];
    for (int i = 0; i < raw.values().length; i++) {
      kernel[i / columns][i % columns] = raw.values()[i] / sum;
    }
    HostTensor blurred = apply(new CustomBlur(raw, boundary).on(new Shape(2, H, W)));
    assertArrayEquals(convolved(kernel, boundary), blurred.values(), 5e-6f);
  }

  @ParameterizedTest
  @EnumSource(Boundary.class)
  void gaussianBlurIsTheLoop(Boundary boundary) {
    for (double sigma : new double[] {0.4, 1.7, 5}) {
      int radius = (int) Math.ceil(4 * sigma);
      double[][] kernel = new double[2 * radius + 1][2 * radius + 1];
      double sum = 0;
      for (int i = -radius; i <= radius; i++) {
        for (int j = -radius; j <= radius; j++) {
          kernel[i + radius][j + radius] = Math.exp(-(i * i + j * j) / (2 * sigma * sigma));
          sum += kernel[i + radius][j + radius];
        }
      }
      for (double[] row : kernel) {
        for (int j = 0; j < row.length; j++) {
          row[j] /= sum;
        }
      }
      HostTensor blurred = apply(new GaussianBlur(sigma, boundary).on(new Shape(2, H, W)));
      assertArrayEquals(convolved(kernel, boundary), blurred.values(), 5e-6f);
    }
  }

  @ParameterizedTest
  @CsvSource({"5, 0", "7.3, 20", "8, 45", "6, 90", "9.5, -70", "1, 0", "3, 200"})
  void motionBlurWalksTheSegment(double length, double angle) {
    // The time that a point moving along the segment spends in each pixel's square.
    int reach = 6;
    double[][] kernel = new double[2 * reach + 1][2 * reach + 1];
    int steps = 400_000;
    for (int k = 0; k < steps; k++) {
      double t = ((k + 0.5) / steps - 0.5) * length;
      int column = (int) Math.floor(t * Math.cos(Math.toRadians(angle)) + 0.5);
      int row = (int) Math.floor(-t * Math.sin(Math.toRadians(angle)) + 0.5);
      kernel[row + reach][column + reach] += 1.0 / steps;
    }
    HostTensor blurred =
        apply(new MotionBlur(length, angle, Boundary.REFLECT).on(new Shape(2, H, W)));
    assertArrayEquals(convolved(kernel, Boundary.REFLECT), blurred.values(), 2e-4f);
  }

  @Test
  void motionBlurOfFivePixelsIsFiveFifths() {
    double[][] kernel = new MotionBlur(5.0, 0, Boundary.REFLECT).kernel().values();
    assertEquals(1, kernel.length);
    assertArrayEquals(new double[] {0.2, 0.2, 0.2, 0.2, 0.2}, kernel[0], 1e-12);
    double[][] upright = new MotionBlur(3.0, 90, Boundary.REFLECT).kernel().values();
    assertEquals(3, upright.length);
    assertEquals(1, upright[0].length);
  }

  private static double keys(double t) {
    double d = Math.abs(t);
    if (d <= 1) {
      return 1.5 * d * d * d - 2.5 * d * d + 1;
    }
    return d < 2 ? -0.5 * d * d * d + 2.5 * d * d - 4 * d + 2 : 0;
  }

  @ParameterizedTest
  @CsvSource({"AVERAGE, 2", "AVERAGE, 3", "AVERAGE, 32", "BICUBIC, 2", "BICUBIC, 5", "BICUBIC, 16"})
  void superResolutionIsTheLoop(SuperResolution.Kernel kernel, int f) {
    LinearOperator a = new SuperResolution(f, kernel).on(new Shape(2, H, W));
    int h = (int) Math.ceil((double) H / f);
    int w = (int) Math.ceil((double) W / f);
    assertEquals(new Shape(2, h, w), a.measurementShape());
    float[] expected = new float[2 * h * w];
    for (int c = 0, k = 0; c < 2; c++) {
      for (int i = 0; i < h; i++) {
        for (int j = 0; j < w; j++, k++) {
          double sum = 0;
          double weights = 0;
          for (int row = (i - 3) * f; row < (i + 4) * f; row++) {
            for (int column = (j - 3) * f; column < (j + 4) * f; column++) {
              double weight;
              if (kernel == SuperResolution.Kernel.AVERAGE) {
                boolean own = row / f == i && column / f == j && row >= 0 && column >= 0;
                weight = own ? 1 : 0;
              } else {
                // Centres at half coordinates: pixel p covers p to p + 1.
                weight = keys((row + 0.5) / f - (i + 0.5)) * keys((column + 0.5) / f - (j + 0.5));
              }
              sum += weight * pixel(c, row, column, Boundary.REFLECT);
              weights += weight;
            }
          }
          expected[k] = (float) (sum / weights);
        }
      }
    }
    assertArrayEquals(expected, apply(a).values(), 1e-5f);
  }

  @Test
  void superResolutionMultipliesTheSize() {
    SuperResolution spec = new SuperResolution(4, SuperResolution.Kernel.AVERAGE);
    assertEquals(
        new Shape(3, 28, 20), SuperResolution.KIND.factory().imageShape(spec, new Shape(3, 7, 5)));
    assertEquals(
        new Shape(3, 7, 5), Identity.KIND.factory().imageShape(new Identity(), new Shape(3, 7, 5)));
  }

  @Test
  void randomMaskLosesExactlyTheFractionAndRepeats() {
    Shape shape = new Shape(3, 20, 30);
    OperatorKind.Factory<Inpainting> factory = Inpainting.KIND.factory();
    Inpainting spec = new Inpainting(null, 0.7, null);
    OperatorKind.Drawn drawn = factory.create(spec, shape, new NoiseSource(1));
    HostTensor mask = drawn.artifacts().get("mask");
    assertEquals(new Shape(1, 20, 30), mask.shape());
    int missing = 0;
    for (float v : mask.values()) {
      missing += (int) v;
    }
    assertEquals(420, missing);
    assertEquals(3 * 180, drawn.operator().observedCount());
    assertEquals(mask, factory.create(spec, shape, new NoiseSource(1)).artifacts().get("mask"));
    assertTrue(
        !mask.equals(factory.create(spec, shape, new NoiseSource(2)).artifacts().get("mask")));
    // The stored mask gives the same operator without another draw.
    ForwardOperator again =
        factory.create(new Inpainting(mask, null, null), shape, null).operator();
    assertEquals(drawn.operator().observed(), again.observed());
  }

  @Test
  void boxLosesTheRectangle() {
    HostTensor observed =
        Inpainting.KIND
            .factory()
            .create(new Inpainting(null, null, "2,1,3,2"), new Shape(1, 4, 6), null)
            .operator()
            .observed();
    assertArrayEquals(
        new float[] {
          1, 1, 1, 1, 1, 1, //
          1, 1, 0, 0, 0, 1, //
          1, 1, 0, 0, 0, 1, //
          1, 1, 1, 1, 1, 1
        },
        observed.values());
  }

  @Test
  void parametersAreRefusedByName() {
    Shape shape = new Shape(3, 4, 6);
    refuses("mask", () -> inpainting(null, null, null));
    refuses("mask", () -> inpainting(null, 0.5, "0,0,1,1"));
    refuses(
        "mask", () -> inpainting(new HostTensor(new Shape(1, 4, 5), new float[20]), null, null));
    float[] values = new float[24];
    values[3] = Float.NaN;
    refuses("mask", () -> inpainting(new HostTensor(new Shape(1, 4, 6), values), null, null));
    refuses("random", () -> inpainting(null, 1.0, null));
    refuses("random", () -> inpainting(null, 1.5, null));
    for (String box : List.of("1,2,3", "a,b,c,d", "0,0,0,1", "4,0,3,1", "0,3,1,2", "-1,0,1,1")) {
      refuses("box", () -> inpainting(null, null, box));
    }
    refuses("box", () -> inpainting(null, null, "99999999,99999999,99999999,99999999"));
    refuses("mask", () -> inpainting(null, null, "0,0,6,4"));
    refuses("factor", () -> new SuperResolution(33, SuperResolution.Kernel.AVERAGE).on(shape));
    refuses("sigma", () -> new GaussianBlur(Double.NaN, Boundary.REFLECT).on(shape));
    refuses("sigma", () -> new GaussianBlur(null, Boundary.REFLECT).on(shape));
    refuses("length", () -> new MotionBlur(0.5, 0, Boundary.REFLECT).on(shape));
    refuses("kernel", () -> custom(new Shape(2, 2), 0, 0, 0, 0).on(shape));
    refuses("kernel", () -> custom(new Shape(2, 2), 1, -1, 0, 0).on(shape));
    refuses("kernel", () -> custom(new Shape(2, 2), 1, Float.POSITIVE_INFINITY, 0, 0).on(shape));
    refuses("kernel", () -> custom(new Shape(4), 1, 1, 1, 1).on(shape));
    refuses("kernel", () -> custom(new Shape(2, 2, 1), 1, 1, 1, 1).on(shape));
    Shape ribbon = new Shape(3, 1, 1_000_000);
    refuses("image", () -> new GaussianBlur(2.0, Boundary.REFLECT).on(ribbon));
    refuses("image", () -> new SuperResolution(2, SuperResolution.Kernel.AVERAGE).on(ribbon));
    refuses("image", () -> new MotionBlur(5.0, 0, Boundary.REPLICATE).on(ribbon));
    refuses("image", () -> new Identity().on(new Shape(4, 6)));
  }

  private static ForwardOperator inpainting(HostTensor mask, Double random, String box) {
    return Inpainting.KIND
        .factory()
        .create(new Inpainting(mask, random, box), new Shape(3, 4, 6), new NoiseSource(0))
        .operator();
  }

  private static CustomBlur custom(Shape shape, float... values) {
    return new CustomBlur(new HostTensor(shape, values), Boundary.REFLECT);
  }

  private static void refuses(String field, Runnable call) {
    PriorArtException e = assertThrows(PriorArtException.class, call::run);
    assertEquals(field, e.details().get("field"), e.getMessage());
  }

  @Test
  void compositionActsInOrder() {
    Shape shape = new Shape(2, H, W);
    LinearOperator blur = new GaussianBlur(1.5, Boundary.REFLECT).on(shape);
    ForwardOperator mask =
        Inpainting.KIND
            .factory()
            .create(new Inpainting(null, null, "0,0,7,9"), shape, null)
            .operator();
    ForwardOperator blurFirst = ComposedOperator.of(List.of(blur, mask));
    ForwardOperator maskFirst = ComposedOperator.of(List.of(mask, blur));
    assertEquals(mask.observed(), blurFirst.observed());
    assertEquals(null, maskFirst.observed());
    assertTrue(!apply(blurFirst).equals(apply(maskFirst)));
    assertTrue(blurFirst instanceof LinearOperator);
    assertEquals(blur, ComposedOperator.of(List.of(blur)));
    refuses("operators", () -> ComposedOperator.of(List.of()));
    refuses(
        "operators[1]",
        () -> ComposedOperator.of(List.of(blur, new Identity().on(new Shape(2, 3, 3)))));
  }

  /** {@code A(x) = x^2}: what makes a composition nonlinear. */
  private record Square(Shape imageShape) implements ForwardOperator {
    @Override
    public Shape measurementShape() {
      return imageShape;
    }

    @Override
    public NDArray apply(NDArray x) {
      return x.square();
    }

    @Override
    public Linearization at(NDArray x) {
      NDArray value = x.square();
      return Linearization.linear(value, cotangent -> cotangent.mul(x).mul(2));
    }
  }

  @Test
  void compositionWithANonlinearPartFollowsTheChainRule() {
    Shape shape = new Shape(2, H, W);
    LinearOperator blur = new GaussianBlur(1.5, Boundary.REFLECT).on(shape);
    LinearOperator small = new SuperResolution(2, SuperResolution.Kernel.BICUBIC).on(shape);
    ForwardOperator a = ComposedOperator.of(List.of(blur, new Square(shape), small));
    assertTrue(!(a instanceof LinearOperator));
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray x = PICTURE.to(manager);
      NDArray v = new NoiseSource(9).normal(manager, new Shape(1).addAll(a.measurementShape()));
      try (Linearization at = a.at(x)) {
        assertEquals(HostTensor.of(a.apply(x)), HostTensor.of(at.value()));
        NDArray expected = blur.adjoint(small.adjoint(v).mul(blur.apply(x)).mul(2));
        assertArrayEquals(expected.toFloatArray(), at.pullback(v).toFloatArray(), 1e-5f);
      }
    }
  }

  @Test
  void conjugateGradientsSolveEachPictureAndReport() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray scale = manager.create(new float[] {1, 2, 4, 8, 16, 3});
      NDArray b = manager.create(new float[] {1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0}, new Shape(2, 6));
      int[] checked = new int[1];
      ConjugateGradient.Result result =
          ConjugateGradient.DEFAULT.solve(v -> v.mul(scale), b, b.onesLike(), () -> checked[0]++);
      assertArrayEquals(
          new float[] {1, 1, 0.75f, 0.5f, 0.3125f, 2},
          result.value().get("0").toFloatArray(),
          1e-4f);
      assertTrue(result.iterations() <= 300);
      assertEquals(result.iterations() + 1, checked[0]);
      NDArray easy = b.get("0:1");
      ConjugateGradient.Result alone =
          ConjugateGradient.DEFAULT.solve(v -> v.mul(scale), easy, easy.zerosLike(), () -> {});
      assertTrue(alone.relativeResidual() <= 1e-5 && alone.iterations() <= 8);
      int[] applied = new int[1];
      ConjugateGradient.Result fromZero =
          ConjugateGradient.DEFAULT.solve(
              v -> {
                applied[0]++;
                return v.mul(scale);
              },
              easy,
              () -> {});
      assertArrayEquals(alone.value().toFloatArray(), fromZero.value().toFloatArray());
      assertEquals(fromZero.iterations(), applied[0]);
      assertThrows(
          PriorArtException.class,
          () ->
              ConjugateGradient.DEFAULT.solve(
                  v -> v.mul(Float.NaN), easy, easy.zerosLike(), () -> {}));
      assertThrows(
          IllegalStateException.class,
          () ->
              ConjugateGradient.DEFAULT.solve(
                  v -> v.mul(scale),
                  easy,
                  easy.zerosLike(),
                  () -> {
                    throw new IllegalStateException("cancelled");
                  }));
    }
  }

  /** Skew parts that conjugate gradients cannot take; each picture as if alone. */
  @Test
  void gmresSolvesWhatIsNotSymmetric() {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray matrix =
          manager.create(
              new float[] {4, 1, 0, -2, -1, 3, 2, 0, 0, -2, 5, 1, 2, 0, -1, 6}, new Shape(4, 4));
      UnaryOperator<NDArray> times = v -> v.matMul(matrix);
      NDArray b = manager.create(new float[] {1, 2, 3, 4, 0, -1, 0, 2}, new Shape(2, 4));
      ConjugateGradient.Result whole = new Gmres(1e-5, 4).solve(times, b, () -> {});
      assertArrayEquals(b.toFloatArray(), times.apply(whole.value()).toFloatArray(), 1e-4f);
      assertTrue(whole.relativeResidual() < 1e-5);
      double before = 1;
      for (int k = 1; k < 4; k++) {
        double[] left = new double[2];
        for (int n = 0; n < 2; n++) {
          NDArray own = b.get(n + ":" + (n + 1));
          NDArray alone = new Gmres(1e-5, k).solve(times, own, () -> {}).value();
          NDArray together = new Gmres(1e-5, k).solve(times, b, () -> {}).value();
          assertArrayEquals(
              alone.toFloatArray(), together.get(n + ":" + (n + 1)).toFloatArray(), 1e-5f);
          left[n] = own.sub(times.apply(alone)).norm().getFloat() / own.norm().getFloat();
        }
        double worst = Math.max(left[0], left[1]);
        assertTrue(worst < before, k + ": " + worst);
        assertEquals(worst, new Gmres(1e-5, k).solve(times, b, () -> {}).relativeResidual(), 1e-4);
        before = worst;
      }
      NDArray none = manager.zeros(new Shape(1, 4));
      assertEquals(0, new Gmres(1e-5, 4).solve(times, none, () -> {}).iterations());
      assertThrows(
          PriorArtException.class,
          () -> new Gmres(1e-5, 4).solve(v -> v.mul(Float.NaN), b, () -> {}));
      assertThrows(PriorArtException.class, () -> new Gmres(1e-5, 0));
    }
  }

  /** Of ones: columns and rows along the axes, and all that there is in every direction. */
  @Test
  void projectionsAreSumsAlongRays() {
    int side = 7;
    LinearOperator ct = new SparseViewCt(4).on(new Shape(1, side, side));
    int detectors = (int) ct.measurementShape().get(2);
    assertEquals(11, detectors);
    try (NDManager manager = NDManager.newBaseManager()) {
      float[] y = ct.apply(manager.ones(new Shape(1, 1, side, side))).toFloatArray();
      for (int k = 0; k < 4; k++) {
        double total = 0;
        for (int d = 0; d < detectors; d++) {
          double value = y[k * detectors + d] * side * Math.sqrt(2);
          total += value;
          boolean along = k % 2 == 0;
          assertEquals(y[k * detectors + detectors - 1 - d], y[k * detectors + d], 1e-6);
          if (along) {
            assertEquals(Math.abs(d - detectors / 2) <= side / 2 ? side : 0, value, 1e-4);
          }
        }
        assertEquals(side * side, total, 1e-3);
      }
    }
  }
}
