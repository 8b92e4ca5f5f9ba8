package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.Problem;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.method.FinalDataStep;
import io.priorart.solver.method.Solvers;
import io.priorart.solver.operator.Operators;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Two hundred solves leave nothing behind: no array, and no resident memory. */
class SolveMemoryTest {
  private static final int BATCHES = 8;
  private static final int WARM_UP = 2;
  private static final int BATCH = 25;

  /**
   * In kB, of the median batch: what leaks, leaks in each, while the JVM's own growth (compiled
   * code, a heap's new pages, allocators' pools, up to 10 MB at once) comes and goes.
   */
  private static final long MOST_GROWTH = 1_000;

  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path FIXTURE =
      Path.of(System.getProperty("priorart.home"), "testdata", "fixtures", "sd-two-level");

  @ParameterizedTest
  @CsvSource({"prox-diffusion, 2", "dps, 2", "resample, 10"})
  void twoHundredSolvesDoNotGrow(String id, String steps) throws IOException {
    assumeTrue(Files.exists(STATUS), "resident memory is read from /proc");
    try (Prior pipeline = ModelFamilies.load(FIXTURE, CompileOptions.REFERENCE)) {
      LatentDiffusionModel model = pipeline.bind(32, 32);
      InverseSolver solver = solver(new Solvers().byId(id), steps);
      Problem problem = problem(Operators.byId("gaussian-blur"));
      for (int i = 0; i < WARM_UP; i++) {
        solveBatch(solver, problem, model);
      }
      int arrays = model.manager().getManagedArrays().size();
      long[] grown = new long[BATCHES - WARM_UP];
      long resident = residentKilobytes();
      for (int i = 0; i < grown.length; i++) {
        solveBatch(solver, problem, model);
        grown[i] = residentKilobytes() - resident;
        resident += grown[i];
      }
      assertEquals(arrays, model.manager().getManagedArrays().size());
      long median = Arrays.stream(grown).sorted().toArray()[(grown.length - 1) / 2];
      assertTrue(median < MOST_GROWTH, id + " grew by kB of " + Arrays.toString(grown));
    }
  }

  private static <P extends Record> InverseSolver solver(SolverMethod<P> method, String steps) {
    return method
        .create()
        .apply(
            ParameterSchema.of(method.spec())
                .bind("solver", Map.of("steps", steps), method.defaults()));
  }

  private static <P extends Record> Problem problem(OperatorKind<P> kind) {
    Shape shape = new Shape(3, 32, 32);
    P spec = ParameterSchema.of(kind.spec()).bind("", Map.of("sigma", "2"), kind.defaults());
    HostTensor y = new NoiseSource(1).normal(new Shape(1, 3, 32, 32));
    return new Problem(
        kind.factory().create(spec, shape, new NoiseSource(2)).operator(),
        y,
        new Noise.Gaussian(0.05),
        0);
  }

  private static void solveBatch(
      InverseSolver solver, Problem problem, LatentDiffusionModel model) {
    for (int i = 0; i < BATCH; i++) {
      try (NDManager manager = model.manager().newSubManager()) {
        SolveContext context =
            new SolveContext(
                manager,
                model.condition(manager, new Prompt("", "", 1)),
                i,
                SolveListener.NONE,
                () -> false,
                null);
        FinalDataStep.apply(problem, solver.solve(problem, model, context));
      }
    }
    System.gc(); // or the Java heap's own growth would be what is measured
  }

  private static long residentKilobytes() throws IOException {
    String line =
        Files.readAllLines(STATUS).stream()
            .filter(l -> l.startsWith("VmRSS:"))
            .findFirst()
            .orElseThrow();
    return Long.parseLong(line.replaceAll("\\D", ""));
  }
}
