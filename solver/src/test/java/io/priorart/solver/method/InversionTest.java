package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.TimestepSpacing;
import io.priorart.solver.inversion.DdimInversion;
import io.priorart.solver.inversion.DdimPath;
import io.priorart.solver.inversion.FixedPointInversion;
import io.priorart.solver.inversion.Inversion;
import io.priorart.solver.inversion.Inverter;
import io.priorart.solver.inversion.Inverters;
import io.priorart.solver.inversion.NullText;
import io.priorart.solver.inversion.Rnri;
import java.time.Duration;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Inversions where each step's equation is linear, so that its solution is known. */
class InversionTest {
  private static final int STEPS = 20;
  private static final Shape LATENT = new Shape(1).addAll(GaussianLatentModel.LATENT);

  private final NDManager manager = NDManager.newBaseManager();
  private final GaussianOracle oracle = new GaussianOracle(5);
  private final double[] truth = oracle.priorLatent(new SplittableRandom(9));

  @AfterEach
  void close() {
    manager.close();
  }

  /** What the runtime takes for granted. */
  @Test
  void everyMethodNeedsFloat32() {
    Inverters.BUILT_IN.forEach(m -> assertTrue(m.needs().contains(Need.FLOAT32), m.id()));
  }

  private NDArray latent() {
    return manager.create(Matrices.floats(truth), LATENT);
  }

  private static double distance(NDArray found, double[] wanted) {
    float[] values = found.toFloatArray();
    double sum = 0;
    for (int i = 0; i < wanted.length; i++) {
      sum += (values[i] - wanted[i]) * (values[i] - wanted[i]);
    }
    return Math.sqrt(sum / wanted.length);
  }

  /** {@code (1-c) z + c (mean + G (z - mean)) = z'} solved at each level, in double. */
  private double[] exactNoise(NoiseSchedule schedule, boolean explicit) {
    int[] timesteps = schedule.timesteps(STEPS, TimestepSpacing.TRAILING);
    double[] z = truth;
    double below = 0;
    for (int i = STEPS - 1; i >= 0; i--) {
      double sigma = schedule.sigma(timesteps[i]);
      double c = 1 - below / sigma;
      double[][] gain = GaussianLatentModel.gain(oracle.covariance, sigma);
      double[][] rest =
          Matrices.plus(Matrices.diagonal(truth.length, k -> 1), -1, gain); // z - D is this
      double[] centred = Matrices.plus(z, -1, oracle.mean);
      if (explicit) {
        double grown = Math.sqrt((1 + sigma * sigma) / (1 + below * below));
        double[] guess = Matrices.plus(Matrices.scaled(z, grown), -1, oracle.mean);
        z = Matrices.plus(z, c, Matrices.times(rest, guess));
      } else {
        double[][] a = Matrices.plus(Matrices.diagonal(truth.length, k -> 1), -c, rest);
        z = Matrices.plus(oracle.mean, 1, Matrices.times(Matrices.inverse(a), centred));
      }
      below = sigma;
    }
    return Matrices.scaled(z, 1 / Math.sqrt(1 + below * below));
  }

  private double comesBack(GaussianLatentModel model, Inversion found) {
    NDArray back =
        new DdimPath(model.schedule(), STEPS)
            .forward(
                model, found.noise(), new NDList(), Conditioning.NONE, SolveContext.of(manager, 0));
    return distance(back, truth);
  }

  @Test
  void ddimHasTheErrorOfItsAssumptionAndNoOther() {
    GaussianLatentModel model = oracle.model(manager);
    Inversion found =
        new DdimInversion(new DdimInversion.Spec(STEPS))
            .invert(model, latent(), SolveContext.of(manager, 0));
    assertEquals(STEPS, model.counts().denoise());
    assertEquals(0, distance(found.noise(), exactNoise(model.schedule(), true)), 1e-5);
    assertTrue(distance(found.noise(), exactNoise(model.schedule(), false)) > 1e-2);
    assertTrue(comesBack(model, found) > 1e-2);
  }

  @Test
  void rnriAndFixedPointsReachTheRootOfEveryStep() {
    for (Inverter inverter :
        new Inverter[] {
          new Rnri(new Rnri.Spec(STEPS, 12, 1e-7, 0)),
          new Rnri(new Rnri.Spec(STEPS, 12, 1e-7, 0.1)),
          new FixedPointInversion(new FixedPointInversion.Spec(STEPS, 200, 1e-7))
        }) {
      GaussianLatentModel model = oracle.model(manager);
      Inversion found = inverter.invert(model, latent(), SolveContext.of(manager, 0));
      assertEquals(0, distance(found.noise(), exactNoise(model.schedule(), false)), 5e-6);
      assertEquals(0, comesBack(model, found), 5e-6);
    }
  }

  @Test
  void threeNewtonIterationsAreFarCloserThanDdimForSixTimesItsCost() {
    GaussianLatentModel model = oracle.model(manager);
    SolveContext context = SolveContext.of(manager, 0);
    Inversion plain =
        new DdimInversion(new DdimInversion.Spec(STEPS)).invert(model, latent(), context);
    double before = comesBack(model, plain);
    long calls = model.counts().total();
    Inversion found = new Rnri(Rnri.METHOD.presets().get("fast")).invert(model, latent(), context);
    assertTrue(model.counts().total() - calls <= 6 * STEPS);
    assertTrue(found.steps().stream().allMatch(s -> s.iterations() <= 3));
    assertTrue(comesBack(model, found) < before / 10);
  }

