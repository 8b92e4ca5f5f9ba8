package io.priorart.solver.operator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.SingularOps_DDRM;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What every linear operator owes, held against every registered one and some compositions. */
class OperatorContractTest {
  /** An operator under test; the name is what reports show. */
  record Case(String name, String id, LinearOperator operator) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static final HostTensor KERNEL =
      new HostTensor(new Shape(3, 4), new float[] {1, 2, 0, 1, 0, 5, 3, 0.5f, -0.5f, 1, 2, 0});

  private static final List<Shape> SHAPES =
      List.of(new Shape(3, 9, 13), new Shape(1, 12, 8), new Shape(3, 3, 5));

  private NDManager manager;
  private NoiseSource noise;

  @BeforeEach
  void open() {
    manager = NDManager.newBaseManager();
    noise = new NoiseSource(7);
  }

  @AfterEach
  void close() {
    JniUtils.setGradMode(false);
    manager.close();
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (Shape shape : SHAPES) {
      for (Map<String, Object> values :
          List.<Map<String, Object>>of(
              Map.of("random", 0.7), Map.of("box", "1,0,3,2"), Map.of("mask", stripes(shape)))) {
        add(cases, "inpainting", values, shape);
      }
      for (String kernel : List.of("average", "bicubic")) {
        add(cases, "super-resolution", Map.of("factor", 2, "kernel", kernel), shape);
        add(cases, "super-resolution", Map.of("factor", 5, "kernel", kernel), shape);
      }
      for (String boundary : List.of("reflect", "circular", "replicate")) {
        add(cases, "gaussian-blur", Map.of("sigma", 1.3, "boundary", boundary), shape);
        add(cases, "motion-blur", Map.of("length", 7.5, "angle", 33, "boundary", boundary), shape);
        add(cases, "custom-blur", Map.of("kernel", KERNEL, "boundary", boundary), shape);
      }
      if (shape.get(0) == 3) {
        add(cases, "grayscale", Map.of(), shape);
      }
      add(cases, "sparse-view-ct", Map.of("views", 4), shape);
      add(cases, "sparse-view-ct", Map.of("views", 11), shape);
      add(cases, "identity", Map.of(), shape);
      LinearOperator blur = build("gaussian-blur", Map.of("sigma", 0.8), shape);
      LinearOperator small = build("super-resolution", Map.of("factor", 2), shape);
      LinearOperator lossy = build("inpainting", Map.of("random", 0.3), small.measurementShape());
      cases.add(
          new Case("weighted " + shape, "composed", new WeightedOperator(blur, weights(blur))));
      cases.add(
          new Case(
              "composed " + shape,
              "composed",
              (LinearOperator) ComposedOperator.of(List.of(blur, small, lossy))));
    }
    return cases.stream();
  }

  /** The same for all channels, as {@link #matrix} wants them. */
  private static HostTensor weights(LinearOperator a) {
    Shape shape = new Shape(1).addAll(a.measurementShape());
    float[] values = new float[(int) shape.size()];
    int plane = (int) (shape.get(2) * shape.get(3));
    for (int i = 0; i < values.length; i++) {
      values[i] = 0.5f + i % plane % 5 / 4f;
    }
    return new HostTensor(shape, values);
  }

  private static HostTensor stripes(Shape shape) {
    Shape mask = new Shape(1, shape.get(1), shape.get(2));
    float[] values = new float[(int) mask.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = i % 3 == 0 ? 1 : 0;
    }
    return new HostTensor(mask, values);
  }

  private static void add(List<Case> cases, String id, Map<String, ?> values, Shape shape) {
    cases.add(new Case(id + " " + values + " " + shape, id, build(id, values, shape)));
  }

  private static LinearOperator build(String id, Map<String, ?> values, Shape shape) {
    return build(Operators.byId(id), values, shape);
  }

