package io.priorart.api;

import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.Durations;
import io.priorart.runtime.Limits;
import io.priorart.runtime.Restorer;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.PublishedMethod;
import io.priorart.solver.SolverMethod;
import io.priorart.solver.inversion.InversionMethod;
import io.priorart.solver.inversion.Inverters;
import io.priorart.solver.operator.Operators;
import io.priorart.v1.GetLimitsResponse;
import io.priorart.v1.ListInversionsRequest;
import io.priorart.v1.ListInversionsResponse;
import io.priorart.v1.ListModelsRequest;
import io.priorart.v1.ListModelsResponse;
import io.priorart.v1.ListOperatorsRequest;
import io.priorart.v1.ListOperatorsResponse;
import io.priorart.v1.ListSolversRequest;
import io.priorart.v1.ListSolversResponse;
import io.priorart.v1.ModelDescription;
import io.priorart.v1.OperatorDescription;
import io.priorart.v1.ParameterDescription;
import io.priorart.v1.SolverDescription;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.eclipse.microprofile.config.inject.ConfigProperty;

/** What this server offers, derived from the same records that requests are checked against. */
@Singleton
public final class Catalog {
  private final Service service;
  private final long messageBytes;

  Catalog(
      Service service,
      @ConfigProperty(name = "quarkus.grpc.server.max-inbound-message-size") int messageBytes) {
    this.service = service;
    this.messageBytes = messageBytes;
  }

  /** A page of a list (AIP-158); the token is where it goes on. */
  private record Page<T>(List<T> items, String nextToken) {
    static <T> Page<T> of(List<T> all, int size, String token) {
      if (size < 0) {
        throw PriorArtException.badField("page_size", "must be 0 or more, was " + size);
      }
      int from = 0;
      if (!token.isEmpty()) {
        if (!token.matches("\\d{1,6}") || Integer.parseInt(token) > all.size()) {
          throw PriorArtException.badField("page_token", "is none that this server gave");
        }
        from = Integer.parseInt(token);
      }
      int to = size == 0 ? all.size() : (int) Math.min(all.size(), (long) from + size);
      return new Page<>(all.subList(from, to), to < all.size() ? Integer.toString(to) : "");
    }
  }

  ListSolversResponse solvers(ListSolversRequest request) {
    List<SolverMethod<?>> all = List.copyOf(Restorer.SOLVERS.list());
    Page<SolverMethod<?>> page = Page.of(all, request.getPageSize(), request.getPageToken());
    ListSolversResponse.Builder response =
        ListSolversResponse.newBuilder().setNextPageToken(page.nextToken);
    page.items.forEach(
        m -> response.addSolvers(method(m, m.equals(Restorer.SOLVERS.defaultMethod()))));
    return response.build();
  }

  ListInversionsResponse inversions(ListInversionsRequest request) {
    List<InversionMethod<?>> all = Inverters.BUILT_IN;
    Page<InversionMethod<?>> page = Page.of(all, request.getPageSize(), request.getPageToken());
    ListInversionsResponse.Builder response =
        ListInversionsResponse.newBuilder().setNextPageToken(page.nextToken);
    page.items.forEach(m -> response.addInversions(method(m, m.equals(all.get(0)))));
    return response.build();
  }

  private static <P extends Record> SolverDescription method(
      PublishedMethod<P> method, boolean isDefault) {
    ParameterSchema<P> schema = ParameterSchema.of(method.spec());
    SolverDescription.Builder solver =
        SolverDescription.newBuilder()
            .setName(method.id())
            .setSummary(method.summary())
            .setCitation(method.citation())
            .setIsDefault(isDefault);
    method.needs().stream().map(n -> n.name().toLowerCase()).sorted().forEach(solver::addNeeds);
    schema.entries(method.defaults()).forEach(e -> solver.addParameters(parameter(e)));
    method
        .presets()
        .forEach((name, preset) -> solver.putPresets(name, struct(schema.values(preset))));
    return solver.build();
  }

