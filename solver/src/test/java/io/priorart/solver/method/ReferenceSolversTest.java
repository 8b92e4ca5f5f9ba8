package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.google.gson.Gson;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolveState;
import io.priorart.solver.SolveStates;
import io.priorart.solver.TimestepSpacing;
import io.priorart.solver.inversion.Inversion;
import io.priorart.solver.inversion.NullText;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Our solvers against other people's programs, step by step: the same exact denoiser, operator and
 * draws. {@code testdata/fixtures/make_solvers.py} says what ran.
 */
class ReferenceSolversTest {
  private static final double WITHIN = 1e-3;

  /** A run as the file has it; what a solver has no use for is {@code null}. */
  @SuppressWarnings("unused")
  private static final class Run {
    double[] mean;
    double[][] covariance;
    double[][] a;
    double[] y;
    double sigma;
    double[] levels;
    double[] alpha_bars;
    double[] start;
    double[][] draws = {};
    double[][] states;
    double[][] text;
    double[] prompt;
    double[] clean;
    double[][] codec;
    double[][] first;
    double zeta;
    double step;
    int iterations;
    int evaluations;

    static Run read(String name) throws IOException {
      Path file = Path.of("../testdata/fixtures/solvers", name + ".json");
      return new Gson().fromJson(Files.readString(file), Run.class);
    }

    GaussianLatentModel model(NDManager manager) {
      double[][] map = codec == null ? Matrices.diagonal(mean.length, i -> 1) : codec;
      return new GaussianLatentModel(manager, mean, covariance, map, codec == null) {
        /** Its timesteps are not offset. */
        @Override
        public NoiseSchedule schedule() {
          return new VariancePreservingSchedule(
              BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, false, 0);
        }

        @Override
        double[][] text() {
          return text;
        }
      };
    }

    Problem problem() {
      DenseOperator operator;
      if (a.length == mean.length) {
        float[] known = new float[mean.length];
        for (int i = 0; i < known.length; i++) {
          known[i] = (float) a[i][i];
        }
        operator = new MaskedPixels(known);
      } else {
        operator = new DenseOperator(GaussianLatentModel.IMAGE, GaussianOracle.MEASURED, a);
      }
      return new Problem(
          operator,
          new HostTensor(new Shape(1).addAll(operator.measurementShape()), Matrices.floats(y)),
          new Noise.Gaussian(sigma / 2),
          0);
    }

    /** The draws that the file has, then zeros, which a last step without noise may ask for. */
    NoiseSource noise() {
      List<HostTensor> all = new ArrayList<>();
      Shape shape = codec == null ? GaussianLatentModel.IMAGE : GaussianLatentModel.LATENT;
      all.add(tensor(start, shape));
      Arrays.stream(draws).map(d -> tensor(d, shape)).forEach(all::add);
      for (int i = draws.length; i < states.length; i++) {
        all.add(tensor(new double[mean.length], shape));
      }
      return NoiseSource.recorded(all);
    }

    private static HostTensor tensor(double[] values, Shape shape) {
      return new HostTensor(new Shape(1).addAll(shape), Matrices.floats(values));
    }

    /** What a solver that starts elsewhere goes on from, after its first step. */
    SolveState saved() {
      return first == null
          ? null
          : new SolveState(
              1, Arrays.stream(first).map(v -> tensor(v, GaussianLatentModel.IMAGE)).toList());
    }
  }

  /** Keeps the first array of every state. */
  private static final class Steps implements SolveStates {
    final List<float[]> seen = new ArrayList<>();
    private final SolveState saved;

    Steps(SolveState saved) {
      this.saved = saved;
    }

    @Override
    public SolveState saved() {
      return saved;
    }

    @Override
    public boolean due(int step) {
      return true;
    }

    @Override
    public boolean whenStopped() {
      return false;
    }

    @Override
    public void save(SolveState state) {
      seen.add(state.arrays().get(0).values());
    }
  }

  /** Every state within a thousandth of the largest value of theirs. */
  private static void compare(Run run, LatentSolver solver) {
    try (NDManager manager = NDManager.newBaseManager()) {
      Steps steps = new Steps(run.saved());
      SolveContext context = SolveContext.of(manager, 0).withStates(steps);
      if (run.start != null) {
        context = context.withNoise(run.noise());
      }
      GaussianLatentModel model = run.model(manager);
      NDArray found = solver.solve(run.problem(), model, context);
      steps.seen.add(found.toFloatArray());
      assertEquals(run.states.length, steps.seen.size());
      for (int i = 0; i < run.states.length; i++) {
        close(run.states[i], manager.create(steps.seen.get(i)), "step " + (i + 1));
      }
      if (run.evaluations > 0) {
        assertEquals(run.evaluations, model.counts().denoise());
      }
    }
  }

  private static void requireLevels(Run run, int steps, double start) {
    try (NDManager manager = NDManager.newBaseManager()) {
      double[] ours = NoiseLevels.karras(run.model(manager).schedule(), steps, start, 0.02);
      assertArrayEquals(run.levels, Arrays.copyOf(ours, steps), 1e-4);
    }
  }