  /** A linear network whose Jacobian's eigenvalues are -1.5 and 0.5: no posterior mean. */
  private GaussianLatentModel expansive() {
    double[][] matrix = Matrices.diagonal(16, i -> i % 2 == 0 ? -1.5 : 0.5);
    return new GaussianLatentModel(manager, oracle.mean, oracle.covariance, oracle.codec) {
      @Override
      public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
        return DenseOperator.Maps.linear(z, matrix, GaussianLatentModel.LATENT);
      }

      @Override
      public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
        return Linearization.linear(
            denoise(z, sigma, conditioning),
            v -> DenseOperator.Maps.linear(v, matrix, GaussianLatentModel.LATENT));
      }
    };
  }

  @Test
  void newtonConvergesWhereTheFixedPointDoesNotContract() {
    // one step to 0: c = 1, and z - D(z) is 2.5 z on half of the space
    Inversion newton =
        new Rnri(new Rnri.Spec(1, 4, 1e-7, 0))
            .invert(expansive(), latent(), SolveContext.of(manager, 0));
    double root = new DdimPathRoot(expansive()).root();
    double[] wanted = new double[16];
    for (int i = 0; i < 16; i++) {
      wanted[i] = truth[i] / (i % 2 == 0 ? -1.5 : 0.5) / root;
    }
    assertEquals(0, distance(newton.noise(), wanted), 1e-5);
    Inversion plain =
        new FixedPointInversion(new FixedPointInversion.Spec(1, 20, 1e-7))
            .invert(expansive(), latent(), SolveContext.of(manager, 0));
    assertTrue(distance(plain.noise(), wanted) > 1);
  }

  private record DdimPathRoot(GaussianLatentModel model) {
    double root() {
      double sigma = model.schedule().sigma(model.schedule().trainTimesteps() - 1);
      return Math.sqrt(1 + sigma * sigma);
    }
  }

  private Conditioning guided(double scale) {
    Shape shape = new Shape(1, GaussianLatentModel.TOKENS, GaussianLatentModel.WIDTH);
    NDArray prompt =
        manager.create(Matrices.floats(Matrices.normal(new SplittableRandom(3), 12)), shape);
    return new Conditioning(prompt, manager.zeros(shape), scale);
  }

  private GaussianLatentModel twoBranches() {
    return new GaussianLatentModel(manager, oracle.mean, oracle.covariance, oracle.codec) {
      @Override
      public NDArray denoise(NDArray z, double sigma, Conditioning given) {
        if (!given.guided()) {
          return super.denoise(z, sigma, given);
        }
        NDArray without = super.denoise(z, sigma, given.negativeAlone());
        NDArray with = super.denoise(z, sigma, given.positiveAlone());
        return without.add(with.sub(without).mul(given.guidanceScale()));
      }
    };
  }

  private SolveContext told(Conditioning conditioning) {
    return new SolveContext(manager, conditioning, 0, SolveListener.NONE, () -> false, null);
  }

  @Test
  void nullTextBringsGuidanceBackToThePicture() {
    GaussianLatentModel model = twoBranches();
    Conditioning given = guided(7.5);
    SolveContext context = told(given);
    Inversion found =
        new NullText(new NullText.Spec(STEPS, 1, 60, 0.05, 1e-9, 0))
            .invert(model, latent(), context);
    DdimPath path = new DdimPath(model.schedule(), STEPS);
    double without =
        distance(path.forward(model, found.noise(), new NDList(), given, context), truth);
    double with =
        distance(path.forward(model, found.noise(), found.nulls(), given, context), truth);
    assertEquals(STEPS, found.nulls().size());
    assertTrue(with < without / 10, with + " of " + without);
  }

  @Test
  void withoutGuidanceNullTextTunesNothing() {
    GaussianLatentModel model = twoBranches();
    Inversion found =
        new NullText(new NullText.Spec(STEPS, 1, 10, 0.01, 1e-9, 0))
            .invert(model, latent(), told(guided(1)));
    assertTrue(found.nulls().isEmpty());
    assertEquals(0, model.counts().denoisePullback());
  }

  @Test
  void stopsWhenToldAndSaysWhatIsNotFinite() {
    Inverter[] all = {
      new DdimInversion(new DdimInversion.Spec(STEPS)),
      new FixedPointInversion(new FixedPointInversion.Spec(STEPS, 3, 0)),
      new Rnri(new Rnri.Spec(STEPS, 3, 0, 0.1)),
      new NullText(new NullText.Spec(STEPS, 1, 3, 0.01, 0, 0))
    };
    for (Inverter inverter : all) {
      SolveContext cancelled =
          new SolveContext(manager, guided(2), 0, SolveListener.NONE, () -> true, null);
      assertEquals(ErrorKind.CANCELLED, failure(inverter, latent(), cancelled));
      SolveContext late =
          new SolveContext(
              manager, guided(2), 0, SolveListener.NONE, () -> false, Duration.ofNanos(-1));
      assertEquals(ErrorKind.DEADLINE_EXCEEDED, failure(inverter, latent(), late));
      NDArray broken = latent().mul(Float.NaN);
      assertEquals(ErrorKind.DIVERGED, failure(inverter, broken, told(guided(2))));
    }
  }

  private ErrorKind failure(Inverter inverter, NDArray clean, SolveContext context) {
    GaussianLatentModel model = twoBranches();
    return assertThrows(PriorArtException.class, () -> inverter.invert(model, clean, context))
        .kind();
  }
}
