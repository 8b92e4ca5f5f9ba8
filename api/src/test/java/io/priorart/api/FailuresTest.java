package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Violations;
import java.util.EnumMap;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FailuresTest {
  private final SimpleMeterRegistry meters = new SimpleMeterRegistry();
  private final Failures failures = new Failures(meters);

  private static <T extends Message> T detail(Status status, Class<T> type)
      throws InvalidProtocolBufferException {
    for (Any any : status.getDetailsList()) {
      if (any.is(type)) {
        return any.unpack(type);
      }
    }
    return null;
  }

  private Status status(Throwable failure) {
    return StatusProto.fromThrowable(failures.status(failure));
  }

  @ParameterizedTest
  @CsvSource({
    "sigma, noise.gaussian.sigma",
    "steps, solver.steps",
    "solver.steps, solver.steps",
    "preset, solver.preset",
    "solver.zeta, solver.parameters.zeta",
    "method.alpha, method.parameters.alpha",
    "method.steps, method.steps",
    "poisson, noise.poisson.peak",
    "operators[1].factor, operators[1].parameters.factor",
    "operators[0].mask, operators[0].artifacts.mask",
    "operators[0].artifacts.mask, operators[0].artifacts.mask",
    "operators[0].parameters.factor, operators[0].parameters.factor",
    "guidance-scale, conditioning.guidance_scale",
    "image, image"
  })
  void fieldsHaveTheirPathInTheRequest(String field, String path) throws Exception {
    Status status = status(PriorArtException.badField(field, "must be 2 to 32, was 0"));
    assertEquals(Code.INVALID_ARGUMENT.getNumber(), status.getCode());
    assertEquals(path + ": must be 2 to 32, was 0", status.getMessage());
    BadRequest bad = detail(status, BadRequest.class);
    assertEquals(path, bad.getFieldViolations(0).getField());
    assertEquals("must be 2 to 32, was 0", bad.getFieldViolations(0).getDescription());
  }

  @Test
  void everyKindHasItsStatusAndIsCounted() throws Exception {
    Map<ErrorKind, Code> codes = new EnumMap<>(ErrorKind.class);
    codes.put(ErrorKind.INVALID_ARGUMENT, Code.INVALID_ARGUMENT);
    codes.put(ErrorKind.NOT_FOUND, Code.NOT_FOUND);
    codes.put(ErrorKind.FAILED_PRECONDITION, Code.FAILED_PRECONDITION);
    codes.put(ErrorKind.ALREADY_EXISTS, Code.ALREADY_EXISTS);
    codes.put(ErrorKind.RESOURCE_EXHAUSTED, Code.RESOURCE_EXHAUSTED);
    codes.put(ErrorKind.CANCELLED, Code.CANCELLED);
    codes.put(ErrorKind.DEADLINE_EXCEEDED, Code.DEADLINE_EXCEEDED);
    codes.put(ErrorKind.DIVERGED, Code.ABORTED);
    codes.put(ErrorKind.UNAVAILABLE, Code.UNAVAILABLE);
    codes.put(ErrorKind.INTERNAL, Code.INTERNAL);
    assertEquals(ErrorKind.values().length, codes.size());
    for (ErrorKind kind : ErrorKind.values()) {
      Status status = status(new PriorArtException(kind, "words", Map.of("step", "12"), null));
      assertEquals(codes.get(kind).getNumber(), status.getCode());
      ErrorInfo info = detail(status, ErrorInfo.class);
      assertEquals("priorart", info.getDomain());
      assertEquals(kind.name(), info.getReason());
      assertEquals(kind != ErrorKind.INTERNAL, info.getMetadataMap().containsKey("step"));
      assertEquals(1, meters.counter("priorart.errors", "kind", kind.name().toLowerCase()).count());
      assertEquals(kind == ErrorKind.RESOURCE_EXHAUSTED, detail(status, RetryInfo.class) != null);
    }
  }

  @Test
  void ourOwnFaultsAreToldByALogIdOnly() throws Exception {
    Status status = status(new IllegalStateException("secret path /home/x"));
    assertEquals(Code.INTERNAL.getNumber(), status.getCode());
    String id = detail(status, ErrorInfo.class).getMetadataOrThrow("log_id");
    assertTrue(status.getMessage().contains(id));
    assertFalse(status.toString().contains("secret"));
  }

  @Test
  void allBadFieldsAreTold() throws Exception {
    Violations violations = new Violations();
    violations.check(
        () -> {
          throw PriorArtException.badField("sigma", "must be more than 0");
        });
    violations.check(
        () -> {
          throw PriorArtException.badField("solver.zeta", "must be finite");
        });
    Status status = null;
    try {
      violations.raise();
    } catch (PriorArtException e) {
      status = status(e);
    }
    assertEquals(
        "noise.gaussian.sigma: must be more than 0; solver.parameters.zeta: must be finite",
        status.getMessage());
    assertEquals(2, detail(status, BadRequest.class).getFieldViolationsCount());
  }

  @Test
  void theQueuesAdviceBecomesRetryInfo() throws Exception {
    try (SolveQueue queue = new SolveQueue(1, 0)) {
      queue.submit(new Endless(), p -> {});
      queue.submit(new Endless(), p -> {});
    } catch (PriorArtException e) {
      Status status = status(e);
      assertEquals("QUEUE_FULL", detail(status, ErrorInfo.class).getReason());
      assertTrue(detail(status, RetryInfo.class).getRetryDelay().getSeconds() >= 1);
    }
  }

  private static final class Endless implements SolveQueue.Task {
    @Override
    public void run(SolveQueue.Ticket ticket, BooleanSupplier stop) {
      while (!stop.getAsBoolean()) {
        Thread.onSpinWait();
      }
    }

    @Override
    public void abandoned(PriorArtException reason) {}
  }

  @Test
  void whateverTheTextTheTrailersStayUnderWhatClientsTake() {
    Violations violations = new Violations();
    for (int i = 0; i < 50; i++) {
      violations.check(
          () -> {
            throw PriorArtException.badField("x".repeat(5000), "\ud83d\ude00".repeat(5000));
          });
    }
    StatusRuntimeException e = null;
    try {
      violations.raise();
    } catch (PriorArtException problem) {
      e = failures.status(problem);
    }
    Metadata trailers = e.getTrailers();
    byte[] details =
        trailers.get(Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER));
    // base64 takes 4/3; a percent-encoded emoji 12 bytes for its two characters
    int worst = details.length * 4 / 3 + e.getStatus().getDescription().length() * 6;
    assertTrue(worst < 7500, "trailers of " + worst + " bytes");
  }
}
