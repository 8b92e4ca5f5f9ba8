package io.priorart.runtime;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.ScriptModule;
import io.priorart.runtime.image.OpenCvDenoising;
import io.priorart.runtime.image.OpenCvInpainting;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.ForwardOperator;
import io.priorart.solver.HostTensor;
import io.priorart.solver.InverseSolver;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.Noise;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.Violations;
import io.priorart.solver.method.FinalDataStep;
import io.priorart.solver.method.FinalPriorStep;
import io.priorart.solver.method.Solvers;
import io.priorart.solver.method.SpectrumCheck;
import io.priorart.solver.method.Verdict;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** Restores pictures: checks what goes with what, solves, takes the final steps, judges. */
public final class Restorer {
  /** Every solver there is, OpenCV's among them. */
  public static final Solvers SOLVERS =
      new Solvers(
          Stream.concat(OpenCvInpainting.METHODS.stream(), Stream.of(OpenCvDenoising.METHOD))
              .toList());

  /** The preset used when none is named. */
  public static final String USUAL_PRESET = "fast";

  private Restorer() {}

  /**
   * What to do with a measurement.
   *
   * @param operators file parameters already read
   * @param noise of the measurement; {@code null} is none, allowed for pure inpainting only
   * @param solver a method's id
   * @param preset one of the method's presets
   * @param parameters of the method, over the preset
   * @param steps over the method's parameter of this name; {@code null} to leave it
   * @param finish whether to take the {@linkplain FinalPriorStep final} {@linkplain FinalDataStep
   *     steps}
   * @param width of the picture to return; 0 for the operators' own answer
   * @param height as {@code width}
   */
  public record Request(
      List<OperatorRequest> operators,
      Noise noise,
      String solver,
      String preset,
      Map<String, ?> parameters,
      Integer steps,
      boolean finish,
      Prompt prompt,
      long seed,
      int samples,
      int width,
      int height) {
    /** The same with other operators, for instance with their files read. */
    public Request withOperators(List<OperatorRequest> others) {
      return new Request(
          others,
          noise,
          solver,
          preset,
          parameters,
          steps,
          finish,
          prompt,
          seed,
          samples,
          width,
          height);
    }

    /** The same with another solver and preset. */
    Request withSolver(String otherSolver, String otherPreset) {
      return new Request(
          operators,
          noise,
          otherSolver,
          otherPreset,
          parameters,
          steps,
          finish,
          prompt,
          seed,
          samples,
          width,
          height);
    }

    /**
     * Pixels of the picture to be returned: of the size that the request names, or that the
     * operators imply of the measurement's.
     *
     * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT for wrong operators
     */
    public long pixels(int measuredWidth, int measuredHeight) {
      if (width != 0 && height != 0) {
        return (long) width * height;
      }
      OperatorChain.check(operators);
      Shape image =
          OperatorChain.imageShape(operators, new Shape(1, measuredHeight, measuredWidth));
      Limits.requirePixels("size", image.get(2), image.get(1));
      return image.get(1) * image.get(2);
    }

    /** The same with so many steps. */
    Request withSteps(int count) {
      return new Request(
          operators,
          noise,
          solver,
          preset,
          parameters,
          count,
          finish,
          prompt,
          seed,
          samples,
          width,
          height);
    }

    /** Whether the measurement's own pixels are known to be right. */
    boolean pureInpainting() {
      return operators.size() == 1 && operators.get(0).name().equals("inpainting");
    }

    /** Whether known pixels come back unchanged. */
    public boolean keepsKnownPixels() {
      return pureInpainting() && (noise == null || noise.isNone());
    }
  }

