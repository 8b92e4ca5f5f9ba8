package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.Linearization;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveEvent;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolveState;
import io.priorart.solver.SolveStates;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.SolverMethod.Need;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What every registered solver owes its callers: on 4x4 pictures measured by averages of 2x2
 * pixels, or with four pixels known for solvers of missing pixels alone.
 */
class SolverContractTest {
  private static final GaussianOracle ORACLE = new GaussianOracle(42);

  static Stream<SolverMethod<?>> methods() {
    return new Solvers().list().stream();
  }

  static Stream<SolverMethod<?>> modelMethods() {
    return methods().filter(m -> m.needs().contains(Need.MODEL));
  }

  /** What differs from preset {@code fast} in more than numbers, too. */
  static Stream<SolverMethod<?>> modelMethodsAndLatentPresets() {
    return Stream.concat(
        modelMethods(),
        modelMethods()
            .filter(m -> m.presets().containsKey("latent"))
            .map(SolverContractTest::ofLatentPreset));
  }

  private static <P extends Record> SolverMethod<P> ofLatentPreset(SolverMethod<P> m) {
    P latent = m.presets().get("latent");
    return new SolverMethod<>(
        m.id() + " latent",
        m.summary(),
        m.citations(),
        m.needs(),
        m.spec(),
        Map.of("fast", latent, "paper", latent),
        m.create());
  }

  /** Averages of 2x2 pixels, noting how many arrays the solve holds each time it is applied. */
  private static class Average extends DenseOperator {
    private final List<Integer> held;

    Average(List<Integer> held) {
      super(GaussianLatentModel.IMAGE, new Shape(1, 2, 2), rows());
      this.held = held;
    }

    private static double[][] rows() {
      double[][] a = new double[4][16];
      for (int i = 0; i < 16; i++) {
        a[i / 8 * 2 + i % 4 / 2][i] = 0.25;
      }
      return a;
    }

    @Override
    public NDArray apply(NDArray x) {
      held.add(x.getManager().getManagedArrays().size());
      return super.apply(x);
    }
  }

  /** Four known pixels, watched as {@link Average} is. */
  private static final class Known extends MaskedPixels {
    private final List<Integer> held;

    Known(List<Integer> held) {
      super(1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0);
      this.held = held;
    }

    @Override
    public NDArray apply(NDArray x) {
      held.add(x.getManager().getManagedArrays().size());
      return super.apply(x);
    }
  }

  private static DenseOperator operator(SolverMethod<?> method) {
    return operator(method, new ArrayList<>());
  }

  /**
   * @param held gets how many arrays the solve holds each time the operator is applied
   */
  private static DenseOperator operator(SolverMethod<?> method, List<Integer> held) {
    return method.needs().contains(Need.MASK) ? new Known(held) : new Average(held);
  }

  /** The same map, not known to be linear. */
  private record Opaque(ForwardOperator inner) implements ForwardOperator {
    @Override
    public Shape imageShape() {
      return inner.imageShape();
    }

    @Override
    public Shape measurementShape() {
      return inner.measurementShape();
    }

    @Override
    public NDArray apply(NDArray x) {
      return inner.apply(x);
    }

    @Override
    public Linearization at(NDArray x) {
      return inner.at(x);
    }
  }

  /** A model that fails or returns NaN on demand. */
  private static final class Faulty extends GaussianLatentModel {
    enum Part {
      DENOISE,
      ENCODE,
      DECODE,
      DENOISE_PULLBACK,
      DECODE_PULLBACK,
      ENCODE_PULLBACK,
      TEXT_PULLBACK
    }

    private final Set<Part> forbidden;
    private final Part nanPart;
    private final int nanCall;
    final int[] calls = new int[Part.values().length];

    Faulty(
        NDManager manager, SolverMethod<?> method, Set<Part> forbidden, Part nanPart, int nanCall) {
      super(
          manager,
          ORACLE.mean,
          ORACLE.covariance,
          ORACLE.codec,
          method.needs().contains(Need.PIXEL_SPACE));
      this.forbidden = forbidden;
      this.nanPart = nanPart;
      this.nanCall = nanCall;
    }

