package io.priorart.runtime.inversion;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.Prior;
import io.priorart.models.PriorTraits;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Limits;
import io.priorart.runtime.MemoryBudget;
import io.priorart.runtime.Report;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.Conditioning;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolveListener;
import io.priorart.solver.SolverMethod.Need;
import io.priorart.solver.Violations;
import io.priorart.solver.inversion.DdimPath;
import io.priorart.solver.inversion.Inversion;
import io.priorart.solver.inversion.InversionMethod;
import io.priorart.solver.inversion.Inverters;
import io.priorart.solver.inversion.NullText;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * Inverts pictures, and samples from what was found: unchanged, with another prompt, or between
 * two. Runs in float32, since the residuals that end a step are below what 8 bits of mantissa tell
 * apart.
 */
public final class PictureInversion {
  /** Most pictures between two. */
  public static final int MAX_FRAMES = 256;

  /**
   * How to invert.
   *
   * @param prompt what the picture shows; its guidance is that of every evaluation
   * @param method an {@link InversionMethod}'s id
   * @param preset one of its presets
   * @param parameters over the preset
   * @param steps over the parameter of this name; {@code null} to leave it
   */
  public record Request(
      Prompt prompt, String method, String preset, Map<String, ?> parameters, Integer steps) {}

  /**
   * When to stop, and whom to tell.
   *
   * @param budget for all of it; {@code null} for none
   * @param beganNanos when it began to be spent
   */
  public record Running(
      SolveListener listener, BooleanSupplier cancelled, Duration budget, long beganNanos) {
    /** From now. */
    public Running(SolveListener listener, BooleanSupplier cancelled, Duration budget) {
      this(listener, cancelled, budget, System.nanoTime());
    }

    private Duration left() {
      return budget == null ? null : budget.minusNanos(System.nanoTime() - beganNanos);
    }
  }

  /**
   * An inversion.
   *
   * @param reconstruction the picture that its noise gives by its own prompt
   */
  public record Inverted(InvertedPicture found, Picture reconstruction, InversionReport report) {}

  /** Pictures from noise. */
  public record Sampled(List<Picture> pictures, InversionReport report) {}

  private PictureInversion() {}

  /**
   * The method that is meant where none is named: without guidance the first there is; with it the
   * one that tunes the empty prompt, since what guidance adds is no gradient that a step could be
   * solved by.
   */
  public static String method(Prompt prompt) {
    return (prompt.guidanceScale() == 1 ? Inverters.BUILT_IN.get(0) : NullText.METHOD).id();
  }

  /**
   * Checks all that can be checked without the picture.
   *
   * @throws PriorArtException naming the field
   */
  public static void check(Request request) {
    Violations violations = new Violations();
    violations.check(() -> parameters(request));
    violations.check(request.prompt()::check);
    violations.raise();
  }

  /**
   * Every parameter that a request would use.
   *
   * @throws PriorArtException naming the field
   */
  public static Map<String, Object> parameters(Request request) {
    return values(Inverters.byId(request.method()), request);
  }

  private static <P extends Record> Map<String, Object> values(
      InversionMethod<P> method, Request request) {
    return ParameterSchema.of(method.spec()).values(spec(method, request));
  }

  private static <P extends Record> P spec(InversionMethod<P> method, Request request) {
    return method.bind("method", request.preset(), request.parameters(), request.steps());
  }

  /**
   * Checks that a method and a text go with a prior, before its weights are read.
   *
   * @throws PriorArtException FAILED_PRECONDITION naming the field
   */
  public static void requireFit(Request request, PriorTraits prior) {
    if (prior.proximal()) {
      throw unfit("model", "is a learned proximal operator; inversions need a diffusion model");
    }
    boolean needsText = Inverters.byId(request.method()).needs().contains(Need.TEXT);
    if (needsText && !prior.text()) {
      throw unfit("method", request.method() + " needs a prior that understands text");
    }
    requireText(request.prompt(), prior);
  }

  /** That a prior takes text, or there is none. */
  public static void requireText(Prompt prompt, PriorTraits prior) {
    if (!prior.text() && !prompt.isNone()) {
      throw unfit("prompt", "this model takes no text; leave prompts and guidance scale out");
    }
  }