  private static <P extends Record> LinearOperator build(
      OperatorKind<P> kind, Map<String, ?> values, Shape shape) {
    P spec = ParameterSchema.of(kind.spec()).bind("", values, kind.defaults());
    return (LinearOperator) kind.factory().create(spec, shape, new NoiseSource(3)).operator();
  }

  @Test
  void coversEveryRegisteredOperator() {
    Set<String> registered = new HashSet<>();
    Operators.list().forEach(kind -> registered.add(kind.id()));
    Set<String> covered = new HashSet<>();
    cases().forEach(c -> covered.add(c.id));
    covered.remove("composed");
    assertEquals(registered, covered);
  }

  @Test
  void namesTheNearestOperator() {
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> Operators.byId("gausian-blur"));
    assertEquals(ErrorKind.NOT_FOUND, e.kind());
    assertEquals("gaussian-blur", e.details().get("nearest"));
  }

  private NDArray image(LinearOperator a) {
    return noise.normal(manager, new Shape(2).addAll(a.imageShape()));
  }

  private NDArray measurement(LinearOperator a) {
    return noise.normal(manager, new Shape(2).addAll(a.measurementShape()));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void measuresWhatItSays(Case c) {
    LinearOperator a = c.operator;
    NDArray x = image(a);
    NDArray y = a.apply(x);
    assertEquals(new Shape(2).addAll(a.measurementShape()), y.getShape());
    // Pictures of a batch do not touch each other.
    close(a.apply(x.get("1:2")), y.get("1:2"), 1e-5, "batch");
    // Linear.
    NDArray x2 = image(a);
    close(a.apply(x.mul(2).add(x2.mul(-3))), y.mul(2).add(a.apply(x2).mul(-3)), 1e-5, "linearity");
    HostTensor observed = a.observed();
    if (observed != null) {
      assertEquals(a.measurementShape(), observed.shape());
      close(y.mul(observed.to(manager)), y, 1e-12, "unobserved entries are 0");
      assertTrue(a.observedCount() < a.measurementShape().size());
    } else {
      assertEquals(a.measurementShape().size(), a.observedCount());
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void adjointIsExact(Case c) {
    LinearOperator a = c.operator;
    NDArray x = image(a);
    NDArray u = measurement(a);
    double left = dot(a.apply(x), u);
    double right = dot(x, a.adjoint(u));
    double scale = Math.sqrt(dot(x, x) * dot(u, u)) * a.norm();
    assertEquals(left, right, 1e-5 * scale);
  }

  /** Fourier transforms and the host drop the graph; the transposed matrix vouches for those. */
  static Stream<Case> differentiable() {
    return cases()
        .filter(c -> !Set.of("motion-blur", "custom-blur", "sparse-view-ct").contains(c.id));
  }

  @ParameterizedTest
  @MethodSource("differentiable")
  void adjointIsAutogradsGradient(Case c) {
    LinearOperator a = c.operator;
    NDArray u = measurement(a);
    JniUtils.setGradMode(true);
    NDArray x = image(a);
    x.setRequiresGradient(true);
    NDArray y = a.apply(x);
    JniUtils.backward((PtNDArray) y, (PtNDArray) u, false, false);
    NDArray gradient = x.getGradient();
    JniUtils.setGradMode(false);
    close(a.adjoint(u), gradient, 1e-5, "adjoint");
    try (Linearization at = a.at(image(a))) {
      close(at.pullback(u), gradient, 1e-5, "pullback");
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void pseudoInverseInvertsUpToTheCut(Case c) {
    LinearOperator a = c.operator;
    double rcond = 0.05;
    NDArray x = image(a);
    NDArray ax = a.apply(x);
    NDArray again = a.apply(a.pseudoInverse(ax, rcond));
    double error = length(again.sub(ax));
    assertTrue(error <= (rcond + 1e-4) * a.norm() * length(x), "A A+ A x misses A x by " + error);
    // A+ y is never longer than the cut allows, so nothing below it was inverted.
    NDArray y = measurement(a);
    NDArray inverse = a.pseudoInverse(y, 0.2);
    assertTrue(length(inverse) <= length(y) / (0.2 * a.norm()) * 1.001);
    // What lies in the row space well above the cut comes back: A+ is not just small.
    double kept = length(again) / length(ax);
    assertTrue(kept > 0.9 && kept < 1.001, "keeps " + kept);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void proximalMapIsOptimal(Case c) {
    LinearOperator a = c.operator;
    NDArray x = image(a);
    NDArray y = measurement(a);
    for (double gamma : new double[] {0.05, 3, 400}) {
      NDArray u = a.proximal(x, y, gamma);
      NDArray left = u.add(a.adjoint(a.apply(u)).mul(gamma));
      NDArray right = x.add(a.adjoint(y).mul(gamma));
      // float32 leaves u wrong by 1e-7 |u|, which the normal equations multiply by up to gamma.
      double allowed =
          (2e-5 * length(right) + 1e-6 * (1 + gamma * a.norm() * a.norm()) * length(u));
      assertTrue(
          length(left.sub(right)) <= allowed,
          gamma + ": misses by " + length(left.sub(right)) + ", allowed " + allowed);
    }
    close(a.proximal(x, y, 0), x, 1e-6, "gamma 0");
    // Consistent data do not move a picture that explains them.
    close(a.proximal(x, a.apply(x), 1e6), x, 1e-3, "fixed point");
  }

  @ParameterizedTest
  @MethodSource("cases")
  void normIsTheLargestSingularValue(Case c) {
    LinearOperator a = c.operator;
    double largest = 0;
    for (double value : SingularOps_DDRM.singularValues(matrix(a))) {
      largest = Math.max(largest, value);
    }
    assertEquals(largest, a.norm(), 1e-3 * largest);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void adjointIsTheTransposedMatrix(Case c) {
    LinearOperator a = c.operator;
    if (mixesChannels(a)) {
      return; // adjointIsAutogradsGradient says it of those
    }
    DMatrixRMaj m = matrix(a);
    int channel = (int) a.measurementShape().size() / (int) a.measurementShape().get(0);
    NDArray unit =
        manager
            .eye(channel)
            .reshape(channel, 1, a.measurementShape().get(1), a.measurementShape().get(2))
            .repeat(1, a.measurementShape().get(0));
    float[] rows = a.adjoint(unit).get(":, 0:1").toFloatArray();
    for (int i = 0; i < m.numRows; i++) {
      for (int j = 0; j < m.numCols; j++) {
        assertEquals(m.get(i, j), rows[i * m.numCols + j], 1e-5, i + ", " + j);
      }
    }
  }

  private static boolean mixesChannels(LinearOperator a) {
    return a.imageShape().get(0) != a.measurementShape().get(0);
  }

  /**
   * The first channel's matrix, or all of it where channels are mixed: all unit pictures in one
   * batch, measured.
   */
  private DMatrixRMaj matrix(LinearOperator a) {
    Shape shape = a.imageShape();
    if (mixesChannels(a)) {
      int size = (int) shape.size();
      NDArray all = a.apply(manager.eye(size).reshape(new Shape(size).addAll(shape)));
      DMatrixRMaj m = new DMatrixRMaj(size, (int) (all.size() / size));
      float[] entries = all.toFloatArray();
      for (int i = 0; i < entries.length; i++) {
        m.data[i] = entries[i];
      }
      return m; // transposed, which no singular value tells
    }
    int pixels = (int) (shape.size() / shape.get(0));
    NDArray unit =
        manager.eye(pixels).reshape(pixels, 1, shape.get(1), shape.get(2)).repeat(1, shape.get(0));
    NDArray columns = a.apply(unit).get(":, 0:1");
    int measured = (int) (columns.size() / pixels);
    float[] values = columns.toFloatArray();
    DMatrixRMaj matrix = new DMatrixRMaj(measured, pixels);
    for (int j = 0; j < pixels; j++) {
      for (int i = 0; i < measured; i++) {
        matrix.set(i, j, values[j * measured + i]);
      }
    }
    return matrix;
  }

  @ParameterizedTest
  @MethodSource("cases")
  void refusesWhatDoesNotFit(Case c) {
    LinearOperator a = c.operator;
    NDArray x = image(a);
    NDArray y = measurement(a);
    NDArray small = manager.ones(a.imageShape());
    NDArray wide = manager.ones(new Shape(2, 3, 99, 98));
    refuses("x", () -> a.apply(small));
    refuses("x", () -> a.apply(wide));
    refuses("x", () -> a.at(wide));
    refuses("x", () -> a.apply(x.toType(DataType.FLOAT64, true)));
    refuses("y", () -> a.adjoint(wide));
    refuses("y", () -> a.pseudoInverse(wide, 0.1));
    refuses("x", () -> a.proximal(wide, y, 1));
    refuses("y", () -> a.proximal(x, wide, 1));
    refuses("y", () -> a.proximal(x, y.get("0:1"), 1));
    refuses("gamma", () -> a.proximal(x, y, -1));
    refuses("gamma", () -> a.proximal(x, y, Double.NaN));
    refuses("rcond", () -> a.pseudoInverse(y, 0));
    refuses("rcond", () -> a.pseudoInverse(y, 1));
  }

  private static void refuses(String field, Callable<?> call) {
    PriorArtException e = assertThrows(PriorArtException.class, call::call);
    assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
    assertEquals(field, e.details().get("field"));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void leavesArgumentsAloneAndFreesEverything(Case c) {
    LinearOperator a = c.operator;
    NDArray x = image(a);
    NDArray y = measurement(a);
    HostTensor xBefore = HostTensor.of(x);
    HostTensor yBefore = HostTensor.of(y);
    a.norm();
    int before = manager.getManagedArrays().size();
    List<NDArray> results = new ArrayList<>();
    try (TensorScope scope = new TensorScope()) {
      results.add(a.apply(x));
      results.add(a.adjoint(y));
      results.add(a.pseudoInverse(y, 0.1));
      results.add(a.proximal(x, y, 2));
      results.add(a.proximal(x, y, 0));
      assertEquals(before + results.size(), manager.getManagedArrays().size());
    }
    assertEquals(before, manager.getManagedArrays().size());
    assertEquals(xBefore, HostTensor.of(x));
    assertEquals(yBefore, HostTensor.of(y));
  }

  @Test
  void manyThreadsShareOneOperator() throws Exception {
    LinearOperator a = build("gaussian-blur", Map.of("sigma", 2), new Shape(3, 31, 33));
    HostTensor x = noise.normal(new Shape(1, 3, 31, 33));
    Callable<HostTensor> work =
        () -> {
          try (NDManager own = NDManager.newBaseManager()) {
            NDArray image = x.to(own);
            return HostTensor.of(a.proximal(image, image, 10));
          }
        };
    ExecutorService pool = Executors.newFixedThreadPool(8);
    try {
      List<Future<HostTensor>> results = new ArrayList<>();
      for (int i = 0; i < 32; i++) {
        results.add(pool.submit(work));
      }
      HostTensor expected = work.call();
      for (Future<HostTensor> result : results) {
        assertEquals(expected, result.get());
      }
    } finally {
      pool.shutdownNow();
    }
  }

  private static double dot(NDArray a, NDArray b) {
    float[] p = a.toFloatArray();
    float[] q = b.toFloatArray();
    double sum = 0;
    for (int i = 0; i < p.length; i++) {
      sum += (double) p[i] * q[i];
    }
    return sum;
  }

  private static double length(NDArray a) {
    return Math.sqrt(dot(a, a));
  }

  private static void close(NDArray actual, NDArray expected, double relative, String what) {
    assertEquals(expected.getShape(), actual.getShape(), what);
    double error = length(actual.sub(expected));
    assertTrue(
        error <= relative * length(expected) + 1e-30,
        what + " is off by " + error + " of " + length(expected));
  }
}
