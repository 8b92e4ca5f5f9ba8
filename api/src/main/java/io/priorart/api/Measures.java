package io.priorart.api;

import io.micrometer.core.instrument.MeterRegistry;
import io.priorart.runtime.MemoryBudget;
import io.priorart.runtime.Report;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;

/** The numbers that {@code /q/metrics} tells. */
@Singleton
public final class Measures {
  private final MeterRegistry meters;

  Measures(MeterRegistry meters, Service service) {
    this.meters = meters;
    meters.gauge("priorart.queue.length", service, s -> s.solves().waiting());
    meters.gauge("priorart.slots.busy", service, s -> s.solves().busy());
    meters.gauge("priorart.slots", service, s -> s.solves().slots());
    meters.gauge("priorart.artifacts.bytes", service, s -> s.artifacts().used());
    meters.gauge("priorart.memory.resident.bytes", service, s -> MemoryBudget.residentBytes());
    meters.gauge(
        "priorart.memory.resident.peak.bytes", service, s -> MemoryBudget.peakResidentBytes());
    meters.timer("priorart.queue.wait");
  }

  void waited(Duration time) {
    meters.timer("priorart.queue.wait").record(time);
  }

  /** How a failure is counted. */
  static String outcome(Throwable failure) {
    ErrorKind kind = failure instanceof PriorArtException p ? p.kind() : ErrorKind.INTERNAL;
    return kind.name().toLowerCase(Locale.ROOT);
  }

  /** A solve that came to its end, good or bad. */
  void ended(String solver, String outcome) {
    meters.counter("priorart.solves", "solver", solver, "outcome", outcome).increment();
  }

  /** A good solve's times and evaluations. */
  void solved(Report report) {
    String solver = report.solver().name();
    phase(solver, "read", report.seconds().read());
    phase(solver, "load_model", report.seconds().loadModel());
    phase(solver, "write", report.seconds().write());
    for (Report.Sample sample : report.samples()) {
      phase(solver, "solve", sample.seconds().solve());
      phase(solver, "networks", sample.seconds().networks());
      phase(solver, "finish", sample.seconds().finish());
      Report.Evaluations e = sample.evaluations();
      Map.of(
              "denoise", e.denoise(),
              "denoise_pullback", e.denoisePullback(),
              "encode", e.encode(),
              "encode_pullback", e.encodePullback(),
              "decode", e.decode(),
              "decode_pullback", e.decodePullback())
          .forEach(
              (network, count) ->
                  meters
                      .counter("priorart.evaluations", "solver", solver, "network", network)
                      .increment(count));
    }
  }

  private void phase(String solver, String phase, double seconds) {
    meters
        .timer("priorart.solve.time", "solver", solver, "phase", phase)
        .record(Duration.ofNanos((long) (seconds * 1e9)));
  }
}