  private static PriorArtException unfit(String field, String problem) {
    return new PriorArtException(
        ErrorKind.FAILED_PRECONDITION, field + ": " + problem, Map.of("field", field), null);
  }

  /**
   * Inverts a picture, and goes back to say how near that comes.
   *
   * @throws PriorArtException FAILED_PRECONDITION for a prior in another precision than float32 or
   *     whose noise has no highest level; CANCELLED, DEADLINE_EXCEEDED, DIVERGED
   */
  public static Inverted invert(Picture picture, Request request, Prior prior, Running running) {
    check(request);
    requireFloat32(prior);
    return invert(picture, request, Inverters.byId(request.method()), prior, running);
  }

  private static <P extends Record> Inverted invert(
      Picture picture, Request request, InversionMethod<P> method, Prior prior, Running running) {
    P spec = spec(method, request);
    Map<String, Object> parameters = ParameterSchema.of(method.spec()).values(spec);
    int steps = ((Number) parameters.get("steps")).intValue();
    boolean gradient = MemoryBudget.takesGradients(method.needs());
    MemoryBudget.require((long) picture.width() * picture.height(), gradient, 0);
    LatentDiffusionModel model = prior.bind(picture.height(), picture.width());
    requireNoise(model, steps);
    EvaluationCounts before = model.counts();
    try (NDManager manager = model.manager().newSubManager()) {
      SolveContext context = context(manager, model.condition(manager, request.prompt()), running);
      NDArray clean = model.encode(picture.inColour().pixels().to(manager));
      long begin = System.nanoTime();
      Inversion found = method.create().apply(spec).invert(model, clean, context);
      long invertedNanos = System.nanoTime();
      InvertedPicture inverted =
          new InvertedPicture(
              HostTensor.of(found.noise()),
              found.nulls().stream().map(HostTensor::of).toList(),
              prior.hash(),
              method.id(),
              steps,
              request.prompt(),
              picture.width(),
              picture.height());
      NDArray back =
          new DdimPath(model.schedule(), steps)
              .forward(model, found.noise(), found.nulls(), context.conditioning(), context);
      Picture reconstruction = picture(model.decode(back));
      double square = back.sub(clean).square().mean().getFloat();
      InversionReport.Reconstruction near =
          new InversionReport.Reconstruction(
              psnr(picture, reconstruction),
              psnr(picture, picture(model.decode(clean))),
              10 * Math.log10(square));
      return new Inverted(
          inverted,
          reconstruction,
          new InversionReport(
              null,
              null,
              List.of(),
              Report.Model.of(prior),
              new Report.Solver(method.id(), request.preset(), parameters, ""),
              Report.Conditioning.of(request.prompt()),
              null,
              found.steps().stream().map(PictureInversion::told).toList(),
              near,
              Report.Evaluations.of(model.counts().minus(before)),
              new InversionReport.Seconds(seconds(begin, invertedNanos), seconds(invertedNanos))));
    }
  }

  /**
   * The picture that an inverted one's noise gives with another prompt. Embeddings of the empty
   * prompt that were tuned stand for the negative one.
   *
   * @param prompt the inverted picture's own for its reconstruction
   * @throws PriorArtException FAILED_PRECONDITION for another model's noise
   */
  public static Sampled edit(InvertedPicture source, Prompt prompt, Prior prior, Running running) {
    prompt.check();
    LatentDiffusionModel model = bind("noise", source, prior);
    MemoryBudget.require(source.pixels(), false, 0);
    requireText(prompt, prior.traits());
    EvaluationCounts before = model.counts();
    long begin = System.nanoTime();
    try (NDManager manager = model.manager().newSubManager()) {
      SolveContext context = context(manager, model.condition(manager, prompt), running);
      Picture edited =
          picture(
              model.decode(
                  new DdimPath(model.schedule(), source.steps())
                      .forward(
                          model,
                          source.noise().to(manager),
                          nulls("noise", source, context.conditioning(), manager),
                          context.conditioning(),
                          context)));
      return new Sampled(List.of(edited), report(source, prompt, prior, model, before, begin));
    }
  }

