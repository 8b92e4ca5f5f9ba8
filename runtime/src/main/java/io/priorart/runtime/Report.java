package io.priorart.runtime;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.HostTensor;
import io.priorart.solver.method.SpectrumCheck;
import io.priorart.solver.method.Verdict;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The JSON report of a restoration; the keys are part of the product. */
public final class Report {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private Report() {}

  /**
   * @param modelHash SHA-256 of the checkpoint; {@code null} when no model ran
   * @param outputs one file per sample
   */
  public static Map<String, Object> of(
      Restorer.Request request,
      Restorer.Restoration restoration,
      String modelName,
      String modelHash,
      String precision,
      Path input,
      List<Path> outputs) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("input", input.toString());
    Map<String, Object> model = new LinkedHashMap<>();
    model.put("name", modelName);
    model.put("sha256", modelHash);
    model.put("precision", precision);
    report.put("model", modelHash == null ? null : model);
    report.put(
        "solver",
        Map.of(
            "name", restoration.solver(),
            "preset", request.preset(),
            "parameters", restoration.solverParameters()));
    report.put(
        "conditioning",
        Map.of(
            "prompt", request.prompt(),
            "negative_prompt", request.negativePrompt(),
            "guidance_scale", request.guidanceScale()));
    report.put("sigma", request.sigma() == null ? 0.0 : request.sigma());
    report.put("finish", request.finish() ? "projection" : "none");
    List<Object> operators = new ArrayList<>();
    for (OperatorRequest o : request.operators()) {
      Map<String, Object> parameters = new LinkedHashMap<>();
      o.parameters()
          .forEach(
              (k, v) -> parameters.put(k, v instanceof HostTensor t ? "tensor " + t.shape() : v));
      operators.add(Map.of("name", o.name(), "parameters", parameters));
    }
    report.put("operators", operators);
    SpectrumCheck spectrum = restoration.spectrum();
    Map<String, Object> check = new LinkedHashMap<>();
    check.put("judgement", spectrum.judgement().name().toLowerCase(Locale.ROOT));
    check.put("slope", Double.isNaN(spectrum.slope()) ? null : spectrum.slope());
    report.put("measurement_spectrum", check);
    List<Object> samples = new ArrayList<>();
    for (int i = 0; i < restoration.samples().size(); i++) {
      samples.add(sample(restoration.samples().get(i), outputs.get(i)));
    }
    report.put("samples", samples);
    report.put("peak_resident_bytes", MemoryBudget.peakResidentBytes());
    return report;
  }

  private static Map<String, Object> sample(Restorer.Sample s, Path output) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("output", output.toString());
    json.put("seed", s.seed());
    EvaluationCounts e = s.evaluations();
    Map<String, Object> seconds = new LinkedHashMap<>();
    seconds.put("solve", s.solveSeconds());
    seconds.put("networks", e.seconds());
    seconds.put("finish", s.finishSeconds());
    json.put("seconds", seconds);
    Map<String, Object> counts = new LinkedHashMap<>();
    counts.put("denoise", e.denoise());
    counts.put("denoise_pullback", e.denoisePullback());
    counts.put("encode", e.encode());
    counts.put("encode_pullback", e.encodePullback());
    counts.put("decode", e.decode());
    counts.put("decode_pullback", e.decodePullback());
    json.put("evaluations", counts);
    Verdict v = s.verdict();
    Map<String, Object> verdict = new LinkedHashMap<>();
    verdict.put("judgement", v.judgement().name().toLowerCase(Locale.ROOT));
    verdict.put("ratio_before", v.ratioBefore());
    verdict.put("ratio_after", v.ratioAfter());
    verdict.put("move", v.move());
    verdict.put("gamma", s.gamma());
    json.put("verdict", verdict);
    if (s.changedKnownPixels() >= 0) {
      json.put("changed_known_pixels", s.changedKnownPixels());
    }
    return json;
  }

  /** Pretty JSON. */
  public static String text(Object json) {
    try {
      return JSON.writeValueAsString(json);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Writes JSON aside and renames it. */
  public static void write(Object json, Path file, boolean force) {
    PictureFiles.requireWritable(file, force);
    PictureFiles.writeBytes(
        file, (text(json) + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8));
  }
}