  /**
   * One restored picture.
   *
   * @param picture as it will be written
   * @param denoisedSigma of {@link FinalPriorStep}, internal [-1,1] scale; 0 where it was not taken
   * @param gamma of {@link FinalDataStep}; 0 where it was not taken
   * @param changedKnownPixels known pixels whose written value differs from the measurement's; -1
   *     where none are promised to stay
   * @param evaluations that this sample took part in, and of its final step; of the batch's time
   *     its share
   * @param operatorSeconds inside the operator, of the solve its share of the batch's and of the
   *     final steps
   * @param solveSeconds its share of the batch's
   * @param cutShortAfter the step whose estimate this is, of a solve that was stopped; 0 for one
   *     that ended
   */
  public record Sample(
      long seed,
      Picture picture,
      Verdict verdict,
      double denoisedSigma,
      double gamma,
      long changedKnownPixels,
      EvaluationCounts evaluations,
      double operatorSeconds,
      double solveSeconds,
      double finishSeconds,
      int cutShortAfter) {}

  /**
   * The samples of one measurement.
   *
   * @param samples one at least; fewer than asked for where the restoration was stopped
   * @param batch how many were solved at a time
   * @param solverParameters every parameter used
   * @param sigma of the measurement's noise on the [0,1] pixel scale
   * @param spectrum whether the measurement looks like the declared operator's
   */
  public record Restoration(
      List<Sample> samples,
      String solver,
      Map<String, Object> solverParameters,
      double sigma,
      SpectrumCheck spectrum,
      int batch) {
    /** Mean of the samples. */
    public Picture mean() {
      return moments(false);
    }

    /** Standard deviation over the samples, on the [0,1] scale: 0 is black. */
    public Picture standardDeviation() {
      return moments(true);
    }

    private Picture moments(boolean deviation) {
      Picture first = samples.get(0).picture();
      float[] out = new float[first.pixels().values().length];
      int n = samples.size();
      for (int i = 0; i < out.length; i++) {
        double sum = 0;
        double squares = 0;
        for (Sample s : samples) {
          double v = s.picture().pixels().values()[i];
          sum += v;
          squares += v * v;
        }
        double mean = sum / n;
        double variance = Math.max(0, squares / n - mean * mean) * n / Math.max(1, n - 1);
        // a deviation of d on the internal scale is d/2 on [0,1], drawn at -1 + d
        out[i] = (float) (deviation ? -1 + Math.sqrt(variance) : mean);
      }
      HostTensor pixels = new HostTensor(first.pixels().shape(), out);
      // a deviation is no colour: no profile says how it looks
      return deviation
          ? new Picture(pixels, first.bitDepth(), first.alpha())
          : first.withPixels(pixels);
    }
  }

  /**
   * Checks all of a request that can be checked without its picture: names, parameters, numbers.
   *
   * @throws PriorArtException naming the field
   */
  public static void check(Request request) {
    checked(SOLVERS.byId(request.solver()), request);
  }

  /**
   * Checks that a request's solver and text go with a prior, before its weights are read.
   *
   * @throws PriorArtException FAILED_PRECONDITION naming the field
   */
  public static void requireFit(Request request, PriorTraits prior) {
    requireFit(request.solver(), prior);
    Set<SolverMethod.Need> needs = SOLVERS.byId(request.solver()).needs();
    boolean tunesPrompt = needs.contains(SolverMethod.Need.TEXT_GRADIENT);
    requireFit(
        "suppress",
        request.prompt().suppress().isEmpty() || !tunesPrompt,
        "changes the prompt's embedding, which "
            + request.solver()
            + " tunes itself; leave it out");
    // a few-step prior takes the scale as an input of its network
    requireFit(
        "guidance-scale",
        request.prompt().guidanceScale() == 1 || !tunesPrompt || prior.fewStep(),
        request.solver()
            + " tunes one prompt and takes no guidance from another; leave guidance scale and"
            + " negative prompt out");
    requireFit(
        "prompt",
        prior.text() || request.prompt().isNone() || !needs.contains(SolverMethod.Need.MODEL),
        "this model takes no text; leave prompts and guidance scale out or take another model");
  }

  /** Whether a solver takes noise to be the same everywhere. */
  static boolean takesEvenNoise(String solver) {
    return SOLVERS.byId(solver).needs().contains(SolverMethod.Need.EVEN_NOISE);
  }