  /**
   * Pictures between two: noise on the great circle between both, {@code sin((1-t)
   * theta)/sin(theta) a + sin(t theta)/sin(theta) b} (Shoemake 1985), embeddings on the straight
   * line.
   *
   * @param frames with both ends, 2 to {@value #MAX_FRAMES}
   * @throws PriorArtException FAILED_PRECONDITION for another model's noise, or for two of
   *     different sizes, steps, or guidance
   */
  public static Sampled interpolate(
      InvertedPicture first, InvertedPicture second, int frames, Prior prior, Running running) {
    requireFrames(frames);
    LatentDiffusionModel model = bind("first", first, prior);
    bind("second", second, prior);
    requireAlike(first, second);
    MemoryBudget.require(first.pixels(), false, frames * first.pixels() * 3 * Float.BYTES);
    EvaluationCounts before = model.counts();
    long begin = System.nanoTime();
    List<Picture> pictures = new ArrayList<>();
    for (int k = 0; k < frames; k++) {
      double t = (double) k / (frames - 1);
      try (NDManager manager = model.manager().newSubManager()) {
        Conditioning given =
            between(
                model.condition(manager, first.prompt()),
                model.condition(manager, second.prompt()),
                t);
        NDList nulls = nulls("first", first, given, manager);
        NDList others = nulls("second", second, given, manager);
        for (int i = 0; i < nulls.size(); i++) {
          nulls.set(i, mixed(nulls.get(i), others.get(i), t));
        }
        NDArray noise = between(first.noise(), second.noise(), t).to(manager);
        SolveContext context = context(manager, given, running);
        pictures.add(
            picture(
                model.decode(
                    new DdimPath(model.schedule(), first.steps())
                        .forward(model, noise, nulls, given, context))));
      }
    }
    return new Sampled(pictures, report(first, second.prompt(), prior, model, before, begin));
  }

  /**
   * @throws PriorArtException INVALID_ARGUMENT for too few or too many pictures between two
   */
  public static void requireFrames(int frames) {
    if (frames < 2 || frames > MAX_FRAMES) {
      throw PriorArtException.badField("frames", "must be 2 to " + MAX_FRAMES + ", was " + frames);
    }
  }

  private static InversionReport report(
      InvertedPicture source,
      Prompt prompt,
      Prior prior,
      LatentDiffusionModel model,
      EvaluationCounts before,
      long begin) {
    return new InversionReport(
        null,
        null,
        List.of(),
        Report.Model.of(prior),
        new Report.Solver(source.method(), "", Map.of("steps", source.steps()), ""),
        Report.Conditioning.of(source.prompt()),
        Report.Conditioning.of(prompt),
        List.of(),
        null,
        Report.Evaluations.of(model.counts().minus(before)),
        new InversionReport.Seconds(0, seconds(begin)));
  }

  private static void requireAlike(InvertedPicture a, InvertedPicture b) {
    if (a.width() != b.width() || a.height() != b.height() || a.steps() != b.steps()) {
      throw unfit(
          "second",
          "is of %dx%d in %d steps, the first of %dx%d in %d; invert both alike"
              .formatted(b.width(), b.height(), b.steps(), a.width(), a.height(), a.steps()));
    }
    if (a.nulls().isEmpty() != b.nulls().isEmpty()
        || a.prompt().guidanceScale() != b.prompt().guidanceScale()
        || !a.prompt().suppress().equals(b.prompt().suppress())) {
      throw unfit(
          "second",
          "was found by another method, guidance scale or suppression than the first; invert both"
              + " alike");
    }
  }

  /** Of two with one guidance scale; where it says nothing, both branches are the same. */
  private static Conditioning between(Conditioning a, Conditioning b, double t) {
    boolean guided = a.negative() != null || b.negative() != null;
    return new Conditioning(
        mixed(a.positive(), b.positive(), t),
        guided ? mixed(negative(a), negative(b), t) : null,
        a.guidanceScale(),
        mixed(a.positivePooled(), b.positivePooled(), t),
        guided ? mixed(negativePooled(a), negativePooled(b), t) : null,
        a.suppression());
  }

  private static NDArray negative(Conditioning c) {
    return c.negative() == null ? c.positive() : c.negative();
  }

  private static NDArray negativePooled(Conditioning c) {
    return c.negative() == null ? c.positivePooled() : c.negativePooled();
  }

