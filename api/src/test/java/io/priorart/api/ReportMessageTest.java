package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.google.protobuf.util.JsonFormat;
import io.priorart.runtime.Json;
import io.priorart.runtime.Report;
import io.priorart.runtime.inversion.InversionReport;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The report is one message in two forms: nothing is lost from one to the other and back. */
class ReportMessageTest {
  private static Report report(boolean withModel) {
    return new Report(
        withModel ? "in.png" : null,
        withModel ? new Report.Model("latent-v1", "00ff", "bfloat16") : null,
        new Report.Solver(
            "tv",
            "fast",
            Map.of("steps", 20, "zeta", 0.3, "flag", true, "spacing", "trailing"),
            withModel ? "why not" : ""),
        new Report.Conditioning("a \"cat\"\n", "", 1, "hat", 3),
        0.01,
        withModel ? 25.0 : null,
        "projection",
        List.of(new Report.Operator("inpainting", Map.of("mask", "tensor (1, 2, 2)"))),
        new Report.Spectrum("unknown", withModel ? 2.5 : null),
        List.of(
            new Report.Sample(
                withModel ? "out.png" : null,
                Long.MAX_VALUE,
                new Report.Time(1.5, 1.25, 0.125),
                new Report.Evaluations(1, 2, 3, 4, 5, 6),
                new Report.Judgement("consistent", Double.POSITIVE_INFINITY, 1, 0.1, 1e9, 0.02),
                withModel ? 0L : null,
                withModel ? 7 : null)),
        4,
        1L << 40,
        new Report.Seconds(0.1, 0, 0.2, 0.3));
  }

  @Test
  void thereAndBack() throws Exception {
    for (boolean withModel : new boolean[] {true, false}) {
      Report report = report(withModel);
      io.priorart.v1.Report message = Reports.message(report);
      assertEquals(withModel, message.hasModel());
      assertEquals(withModel, message.hasPoissonPeak());
      assertEquals(Long.MAX_VALUE, message.getSamples(0).getSeed());
      assertEquals(
          20, message.getSolver().getParameters().getFieldsOrThrow("steps").getNumberValue());
      assertEquals(withModel, message.getMeasurementSpectrum().hasSlope());
      assertEquals(withModel, message.getSamples(0).hasChangedKnownPixels());
      assertEquals(withModel, message.getSamples(0).hasCutShortAfter());
      String json =
          JsonFormat.printer()
              .preservingProtoFieldNames()
              .includingDefaultValueFields()
              .print(message);
      Report back = Json.read(json, Report.class).withFiles(report.input(), List.of("out.png"));
      assertEquals(report.withFiles(report.input(), List.of("out.png")), back);
    }
  }

  @Test
  void whatIsAbsentIsNotInvented() {
    String json = Json.text(report(false));
    assertFalse(json.contains("changed_known_pixels"));
  }

  @Test
  void anInversionsReportIsThereAndBack() throws Exception {
    for (boolean inverted : new boolean[] {true, false}) {
      InversionReport report =
          new InversionReport(
              null,
              null,
              List.of("out.png"),
              new Report.Model("m", "0a", "float32"),
              new Report.Solver("rnri", "fast", Map.of("steps", 20, "alpha", 0.1), ""),
              new Report.Conditioning("a cat", "", 1, "", 0),
              inverted ? null : new Report.Conditioning("a dog", "cat", 7.5, "", 0),
              inverted ? List.of(new InversionReport.Step(14.6, 3, 1e-5)) : List.of(),
              inverted ? new InversionReport.Reconstruction(26, 27.5, -34) : null,
              new Report.Evaluations(1, 2, 3, 4, 5, 6),
              new InversionReport.Seconds(1.5, 0.5));
      io.priorart.v1.InversionReport message = Reports.message(report);
      assertEquals(inverted, message.hasReconstruction());
      assertEquals(!inverted, message.hasEdit());
      assertEquals(inverted ? 1 : 0, message.getStepsCount());
      String json = JsonFormat.printer().preservingProtoFieldNames().print(message);
      InversionReport back = Json.read(json, InversionReport.class);
      assertEquals(report.seconds(), back.seconds());
      assertEquals(report.reconstruction(), back.reconstruction());
      assertEquals(report.edit() == null, back.edit() == null);
    }
  }
}