  /** Whether a prior serves a solver. */
  public static boolean fits(String solver, PriorTraits prior) {
    try {
      requireFit(solver, prior);
      return true;
    } catch (PriorArtException unfit) {
      return false;
    }
  }

  /** {@link #requireFit(Request, PriorTraits)} of the solver alone. */
  static void requireFit(String solver, PriorTraits prior) {
    Set<SolverMethod.Need> needs = SOLVERS.byId(solver).needs();
    if (!needs.contains(SolverMethod.Need.MODEL)) {
      return;
    }
    requireFit(
        "solver",
        needs.contains(SolverMethod.Need.PROXIMAL) == prior.proximal(),
        prior.proximal()
            ? solver + " needs a diffusion model; this one is a learned proximal operator"
            : solver + " needs a learned proximal operator (`train lpn` makes one)");
    requireFit(
        "solver",
        !needs.contains(SolverMethod.Need.PIXEL_SPACE) || prior.pixelSpace(),
        solver + " needs a pixel-space prior; this model has an auto-encoder");
    requireFit(
        "solver",
        !needs.contains(SolverMethod.Need.NOISE_MAP) || prior.noiseMap(),
        solver + " needs a prior that takes a noise level for each pixel; this model takes one");
    requireFit(
        "solver",
        !needs.contains(SolverMethod.Need.FEW_STEP) || prior.fewStep(),
        solver
            + " needs a few-step prior (a latent consistency model); this model takes many steps");
    requireFit(
        "solver",
        !needs.contains(SolverMethod.Need.TEXT) || prior.text(),
        solver + " needs a prior that understands text; this model does not");
  }