  ListOperatorsResponse operators(ListOperatorsRequest request) {
    Page<OperatorKind<?>> page =
        Page.of(Operators.list(), request.getPageSize(), request.getPageToken());
    ListOperatorsResponse.Builder response =
        ListOperatorsResponse.newBuilder().setNextPageToken(page.nextToken);
    page.items.forEach(kind -> response.addOperators(operator(kind)));
    return response.build();
  }

  private static <P extends Record> OperatorDescription operator(OperatorKind<P> kind) {
    OperatorDescription.Builder operator =
        OperatorDescription.newBuilder().setName(kind.id()).setSummary(kind.summary());
    ParameterSchema.of(kind.spec())
        .entries(kind.defaults())
        .forEach(e -> operator.addParameters(parameter(e)));
    return operator.build();
  }

  private static ParameterDescription parameter(ParameterSchema.Entry e) {
    ParameterDescription.Builder parameter =
        ParameterDescription.newBuilder()
            .setName(e.name())
            .setType(e.type().wire())
            .setRequired(e.required())
            .addAllChoices(e.choices())
            .setUnit(e.unit())
            .setDoc(e.doc());
    if (e.defaultValue() != null) {
      parameter.setDefaultValue(value(e.defaultValue()));
    }
    if (Double.isFinite(e.min())) {
      parameter.setMin(e.min());
    }
    if (Double.isFinite(e.max())) {
      parameter.setMax(e.max());
    }
    return parameter.build();
  }

  private static Struct struct(Map<String, Object> values) {
    Struct.Builder struct = Struct.newBuilder();
    values.forEach((key, value) -> struct.putFields(key, value(value)));
    return struct.build();
  }

  private static Value value(Object value) {
    Value.Builder builder = Value.newBuilder();
    if (value instanceof Number n) {
      builder.setNumberValue(n.doubleValue());
    } else if (value instanceof Boolean b) {
      builder.setBoolValue(b);
    } else {
      builder.setStringValue(value.toString());
    }
    return builder.build();
  }

  ListModelsResponse models(ListModelsRequest request) {
    Page<String> page =
        Page.of(service.models().names(), request.getPageSize(), request.getPageToken());
    ListModelsResponse.Builder response =
        ListModelsResponse.newBuilder().setNextPageToken(page.nextToken);
    page.items.forEach(name -> response.addModels(model(name)));
    return response.build();
  }

  private ModelDescription model(String name) {
    ModelDescription.Builder model =
        ModelDescription.newBuilder()
            .setName(name)
            .setSummary(service.models().traits(name).kind())
            .setIsDefault(name.equals(service.models().named("")));
    service
        .models()
        .opened(name)
        .ifPresent(
            pipeline ->
                model
                    .setLoaded(true)
                    .setParameterCount(pipeline.parameters())
                    .setSha256(pipeline.hash()));
    return model.build();
  }

  GetLimitsResponse limits() {
    ServiceSettings s = service.settings();
    return GetLimitsResponse.newBuilder()
        .setMessageBytes(messageBytes)
        .setArtifactBytes(s.artifacts().maxBytes().asLongValue())
        .setArtifactQuotaBytes(s.artifacts().quota().asLongValue())
        .setArtifactExpiry(duration(s.artifacts().expiry()))
        .setPixels(Limits.PIXELS)
        .setSteps(s.limit().steps())
        .setSamples(Limits.SAMPLES)
        .setOperators(Limits.OPERATORS)
        .setPreviewPixels(s.preview().pixels())
        .setPreviewInterval(duration(s.preview().interval()))
        .setBudget(duration(s.budget()))
        .setSlots(s.slots())
        .setQueue(s.queue())
        .setPromptCharacters(s.limit().promptCharacters())
        .build();
  }

  private static com.google.protobuf.Duration duration(Duration duration) {
    return Durations.fromNanos(duration.toNanos());
  }
}
