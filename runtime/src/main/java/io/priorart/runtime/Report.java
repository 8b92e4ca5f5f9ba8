package io.priorart.runtime;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.priorart.models.Prior;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.Prompt;
import io.priorart.solver.method.SpectrumCheck;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What was done and how far the result may be trusted. Its JSON keys (see {@link Json}) are part of
 * the product; {@code priorart.v1.Report} is the same message.
 *
 * @param input file restored; {@code null} when it came in a request
 * @param model {@code null} when no model ran
 * @param sigma noise of the measurement on the [0,1] pixel scale; of counted light the root of its
 *     mean square
 * @param poissonPeak counts that 1 stands for; {@code null} for other noise
 * @param finish projection or none
 * @param batch samples that were solved at a time
 * @param peakResidentBytes of the process so far; 0 where the system does not tell
 */
public record Report(
    String input,
    Model model,
    Solver solver,
    Conditioning conditioning,
    double sigma,
    @JsonInclude(JsonInclude.Include.NON_NULL) Double poissonPeak,
    String finish,
    List<Operator> operators,
    Spectrum measurementSpectrum,
    List<Sample> samples,
    int batch,
    long peakResidentBytes,
    Seconds seconds) {
  /** The checkpoint that ran. */
  public record Model(String name, String sha256, String precision) {
    public static Model of(Prior prior) {
      return new Model(prior.name(), prior.hash(), lower(prior.precision()));
    }
  }

  /**
   * The solver with every parameter used.
   *
   * @param reason why it was chosen; empty when the request named it
   */
  public record Solver(String name, String preset, Map<String, Object> parameters, String reason) {
    public Solver {
      parameters = plain(parameters);
    }
  }

  /** What the model was told. */
  public record Conditioning(
      String prompt,
      String negativePrompt,
      double guidanceScale,
      String suppress,
      int suppressIterations) {
    public static Conditioning of(Prompt p) {
      return new Conditioning(
          p.text(), p.negative(), p.guidanceScale(), p.suppress(), p.suppressIterations());
    }
  }

  /** A forward operator; of masks and kernels the shape. */
  public record Operator(String name, Map<String, Object> parameters) {
    public Operator {
      parameters = plain(parameters);
    }
  }

  /**
   * Whether the measurement looks like the declared operator's.
   *
   * @param slope {@code null} when unknown
   */
  public record Spectrum(String judgement, Double slope) {}

  /**
   * One restored picture.
   *
   * @param output file written; {@code null} when it travels in an answer
   * @param changedKnownPixels {@code null} where none are promised to stay
   * @param cutShortAfter the step whose estimate it is, of a solve that was stopped; {@code null}
   *     for one that ended
   */
  public record Sample(
      String output,
      long seed,
      Time seconds,
      Evaluations evaluations,
      Judgement verdict,
      @JsonInclude(JsonInclude.Include.NON_NULL) Long changedKnownPixels,
      @JsonInclude(JsonInclude.Include.NON_NULL) Integer cutShortAfter) {
    Sample at(String file) {
      return new Sample(
          file, seed, seconds, evaluations, verdict, changedKnownPixels, cutShortAfter);
    }
  }

  /** Wall time of a sample in seconds: all of the solve, inside of networks, final steps. */
  public record Time(double solve, double networks, double finish) {}

  /** Network evaluations of a sample; see {@link EvaluationCounts}. */
  public record Evaluations(
      long denoise,
      long denoisePullback,
      long encode,
      long encodePullback,
      long decode,
      long decodePullback) {
    public static Evaluations of(EvaluationCounts e) {
      return new Evaluations(
          e.denoise(),
          e.denoisePullback(),
          e.encode(),
          e.encodePullback(),
          e.decode(),
          e.decodePullback());
    }

    public Evaluations plus(Evaluations o) {
      return new Evaluations(
          denoise + o.denoise,
          denoisePullback + o.denoisePullback,
          encode + o.encode,
          encodePullback + o.encodePullback,
          decode + o.decode,
          decodePullback + o.decodePullback);
    }
  }

  /** The verdict on a sample; see {@link io.priorart.solver.method.Verdict}. */
  public record Judgement(
      String judgement,
      double ratioBefore,
      double ratioAfter,
      double move,
      double gamma,
      double denoisedSigma) {}

  /** Wall time of the whole restoration in seconds. */
  public record Seconds(double read, double loadModel, double write, double total) {}

  /**
   * @param model {@code null} when none ran
   */
  static Report of(
      Restorer.Request request,
      Restorer.Restoration restoration,
      Prior model,
      String choice,
      Seconds seconds) {
    SpectrumCheck spectrum = restoration.spectrum();
    return new Report(
        null,
        model == null ? null : Model.of(model),
        new Solver(restoration.solver(), request.preset(), restoration.solverParameters(), choice),
        Conditioning.of(request.prompt()),
        restoration.sigma(),
        request.noise() instanceof Noise.Poisson p ? p.peak() : null,
        request.finish() ? "projection" : "none",
        request.operators().stream().map(Report::operator).toList(),
        new Spectrum(
            lower(spectrum.judgement()), Double.isNaN(spectrum.slope()) ? null : spectrum.slope()),
        restoration.samples().stream().map(Report::sample).toList(),
        restoration.batch(),
        MemoryBudget.peakResidentBytes(),
        seconds);
  }

  /** The same with the names of its files. */
  public Report withFiles(String inputFile, List<String> outputFiles) {
    List<Sample> named = new ArrayList<>();
    for (int k = 0; k < samples.size(); k++) {
      named.add(samples.get(k).at(outputFiles.get(k)));
    }
    return new Report(
        inputFile,
        model,
        solver,
        conditioning,
        sigma,
        poissonPeak,
        finish,
        operators,
        measurementSpectrum,
        named,
        batch,
        peakResidentBytes,
        seconds);
  }

  private static Operator operator(OperatorRequest o) {
    Map<String, Object> parameters = new LinkedHashMap<>();
    o.parameters()
        .forEach(
            (k, v) -> parameters.put(k, v instanceof HostTensor t ? "tensor " + t.shape() : v));
    return new Operator(o.name(), parameters);
  }

  private static Sample sample(Restorer.Sample s) {
    EvaluationCounts e = s.evaluations();
    return new Sample(
        null,
        s.seed(),
        new Time(s.solveSeconds(), e.seconds(), s.finishSeconds()),
        Evaluations.of(e),
        new Judgement(
            lower(s.verdict().judgement()),
            s.verdict().ratioBefore(),
            s.verdict().ratioAfter(),
            s.verdict().move() / 2,
            s.gamma(),
            s.denoisedSigma() / 2),
        s.changedKnownPixels() < 0 ? null : s.changedKnownPixels(),
        s.cutShortAfter() == 0 ? null : s.cutShortAfter());
  }

  private static String lower(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  /** Whole numbers without a fraction, whichever way they came: not every wire tells 1 from 1.0. */
  private static Map<String, Object> plain(Map<String, Object> parameters) {
    Map<String, Object> out = new LinkedHashMap<>();
    parameters.forEach(
        (k, v) ->
            out.put(
                k,
                v instanceof Number n
                        && n.doubleValue() == Math.rint(n.doubleValue())
                        && Math.abs(n.doubleValue()) < 1L << 53
                    ? Long.valueOf(n.longValue())
                    : v));
    return out;
  }
}