    private NDArray visit(Part part, NDArray value) {
      if (forbidden.contains(part)) {
        throw new IllegalStateException(part + " was not declared");
      }
      return calls[part.ordinal()]++ == nanCall && part == nanPart ? value.mul(Float.NaN) : value;
    }

    @Override
    public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
      return visit(Part.DENOISE, super.denoise(z, sigma, conditioning));
    }

    @Override
    public NDArray denoise(NDArray z, NDArray sigma, Conditioning conditioning) {
      return visit(Part.DENOISE, super.denoise(z, sigma, conditioning));
    }

    @Override
    public NDArray encode(NDArray x) {
      return visit(Part.ENCODE, super.encode(x));
    }

    @Override
    public NDArray decode(NDArray z) {
      return visit(Part.DECODE, super.decode(z));
    }

    @Override
    public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
      return watched(super.denoiseAt(z, sigma, conditioning), Part.DENOISE_PULLBACK);
    }

    @Override
    public Linearization decodeAt(NDArray z) {
      return watched(super.decodeAt(z), Part.DECODE_PULLBACK);
    }

    @Override
    public Linearization encodeAt(NDArray x) {
      return watched(super.encodeAt(x), Part.ENCODE_PULLBACK);
    }

    @Override
    public Linearization denoiseAtText(NDArray z, double sigma, Conditioning conditioning) {
      return watched(super.denoiseAtText(z, sigma, conditioning), Part.TEXT_PULLBACK);
    }

    private Linearization watched(Linearization inner, Part part) {
      return Linearization.of(
          inner.value(), cotangent -> visit(part, inner.pullback(cotangent)), inner::close);
    }
  }

  /** Outlives every solve. */
  private static final NDManager TEXTS = NDManager.newBaseManager();

  private static final Conditioning TEXT = GaussianLatentModel.text(TEXTS);

  private static Conditioning text(SolverMethod<?> method) {
    return method.needs().contains(Need.TEXT) ? TEXT : Conditioning.NONE;
  }

  /** With an embedding that moves nothing, where a method needs text. */
  static SolveContext context(SolverMethod<?> method, NDManager manager, long seed) {
    return new SolveContext(manager, text(method), seed, SolveListener.NONE, () -> false, null);
  }

  private static <P extends Record> InverseSolver create(SolverMethod<P> method) {
    return method.create().apply(method.defaults());
  }

  private static Problem problem(ForwardOperator operator) {
    float[] y = {0.3f, -0.6f, 0.1f, 0.8f};
    Shape shape = new Shape(1).addAll(operator.measurementShape());
    return new Problem(
        operator,
        new HostTensor(shape, Arrays.copyOf(y, (int) shape.size())),
        new Noise.Gaussian(0.02),
        2 / 255.0);
  }

  private static float[] solve(SolverMethod<?> method, long seed) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return create(method)
          .solve(
              problem(operator(method)),
              ORACLE.model(manager, method),
              context(method, manager, seed))
          .toFloatArray();
    }
  }

  /** Alone and in a batch, to what float32 sums in another order leave of it. */
  @ParameterizedTest
  @MethodSource("modelMethodsAndLatentPresets")
  void aSampleOfABatchIsThatOfItsSeed(SolverMethod<?> method) {
    float[] batch = solveBatch(method, 7, 3);
    assertArrayEquals(batch, solveBatch(method, 7, 3));
    for (int k = 0; k < 3; k++) {
      float[] own = Arrays.copyOfRange(batch, 16 * k, 16 * (k + 1));
      assertArrayEquals(solve(method, 7 + k), own, 1e-3f, "sample " + k);
    }
    float[] second = Arrays.copyOfRange(batch, 16, 32);
    float[] first = Arrays.copyOf(solveBatch(method, 8, 3), 16);
    assertArrayEquals(second, first, "at another place of an equally large batch");
  }

  private static float[] solveBatch(SolverMethod<?> method, long seed, int samples) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return create(method)
          .solve(
              problem(operator(method)),
              ORACLE.model(manager, method),
              context(method, manager, seed).withSamples(samples))
          .toFloatArray();
    }
  }

  /** Keeps every state; goes on from one. */
  private static final class Kept implements SolveStates {
    private final SolveState from;
    final List<SolveState> states = new ArrayList<>();

    Kept(SolveState from) {
      this.from = from;
    }

    @Override
    public SolveState saved() {
      return from;
    }

    @Override
    public boolean due(int step) {
      return true;
    }

    @Override
    public boolean whenStopped() {
      return true;
    }

    @Override
    public void save(SolveState state) {
      states.add(state);
    }
  }

  @ParameterizedTest
  @MethodSource("modelMethodsAndLatentPresets")
  void goesOnFromAnyStateToTheSameBits(SolverMethod<?> method) {
    Kept whole = new Kept(null);
    float[] expected = solveKeeping(method, whole);
    assertArrayEquals(solveBatch(method, 5, 2), expected, "keeping changes nothing");
    assertFalse(whole.states.isEmpty());
    for (int at : new int[] {0, whole.states.size() / 2, whole.states.size() - 1}) {
      Kept rest = new Kept(whole.states.get(at));
      assertArrayEquals(expected, solveKeeping(method, rest), "from step " + (at + 1));
      assertEquals(whole.states.size() - at - 1, rest.states.size());
    }
  }

  private static float[] solveKeeping(SolverMethod<?> method, SolveStates states) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return create(method)
          .solve(
              problem(operator(method)),
              ORACLE.model(manager, method),
              context(method, manager, 5).withStates(states).withSamples(2))
          .toFloatArray();
    }
  }

  /** Cut short, a solve leaves the estimate of the last step that it ended. */
  @ParameterizedTest
  @MethodSource("modelMethods")
  void cutShortItLeavesTheLastEstimate(SolverMethod<?> method) {
    List<SolveEvent.Preview> previews = new ArrayList<>();
    SolveListener listener =
        new SolveListener() {
          @Override
          public void on(SolveEvent event) {
            if (event instanceof SolveEvent.Preview preview) {
              previews.add(preview);
            }
          }

          @Override
          public boolean wantsPreview(int step) {
            return true;
          }
        };
    for (boolean kept : new boolean[] {true, false}) {
      previews.clear();
      try (NDManager manager = NDManager.newBaseManager()) {
        SolveContext plain =
            new SolveContext(manager, text(method), 5, listener, () -> previews.size() == 3, null);
        SolveContext context = kept ? plain.keepingBest() : plain;
        PriorArtException stopped =
            assertThrows(
                PriorArtException.class,
                () ->
                    create(method)
                        .solve(problem(operator(method)), ORACLE.model(manager, method), context));
        assertEquals(ErrorKind.CANCELLED, stopped.kind());
        if (!kept) {
          assertSame(
              stopped, assertThrows(PriorArtException.class, () -> context.bestInstead(stopped)));
          continue;
        }
        NDArray x = context.bestInstead(stopped);
        assertEquals(previews.get(2).step(), context.cutShortAfter());
        assertEquals(previews.get(2).image(), HostTensor.of(x));
        assertEquals(List.of(x.getUid()), uids(manager));
      }
    }
  }

  /** 1000 / 600 is 1: the first of 600 evenly leading timesteps is the 600th, not the last. */
  @Test
  void stepsThatLeaveTheNoisiestOutAreRefused() {
    ReSample.Spec spec = new ReSample.Spec(600, 10, 40, 500, 40, 1e-2, 2e-2, 0, 0.01, true);
    for (InverseSolver solver : List.of(new Cdim(new Cdim.Spec(600, 3, 0.1)), new ReSample(spec))) {
      try (NDManager manager = NDManager.newBaseManager()) {
        LatentDiffusionModel model = ORACLE.model(manager, true);
        PriorArtException e =
            assertThrows(
                PriorArtException.class,
                () -> solver.solve(ORACLE.problem(), model, SolveContext.of(manager, 0)));
        assertEquals("steps", e.details().get("field"));
      }
    }
  }

  private static void assertKind(ErrorKind kind, Runnable action) {
    PriorArtException e = assertThrows(PriorArtException.class, action::run);
    assertEquals(kind, e.kind(), e.getMessage());
  }

  @ParameterizedTest
  @MethodSource("methods")
  void aSeedRepeatsToTheBit(SolverMethod<?> method) {
    float[] first = solve(method, 7);
    assertArrayEquals(first, solve(method, 7));
    float[] other = solve(method, 8);
    assertEquals(
        method.needs().contains(Need.MODEL) && !method.needs().contains(Need.PROXIMAL),
        !Arrays.equals(first, other),
        "only what has a diffusion prior draws anything");
  }

  @ParameterizedTest
  @MethodSource("methods")
  void theResultIsOnePictureAndNothingElseIsLeft(SolverMethod<?> method) {
    try (NDManager manager = NDManager.newBaseManager()) {
      List<Integer> held = new ArrayList<>();
      DenseOperator operator = operator(method, held);
      NDArray x =
          create(method)
              .solve(problem(operator), ORACLE.model(manager, method), context(method, manager, 1));
      assertEquals(new Shape(1, 1, 4, 4), x.getShape());
      assertEquals(List.of(x.getUid()), uids(manager));
      int half = held.size() / 2;
      if (half > 1) {
        int early = max(held.subList(0, half));
        int late = max(held.subList(half, held.size()));
        // An inner iteration deeper, not an array a step.
        assertTrue(late <= early + 8, "arrays held grow: " + held);
      }
    }
  }

  private static int max(List<Integer> values) {
    return values.stream().mapToInt(v -> v).max().orElseThrow();
  }

  private static List<String> uids(NDManager manager) {
    return manager.getManagedArrays().stream().map(NDArray::getUid).toList();
  }

  @ParameterizedTest
  @MethodSource("methods")
  void stepsAreCountedAndPreviewsGivenOnRequest(SolverMethod<?> method) {
    List<SolveEvent.Step> steps = new ArrayList<>();
    List<SolveEvent.Preview> previews = new ArrayList<>();
    SolveListener listener =
        new SolveListener() {
          @Override
          public void on(SolveEvent event) {
            if (event instanceof SolveEvent.Step step) {
              steps.add(step);
            } else if (event instanceof SolveEvent.Preview preview) {
              previews.add(preview);
            }
          }

          @Override
          public boolean wantsPreview(int step) {
            return step == 2;
          }
        };
    try (NDManager manager = NDManager.newBaseManager()) {
      create(method)
          .solve(
              problem(operator(method)),
              ORACLE.model(manager, method),
              new SolveContext(manager, text(method), 1, listener, () -> false, null));
    }
    assertFalse(steps.isEmpty());
    for (int i = 0; i < steps.size(); i++) {
      assertEquals(i + 1, steps.get(i).step());
      assertTrue(steps.get(i).step() <= steps.get(i).totalSteps());
      double residual = steps.get(i).residualRms();
      assertTrue(residual >= 0 || Double.isNaN(residual));
    }
    assertTrue(steps.stream().anyMatch(s -> s.residualRms() >= 0));
    if (method.needs().contains(Need.MODEL)) {
      assertEquals(1, previews.size());
      assertEquals(2, previews.get(0).step());
      assertEquals(new Shape(1, 1, 4, 4), previews.get(0).image().shape());
    }
  }

  @ParameterizedTest
  @MethodSource("methods")
  void cancelsWhereverItIsAndLeavesNothing(SolverMethod<?> method) {
    int polls = pollsBefore(method, Integer.MAX_VALUE);
    for (int k : new int[] {0, 1, 2, polls / 3, polls / 2, polls - 1}) {
      if (k < polls) {
        assertEquals(k + 1, pollsBefore(method, k), "polls after the cancellation");
      }
    }
  }

  /** Polls of a solve that is cancelled at poll {@code k}; checks what it leaves. */
  private static int pollsBefore(SolverMethod<?> method, int k) {
    int[] polls = new int[1];
    BooleanSupplier cancelled = () -> polls[0]++ >= k;
    try (NDManager manager = NDManager.newBaseManager()) {
      SolveContext context =
          new SolveContext(manager, text(method), 1, SolveListener.NONE, cancelled, null);
      Runnable solve =
          () ->
              create(method)
                  .solve(problem(operator(method)), ORACLE.model(manager, method), context);
      if (k == Integer.MAX_VALUE) {
        solve.run();
      } else {
        assertKind(ErrorKind.CANCELLED, solve);
        assertEquals(List.of(), uids(manager));
      }
    }
    return polls[0];
  }

  @ParameterizedTest
  @MethodSource("methods")
  void keepsItsDeadline(SolverMethod<?> method) {
    try (NDManager manager = NDManager.newBaseManager()) {
      SolveContext context =
          new SolveContext(
              manager, text(method), 1, SolveListener.NONE, () -> false, Duration.ZERO);
      assertKind(
          ErrorKind.DEADLINE_EXCEEDED,
          () ->
              create(method)
                  .solve(problem(operator(method)), ORACLE.model(manager, method), context));
      assertEquals(List.of(), uids(manager));
    }
  }

  @ParameterizedTest
  @MethodSource("modelMethods")
  void notANumberFromTheModelIsReported(SolverMethod<?> method) {
    for (Faulty.Part part : Faulty.Part.values()) {
      int calls = calls(method, part, -1);
      for (int k : new int[] {0, calls / 2, calls - 1}) {
        if (k >= 0 && k < calls) {
          try (NDManager manager = NDManager.newBaseManager()) {
            Faulty model = new Faulty(manager, method, Set.of(), part, k);
            assertKind(
                ErrorKind.DIVERGED,
                () ->
                    create(method)
                        .solve(problem(operator(method)), model, context(method, manager, 1)));
            assertEquals(List.of(), uids(manager));
          }
        }
      }
    }
  }

  private static int calls(SolverMethod<?> method, Faulty.Part part, int nanCall) {
    try (NDManager manager = NDManager.newBaseManager()) {
      Faulty model = new Faulty(manager, method, Set.of(), part, nanCall);
      create(method).solve(problem(operator(method)), model, context(method, manager, 1));
      return model.calls[part.ordinal()];
    }
  }

  /** Each need both ways: what is declared is really used, what is not declared is not touched. */
  @ParameterizedTest
  @MethodSource("methods")
  void needsWhatItDeclaresAndNothingElse(SolverMethod<?> method) {
    Set<Need> needs = method.needs();
    try (NDManager manager = NDManager.newBaseManager()) {
      Problem linear = problem(operator(method));
      Problem opaque = problem(new Opaque(operator(method)));
      Runnable onOpaque =
          () ->
              create(method)
                  .solve(opaque, ORACLE.model(manager, method), context(method, manager, 1));
      Runnable withoutModel = () -> create(method).solve(linear, null, context(method, manager, 1));
      if (needs.contains(Need.MASK)) {
        Problem averages = problem(new Average(new ArrayList<>()));
        assertKind(
            ErrorKind.FAILED_PRECONDITION,
            () ->
                create(method)
                    .solve(averages, ORACLE.model(manager, method), context(method, manager, 1)));
      }
      if (needs.contains(Need.LINEAR)) {
        assertKind(ErrorKind.FAILED_PRECONDITION, onOpaque);
      } else {
        assertDoesNotThrow(onOpaque::run);
      }
      if (!needs.contains(Need.MODEL)) {
        assertDoesNotThrow(withoutModel::run);
        return;
      }
      assertKind(ErrorKind.FAILED_PRECONDITION, withoutModel);
      Runnable onLatents =
          () ->
              create(method)
                  .solve(linear, ORACLE.model(manager, false), context(method, manager, 1));
      if (needs.contains(Need.PIXEL_SPACE)) {
        assertKind(ErrorKind.FAILED_PRECONDITION, onLatents);
      } else {
        assertDoesNotThrow(onLatents::run);
        assertDoesNotThrow(
            () ->
                create(method)
                    .solve(linear, ORACLE.model(manager, true), context(method, manager, 1)),
            "a pixel-space prior is a latent one with the identity");
      }
      if (needs.contains(Need.TEXT)) {
        assertKind(
            ErrorKind.FAILED_PRECONDITION,
            () ->
                create(method)
                    .solve(linear, ORACLE.model(manager, method), SolveContext.of(manager, 1)));
      }
      GaussianLatentModel oneLevel =
          new GaussianLatentModel(
              manager,
              ORACLE.mean,
              ORACLE.covariance,
              ORACLE.codec,
              needs.contains(Need.PIXEL_SPACE)) {
            @Override
            public boolean noiseMap() {
              return false;
            }
          };
      Runnable withoutMap =
          () -> create(method).solve(linear, oneLevel, context(method, manager, 1));
      if (needs.contains(Need.NOISE_MAP)) {
        assertKind(ErrorKind.FAILED_PRECONDITION, withoutMap);
      } else {
        assertDoesNotThrow(withoutMap::run);
      }
      GaussianLatentModel diffusion =
          new GaussianLatentModel(
              manager,
              ORACLE.mean,
              ORACLE.covariance,
              ORACLE.codec,
              needs.contains(Need.PIXEL_SPACE)) {
            @Override
            public LearnedProximal proximal() {
              return null;
            }
          };
      Runnable onDiffusion =
          () -> create(method).solve(linear, diffusion, context(method, manager, 1));
      if (needs.contains(Need.PROXIMAL)) {
        assertKind(ErrorKind.FAILED_PRECONDITION, onDiffusion);
      } else {
        assertDoesNotThrow(onDiffusion::run);
      }
      Map<Need, Faulty.Part> gradients =
          Map.of(
              Need.DECODER_GRADIENT, Faulty.Part.DECODE_PULLBACK,
              Need.ENCODER_GRADIENT, Faulty.Part.ENCODE_PULLBACK,
              Need.DENOISER_GRADIENT, Faulty.Part.DENOISE_PULLBACK,
              Need.TEXT_GRADIENT, Faulty.Part.TEXT_PULLBACK);
      for (Map.Entry<Need, Faulty.Part> gradient : gradients.entrySet()) {
        Need need = gradient.getKey();
        Faulty.Part part = gradient.getValue();
        Faulty model = new Faulty(manager, method, Set.of(part), part, -1);
        Runnable solve = () -> create(method).solve(linear, model, context(method, manager, 1));
        if (needs.contains(need)) {
          assertThrows(IllegalStateException.class, solve::run);
        } else {
          assertDoesNotThrow(solve::run);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("modelMethods")
  void aModelOfAnotherSizeIsRefused(SolverMethod<?> method) {
    DenseOperator other = new DenseOperator(new Shape(1, 2, 8), new Shape(1, 2, 2), Average.rows());
    try (NDManager manager = NDManager.newBaseManager()) {
      assertKind(
          ErrorKind.FAILED_PRECONDITION,
          () ->
              create(method)
                  .solve(
                      problem(other), ORACLE.model(manager, method), context(method, manager, 1)));
    }
  }

  @ParameterizedTest
  @MethodSource("methods")
  void thePaperPresetRuns(SolverMethod<?> method) {
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray x =
          createPaper(method)
              .solve(
                  problem(operator(method)),
                  ORACLE.model(manager, method),
                  context(method, manager, 1));
      assertEquals(new Shape(1, 1, 4, 4), x.getShape());
    }
  }

  private static <P extends Record> InverseSolver createPaper(SolverMethod<P> method) {
    return method.create().apply(method.presets().get("paper"));
  }

  /** The budget: the default takes under forty network evaluations of the denoiser. */
  @ParameterizedTest
  @MethodSource("methods")
  void presetsAreWhatTheyPromise(SolverMethod<?> method) {
    assertTrue(method.id().matches("[a-z0-9]+(-[a-z0-9]+)*"));
    assertNotEquals("", method.summary());
    if (method == new Solvers().defaultMethod()) {
      assertTrue(calls(method, Faulty.Part.DENOISE, -1) < 40);
      assertEquals(0, calls(method, Faulty.Part.DENOISE_PULLBACK, -1));
    }
    if (method.needs().contains(Need.MODEL)) {
      assertTrue(method.citation().contains("arXiv"));
    }
  }
}