  private static void requireFit(String field, boolean fits, String problem) {
    if (!fits) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, field + ": " + problem, Map.of("field", field), null);
    }
  }

  /**
   * Every parameter that a request's solve would use.
   *
   * @throws PriorArtException naming the field
   */
  public static Map<String, Object> parameters(Request request) {
    return parameters(SOLVERS.byId(request.solver()), request);
  }

  private static <P extends Record> Map<String, Object> parameters(
      SolverMethod<P> method, Request request) {
    return ParameterSchema.of(method.spec()).values(spec(method, request));
  }

  private static <P extends Record> P checked(SolverMethod<P> method, Request request) {
    Violations violations = new Violations();
    violations.check(() -> OperatorChain.check(request.operators()));
    violations.check(() -> noise(request));
    P spec = violations.check(null, () -> spec(method, request));
    violations.check(request.prompt()::check);
    violations.check(
        () -> {
          if (request.samples() < 1 || request.samples() > Limits.SAMPLES) {
            throw PriorArtException.badField(
                "samples", "must be 1 to " + Limits.SAMPLES + ", was " + request.samples());
          }
        });
    violations.check(
        () -> {
          if (request.width() != 0 || request.height() != 0) {
            Limits.requirePixels("size", request.width(), request.height());
          }
        });
    violations.raise();
    return spec;
  }

  private static Noise noise(Request request) {
    if (request.noise() == null && !request.pureInpainting()) {
      throw PriorArtException.badField(
          "sigma", "is required (on the [0,1] pixel scale) for all but pure inpainting");
    }
    return request.noise() == null ? new Noise.None() : request.noise();
  }

  /**
   * Restores one picture. Nothing native runs before everything that can be checked was checked.
   *
   * @param pipelines opened only if the method needs a model
   * @param outputDepth bits that the result will be written with
   */
  public static Restoration restore(
      Picture measurement,
      Request request,
      Supplier<Prior> pipelines,
      int outputDepth,
      RestoreListener listener,
      Stopping stopping) {
    return restore(
        SOLVERS.byId(request.solver()),
        measurement,
        request,
        pipelines,
        outputDepth,
        listener,
        stopping);
  }

  private static <P extends Record> Restoration restore(
      SolverMethod<P> method,
      Picture measurement,
      Request request,
      Supplier<Prior> pipelines,
      int outputDepth,
      RestoreListener listener,
      Stopping stopping) {
    P spec = checked(method, request);
    if (stopping.state() != null) {
      SolveStateFile.requireUsable(stopping.state());
    }
    boolean needsModel = method.needs().contains(SolverMethod.Need.MODEL);
    Picture seen =
        needsModel && !losesColour(request, measurement) ? measurement.inColour() : measurement;
    Problem problem = problem(seen, request);
    if (method.needs().contains(SolverMethod.Need.LINEAR)
        && !(problem.operator() instanceof LinearOperator)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, method.id() + " needs a linear operator");
    }
    if (method.needs().contains(SolverMethod.Need.MASK)
        && !((LinearOperator) problem.operator()).isMask()) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "operators: " + method.id() + " restores missing pixels and noise alone");
    }
    Shape shape = problem.operator().imageShape();
    LatentDiffusionModel model = null;
    int batch = 1;
    SolveStateFile state = null;
    if (stopping.state() != null && !needsModel) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "state: " + method.id() + " solves in one go and has none to keep");
    }
    if (needsModel) {
      boolean gradient = MemoryBudget.takesGradients(method.needs());
      batch = MemoryBudget.batch(shape.get(1) * shape.get(2), gradient, request.samples());
      if (stopping.state() != null && batch < request.samples()) {
        throw new PriorArtException(
            ErrorKind.FAILED_PRECONDITION,
            "state: keeps one batch, and %d samples do not fit into one; ask for %d at most, each with a seed and a file of its own"
                .formatted(request.samples(), batch));
      }
      Prior prior = pipelines.get();
      requireFit(request, prior.traits());
      requireFit(
          "precision",
          !method.needs().contains(SolverMethod.Need.FLOAT32)
              || prior.precision() == Precision.FLOAT32,
          method.id() + " needs float32; this model computes in " + prior.precision());
      if (stopping.state() != null) {
        String identity = prior.hash() + " " + prior.precision() + " " + prior.vaeTile();
        Map<String, Object> parameters = ParameterSchema.of(method.spec()).values(spec);
        state =
            new SolveStateFile(
                stopping.state(),
                SolveStateFile.fingerprint(request, parameters, problem, identity),
                listener::warning);
        state.requireOwn();
      }
      model = prior.bind((int) shape.get(1), (int) shape.get(2));
    }
    InverseSolver solver = method.create().apply(spec);
    SpectrumCheck spectrum;
    try (NDManager manager = ScriptModule.newManager()) {
      spectrum = SpectrumCheck.of(problem, manager);
    }
    List<Sample> samples = new ArrayList<>();
    long begin = System.nanoTime();
    for (int k = 0; k < request.samples(); k += batch) {
      int count = Math.min(batch, request.samples() - k);
      int batchesLeft = (request.samples() - k + batch - 1) / batch;
      listener.batchStarted(k, count);
      List<Sample> solved;
      try {
        solved =
            solve(
                solver,
                problem,
                model,
                state,
                request.seed() + k,
                count,
                measurement,
                request,
                outputDepth,
                listener,
                stopping,
                stopping.share(begin, batchesLeft));
      } catch (PriorArtException e) {
        if (samples.isEmpty() || !stopping.keeps(e)) {
          throw e;
        }
        break; // a batch that had no estimate yet costs no finished sample
      }
      for (int n = 0; n < count; n++) {
        listener.sampleFinished(k + n, solved.get(n));
      }
      samples.addAll(solved);
    }
    return new Restoration(
        samples,
        method.id(),
        ParameterSchema.of(method.spec()).values(spec),
        problem.sigma(),
        spectrum,
        batch);
  }

  private static <P extends Record> P spec(SolverMethod<P> method, Request request) {
    return method.bind("solver", request.preset(), request.parameters(), request.steps());
  }

  /** Whether a grey measurement is one of a colour picture. */
  private static boolean losesColour(Request request, Picture measurement) {
    return measurement.channels() == 1
        && OperatorChain.imageShape(request.operators(), measurement.pixels().shape().slice(1))
                .get(0)
            != 1;
  }

  private static Problem problem(Picture picture, Request request) {
    HostTensor y = picture.pixels();
    Shape image = OperatorChain.imageShape(request.operators(), y.shape().slice(1));
    if (request.width() > 0) {
      image = new Shape(image.get(0), request.height(), request.width());
    }
    Limits.requirePixels("size", image.get(2), image.get(1));
    OperatorChain chain =
        OperatorChain.build(request.operators(), image, new NoiseSource(request.seed()));
    for (Map<String, HostTensor> drawn : chain.drawn()) {
      if (!drawn.isEmpty()) {
        throw PriorArtException.badField(
            "operators",
            "a random operator was drawn with its measurement: give the "
                + drawn.keySet()
                + " file that degrade wrote, or --problem");
      }
    }
    return new Problem(chain.operator(), y, noise(request), picture.quantizationStep());
  }

  /**
   * Solves samples as one batch, then finishes and judges each by itself.
   *
   * @param seed of the first
   * @param state where it is kept; {@code null} for nowhere
   * @param budget of the solve; {@code null} for none
   */
  private static List<Sample> solve(
      InverseSolver solver,
      Problem untimed,
      LatentDiffusionModel model,
      SolveStateFile state,
      long seed,
      int count,
      Picture original,
      Request request,
      int outputDepth,
      RestoreListener listener,
      Stopping stopping,
      Duration budget) {
    TimedOperator operator = TimedOperator.of(untimed.operator());
    Problem problem = untimed.withOperator(operator);
    try (NDManager manager =
        model == null ? ScriptModule.newManager() : model.manager().newSubManager()) {
      EvaluationCounts before = counts(model);
      Conditioning conditioning =
          model == null ? Conditioning.NONE : model.condition(manager, request.prompt());
      SolveContext context =
          new SolveContext(manager, conditioning, seed, listener, stopping.cancelled(), budget)
              .withSamples(count);
      if (state != null) {
        context = context.withStates(state);
      }
      if (budget != null || stopping.keepBest()) {
        context = context.keepingBest();
      }
      long begin = System.nanoTime();
      NDArray solved;
      try {
        solved = solver.solve(problem, model, context);
      } catch (PriorArtException e) {
        if (!stopping.keeps(e)) {
          throw e;
        }
        solved = context.bestInstead(e);
      }
      double solveSeconds = (System.nanoTime() - begin) * 1e-9 / count;
      double operatorSeconds = operator.seconds() / count;
      EvaluationCounts counts = counts(model).minus(before).share(count);
      List<Sample> samples = new ArrayList<>();
      for (int k = 0; k < count; k++) {
        try (NDManager scratch = manager.newSubManager()) {
          NDArray own = solved.get(k + ":" + (k + 1));
          own.attach(scratch);
          samples.add(
              finished(
                  problem,
                  own,
                  model,
                  conditioning,
                  seed + k,
                  original,
                  request,
                  outputDepth,
                  counts,
                  operator,
                  operatorSeconds,
                  solveSeconds,
                  context.cutShortAfter()));
        }
      }
      return samples;
    }
  }

  /** None where no model runs. */
  private static EvaluationCounts counts(LatentDiffusionModel model) {
    return model == null ? EvaluationCounts.ZERO : model.counts();
  }

  /** The final steps, the picture as it will be written, and the verdict on it. */
  private static Sample finished(
      Problem problem,
      NDArray solved,
      LatentDiffusionModel model,
      Conditioning conditioning,
      long seed,
      Picture original,
      Request request,
      int outputDepth,
      EvaluationCounts counts,
      TimedOperator operator,
      double operatorSeconds,
      double solveSeconds,
      int cutShortAfter) {
    long begin = System.nanoTime();
    double operatorBefore = operator.seconds();
    EvaluationCounts countsBefore = counts(model);
    double ratioBefore = FinalDataStep.ratio(problem, solved);
    double denoisedSigma = 0;
    double gamma = 0;
    NDArray finished = solved;
    if (request.finish() && problem.operator() instanceof LinearOperator) {
      FinalPriorStep.Result prior = FinalPriorStep.apply(problem, solved, model, conditioning);
      FinalDataStep.Result data = FinalDataStep.apply(problem, prior.picture());
      finished = data.picture();
      denoisedSigma = prior.sigma();
      gamma = data.gamma();
    }
    double move = FinalDataStep.distance(finished, solved);
    HostTensor pixels = HostTensor.of(finished);
    if (request.keepsKnownPixels()) {
      pixels = withKnownPixels(pixels, problem);
    }
    Picture written = asWritten(pixels, original, problem, outputDepth);
    double ratioAfter;
    try (NDArray x = seenBySolver(written, problem).to(solved.getManager())) {
      ratioAfter = FinalDataStep.ratio(problem, x);
    }
    return new Sample(
        seed,
        written,
        Verdict.of(!problem.noise().isNone(), ratioBefore, ratioAfter, move),
        denoisedSigma,
        gamma,
        request.keepsKnownPixels() ? changedKnownPixels(written, original, problem) : -1,
        counts.plus(counts(model).minus(countsBefore)),
        operatorSeconds + operator.seconds() - operatorBefore,
        solveSeconds,
        (System.nanoTime() - begin) * 1e-9,
        cutShortAfter);
  }

  private static HostTensor withKnownPixels(HostTensor x, Problem problem) {
    float[] known = problem.operator().observed().values();
    float[] y = problem.measurement().values();
    float[] out = x.values().clone();
    for (int i = 0; i < out.length; i++) {
      out[i] = known[i] != 0 ? y[i] : out[i];
    }
    return new HostTensor(x.shape(), out);
  }

  /** Back to the original's channels, clipped and rounded to the depth of the output file. */
  private static Picture asWritten(
      HostTensor x, Picture original, Problem problem, int outputDepth) {
    ForwardOperator a = problem.operator();
    boolean colourLost = a.imageShape().get(0) != a.measurementShape().get(0);
    HostTensor pixels = original.channels() == 1 && !colourLost ? grey(x) : x;
    int h = (int) x.shape().get(2);
    int w = (int) x.shape().get(3);
    HostTensor alpha =
        original.alpha() == null ? null : PictureFiles.resizedAlpha(original.alpha(), h, w);
    return PictureFiles.quantized(original.withPixels(pixels, outputDepth, alpha));
  }

  private static HostTensor seenBySolver(Picture written, Problem problem) {
    boolean replicated = problem.operator().imageShape().get(0) != written.channels();
    return replicated ? written.inColour().pixels() : written.pixels();
  }

  private static long changedKnownPixels(Picture written, Picture original, Problem problem) {
    float[] observed = problem.operator().observed().values();
    int plane = written.width() * written.height();
    double tolerance = written.quantizationStep() / 2 + 1e-6;
    long changed = 0;
    for (int i = 0; i < plane; i++) {
      boolean differs = false;
      for (int c = 0; c < written.channels(); c++) {
        int at = c * plane + i;
        differs |=
            observed[i] != 0
                && Math.abs(written.pixels().values()[at] - original.pixels().values()[at])
                    > tolerance;
      }
      changed += differs ? 1 : 0;
    }
    return changed;
  }

  private static HostTensor grey(HostTensor x) {
    int channels = (int) x.shape().get(1);
    int plane = x.values().length / channels;
    float[] out = new float[plane];
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < channels; c++) {
        out[i] += x.values()[c * plane + i] / channels;
      }
    }
    return new HostTensor(new Shape(1, 1, x.shape().get(2), x.shape().get(3)), out);
  }
}
