package io.priorart.api;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.micrometer.core.instrument.MeterRegistry;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jboss.logging.Logger;

/** The one place where a failure becomes a gRPC status (AIP-193). */
@Singleton
public final class Failures {
  private static final Logger LOG = Logger.getLogger(Failures.class);
  private static final String DOMAIN = "priorart";
  private static final long DEFAULT_RETRY_SECONDS = 10;

  // A status travels in HTTP/2 trailers, of which clients take 8 KiB in all.
  private static final int MESSAGE_CHARACTERS = 400;
  private static final int DETAIL_CHARACTERS = 200;
  private static final int STATUS_BYTES = 2800;

  /** Names of the runtime's fields where the wire's differ. */
  private static final Map<String, String> FIELDS =
      Map.of(
          "sigma", "noise.gaussian.sigma",
          "poisson", "noise.poisson.peak",
          "preset", "solver.preset",
          "steps", "solver.steps",
          "guidance-scale", "conditioning.guidance_scale",
          "suppress", "conditioning.suppress",
          "suppress-iterations", "conditioning.suppress_iterations",
          "bit-depth", "output.bit_depth");

  private static final Pattern SOLVER =
      Pattern.compile("(solver|method)\\.(?!steps$|preset$|name$)(\\w+)");
  private static final Pattern OPERATOR = Pattern.compile("(operators\\[\\d+])\\.(\\w+)");

  private final MeterRegistry meters;

  Failures(MeterRegistry meters) {
    this.meters = meters;
    for (ErrorKind kind : ErrorKind.values()) {
      count(kind, 0);
    }
  }

  private void count(ErrorKind kind, double amount) {
    meters.counter("priorart.errors", "kind", kind.name().toLowerCase()).increment(amount);
  }

  /** A status to end a call with; counted, and logged when the fault is ours. */
  public StatusRuntimeException status(Throwable failure) {
    if (failure instanceof StatusRuntimeException known) {
      return known;
    }
    PriorArtException e =
        failure instanceof PriorArtException known && known.kind() != ErrorKind.INTERNAL
            ? known
            : internal(failure);
    count(e.kind(), 1);
    return StatusProto.toStatusRuntimeException(message(e));
  }

  private static PriorArtException internal(Throwable failure) {
    String id = UUID.randomUUID().toString();
    LOG.errorf(failure, "log id %s", id);
    return new PriorArtException(
        ErrorKind.INTERNAL,
        "internal failure; please report it with the log id " + id,
        Map.of("log_id", id),
        null);
  }

  private static Status message(PriorArtException e) {
    List<BadRequest.FieldViolation> violations = new ArrayList<>();
    collect(e, violations);
    Status status = message(e, violations);
    while (status.getSerializedSize() > STATUS_BYTES && !violations.isEmpty()) {
      violations.remove(violations.size() - 1);
      status = message(e, violations);
    }
    return status;
  }

  private static Status message(PriorArtException e, List<BadRequest.FieldViolation> violations) {
    Map<String, String> metadata = new TreeMap<>(e.details());
    String reason = metadata.getOrDefault("reason", e.kind().name());
    metadata.remove("reason");
    String retry = metadata.remove("retry_after_seconds");
    metadata.computeIfPresent("field", (k, field) -> wirePath(field));
    metadata.replaceAll((k, v) -> shortened(v, DETAIL_CHARACTERS));
    Status.Builder status =
        Status.newBuilder()
            .setCode(code(e.kind()).getNumber())
            .setMessage(shortened(text(e, violations), MESSAGE_CHARACTERS))
            .addDetails(
                Any.pack(
                    ErrorInfo.newBuilder()
                        .setReason(reason)
                        .setDomain(DOMAIN)
                        .putAllMetadata(metadata)
                        .build()));
    if (!violations.isEmpty()) {
      status.addDetails(
          Any.pack(BadRequest.newBuilder().addAllFieldViolations(violations).build()));
    }
    if (e.kind() == ErrorKind.RESOURCE_EXHAUSTED) {
      long seconds = retry == null ? DEFAULT_RETRY_SECONDS : Long.parseLong(retry);
      status.addDetails(
          Any.pack(
              RetryInfo.newBuilder()
                  .setRetryDelay(Duration.newBuilder().setSeconds(seconds))
                  .build()));
    }
    return status.build();
  }

  private static String shortened(String text, int characters) {
    if (text.length() <= characters) {
      return text;
    }
    boolean splitsPair = Character.isHighSurrogate(text.charAt(characters - 1));
    return text.substring(0, characters - (splitsPair ? 1 : 0)) + "...";
  }

  private static void collect(PriorArtException e, List<BadRequest.FieldViolation> violations) {
    String field = e.details().get("field");
    if (field != null) {
      violations.add(
          BadRequest.FieldViolation.newBuilder()
              .setField(shortened(wirePath(field), DETAIL_CHARACTERS))
              .setDescription(shortened(problem(e, field), DETAIL_CHARACTERS))
              .build());
    }
    for (Throwable other : e.getSuppressed()) {
      if (other instanceof PriorArtException p && p.kind() == ErrorKind.INVALID_ARGUMENT) {
        collect(p, violations);
      }
    }
  }

  private static String problem(PriorArtException e, String field) {
    return e.getMessage().startsWith(field + ": ")
        ? e.getMessage().substring(field.length() + 2)
        : e.getMessage();
  }

  private static String text(PriorArtException e, List<BadRequest.FieldViolation> violations) {
    if (e.kind() != ErrorKind.INVALID_ARGUMENT || violations.isEmpty()) {
      return e.getMessage();
    }
    List<String> lines =
        violations.stream().map(v -> v.getField() + ": " + v.getDescription()).toList();
    return String.join("; ", lines);
  }

  /** The path of a field in the request. */
  static String wirePath(String field) {
    Matcher solver = SOLVER.matcher(field);
    if (solver.matches()) {
      return solver.group(1) + ".parameters." + solver.group(2);
    }
    Matcher operator = OPERATOR.matcher(field);
    if (operator.matches()) {
      String name = operator.group(2);
      boolean tensor = name.equals("mask") || name.equals("kernel");
      return operator.group(1) + (tensor ? ".artifacts." : ".parameters.") + name;
    }
    return FIELDS.getOrDefault(field, field);
  }

  private static Code code(ErrorKind kind) {
    return switch (kind) {
      case INVALID_ARGUMENT -> Code.INVALID_ARGUMENT;
      case NOT_FOUND -> Code.NOT_FOUND;
      case FAILED_PRECONDITION -> Code.FAILED_PRECONDITION;
      case ALREADY_EXISTS -> Code.ALREADY_EXISTS;
      case RESOURCE_EXHAUSTED -> Code.RESOURCE_EXHAUSTED;
      case CANCELLED -> Code.CANCELLED;
      case DEADLINE_EXCEEDED -> Code.DEADLINE_EXCEEDED;
      case DIVERGED -> Code.ABORTED;
      case UNAVAILABLE -> Code.UNAVAILABLE;
      case INTERNAL -> Code.INTERNAL;
    };
  }
}