  private static NDArray mixed(NDArray a, NDArray b, double t) {
    return a == null ? null : a.mul(1 - t).add(b.mul(t));
  }

  /** The point at {@code t} of the great circle through both, or of the line where they are one. */
  static HostTensor between(HostTensor first, HostTensor second, double t) {
    float[] a = first.values();
    float[] b = second.values();
    double dot = 0;
    double squareA = 0;
    double squareB = 0;
    for (int i = 0; i < a.length; i++) {
      dot += (double) a[i] * b[i];
      squareA += (double) a[i] * a[i];
      squareB += (double) b[i] * b[i];
    }
    double theta = Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(squareA * squareB))));
    boolean line = !(Math.sin(theta) > 1e-6);
    double ofA = line ? 1 - t : Math.sin((1 - t) * theta) / Math.sin(theta);
    double ofB = line ? t : Math.sin(t * theta) / Math.sin(theta);
    float[] out = new float[a.length];
    for (int i = 0; i < a.length; i++) {
      out[i] = (float) (ofA * a[i] + ofB * b[i]);
    }
    return new HostTensor(first.shape(), out);
  }

  private static LatentDiffusionModel bind(String field, InvertedPicture source, Prior prior) {
    requireFloat32(prior);
    if (!source.model().equals(prior.hash())) {
      throw unfit(field, "was found with another model than " + prior.name());
    }
    Limits.requirePixels(field, source.width(), source.height());
    LatentDiffusionModel model = prior.bind(source.height(), source.width());
    Shape wanted = new Shape(1).addAll(model.latentShape());
    if (!source.shape().equals(wanted)) {
      throw unfit(field, "has noise of " + source.shape() + ", not " + wanted);
    }
    if (source.steps() > model.schedule().trainTimesteps()) {
      throw unfit(field, "has more steps than the model has levels");
    }
    return model;
  }

  /** The tuned embeddings of the empty prompt, which are as large as any other's. */
  private static NDList nulls(
      String field, InvertedPicture source, Conditioning given, NDManager manager) {
    NDList nulls = new NDList();
    Shape own = given.positive() == null ? null : given.positive().getShape();
    for (HostTensor embedding : source.nulls()) {
      if (!embedding.shape().equals(own)) {
        throw PriorArtException.badField(
            field, "has an embedding of %s, the model's are %s".formatted(embedding.shape(), own));
      }
      nulls.add(embedding.to(manager));
    }
    return nulls;
  }

  private static void requireFloat32(Prior prior) {
    if (prior.precision() != Precision.FLOAT32) {
      throw unfit(
          "precision",
          "inversions run in float32, not " + prior.precision().name().toLowerCase(Locale.ROOT));
    }
  }

  private static void requireNoise(LatentDiffusionModel model, int steps) {
    if (steps > model.schedule().trainTimesteps()) {
      throw PriorArtException.badField(
          "steps",
          "must be at most the model's " + model.schedule().trainTimesteps() + ", was " + steps);
    }
    if (!Double.isFinite(model.schedule().sigma(model.schedule().trainTimesteps() - 1))) {
      throw unfit(
          "model", "its highest level is noise alone, from which no way leads back to one picture");
    }
  }

  private static SolveContext context(
      NDManager manager, Conditioning conditioning, Running running) {
    return new SolveContext(
        manager, conditioning, 0, running.listener(), running.cancelled(), running.left());
  }

  private static Picture picture(NDArray pixels) {
    return PictureFiles.quantized(new Picture(HostTensor.of(pixels), 8, null));
  }

  private static double psnr(Picture picture, Picture other) {
    Picture coloured = new Picture(picture.inColour().pixels(), 8, null);
    return Comparison.of(PictureFiles.quantized(coloured), other, null).psnr();
  }

  private static InversionReport.Step told(Inversion.Step step) {
    return new InversionReport.Step(
        step.sigma(), step.iterations(), Double.isNaN(step.residual()) ? null : step.residual());
  }

  private static double seconds(long beginNanos) {
    return seconds(beginNanos, System.nanoTime());
  }

  private static double seconds(long beginNanos, long endNanos) {
    return (endNanos - beginNanos) * 1e-9;
  }
}