  @Test
  void mmps() throws IOException {
    Run run = Run.read("mmps");
    requireLevels(run, 20, 1000);
    compare(run, new Mmps(new Mmps.Spec(20, run.iterations, Mmps.Krylov.CG, 1, 1000, 0.02)));
  }

  @Test
  void diffPir() throws IOException {
    Run run = Run.read("diffpir");
    requireLevels(run, 20, 1000);
    compare(run, new DiffPir(new DiffPir.Spec(20, 7, 0, 1000, 0.02)));
  }

  @Test
  void dps() throws IOException {
    Run run = Run.read("dps");
    int n = run.states.length;
    try (NDManager manager = NDManager.newBaseManager()) {
      var schedule = run.model(manager).schedule();
      int[] timesteps = schedule.timesteps(n, TimestepSpacing.TRAILING);
      for (int i = 0; i < n; i++) {
        assertEquals(run.alpha_bars[i], schedule.alphaBar(timesteps[i]), 1e-6);
      }
    }
    // ours is told per thousand steps
    compare(run, new Dps(new Dps.Spec(n, run.zeta * n / 1000, false)));
  }

  /**
   * As their program runs with the data noised to the level that a step reaches, which is the one
   * that the rest of the picture then has; it takes the one that the step leaves.
   */
  @Test
  void mcg() throws IOException {
    Run run = Run.read("mcg");
    int n = run.states.length;
    compare(run, new Mcg(new Mcg.Spec(n, run.zeta * n / 1000, 1e-3, false)));
  }

  /**
   * As their program runs with the band at the mean, where nothing of it is drawn, and with the
   * step that it looks for on a grid found by bisection; ours solves for it.
   */
  @Test
  void cdim() throws IOException {
    Run run = Run.read("cdim");
    assertTrue(run.evaluations > run.states.length);
    compare(run, new Cdim(new Cdim.Spec(run.states.length, run.iterations, 0)));
  }

  /**
   * As their program runs on the same levels. Where an embedding's loss is small, theirs makes one
   * update more than ours; here none becomes small.
   */
  @Test
  void nullText() throws IOException {
    Run run = Run.read("null_text");
    int steps = run.states.length;
    try (NDManager manager = NDManager.newBaseManager()) {
      Shape tokens = new Shape(1, GaussianLatentModel.TOKENS, GaussianLatentModel.WIDTH);
      Conditioning guided =
          new Conditioning(
              manager.create(Matrices.floats(run.prompt), tokens), manager.zeros(tokens), 7.5);
      Inversion found =
          new NullText(new NullText.Spec(steps, 1, run.iterations, 1e-2, 1e-5, 1e-3))
              .invert(
                  run.model(manager),
                  Run.tensor(run.clean, GaussianLatentModel.IMAGE).to(manager),
                  new SolveContext(manager, guided, 0, SolveListener.NONE, () -> false, null));
      close(run.start, found.noise(), "noise");
      assertEquals(steps, found.nulls().size());
      for (int i = 0; i < steps; i++) {
        assertEquals(run.iterations, found.steps().get(i).iterations());
        close(run.states[i], found.nulls().get(i), "embedding of step " + (i + 1));
      }
    }
  }

  /**
   * As their program runs with Langevin's rate by the target's curvature, where it has one rate
   * that falls, and with levels that end in a clean picture.
   */
  @Test
  void daps() throws IOException {
    Run run = Run.read("daps");
    int n = run.states.length;
    requireLevels(run, n, 100);
    compare(
        run,
        new Daps(
            new Daps.Spec(
                n, run.evaluations / n, run.iterations, run.step, 0, 0, 100, 0.02, 0.02)));
  }

  /**
   * As their program runs with Adam's usual second beta and with the network's picture not scaled;
   * it gives a picture scaled for another kind of network.
   */
  @Test
  void redDiff() throws IOException {
    Run run = Run.read("red_diff");
    compare(run, new RedDiff(new RedDiff.Spec(run.states.length, run.step, run.zeta)));
  }

  /**
   * As their program runs from the pseudo-inverse, without clipping and with the data weighted by
   * the residual's excess, where it has a table by task.
   */
  @Test
  void latino() throws IOException {
    Run run = Run.read("latino");
    compare(run, new Latino(new Latino.Spec(run.states.length)));
  }

  /** As their program runs, from its state after the first iteration: ours starts elsewhere. */
  @Test
  void lpn() throws IOException {
    Run run = Run.read("lpn");
    compare(run, new Lpn(new Lpn.Spec(run.states.length + 1, run.zeta)));
  }

  private static void close(double[] theirs, NDArray ours, String what) {
    double most = Arrays.stream(theirs).map(Math::abs).max().orElseThrow();
    assertArrayEquals(
        Matrices.floats(theirs), ours.toFloatArray(), (float) (WITHIN * Math.max(1, most)), what);
  }
}
