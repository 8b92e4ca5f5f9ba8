package io.priorart.api;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.ListInversionsRequest;
import io.priorart.v1.ListModelsRequest;
import io.priorart.v1.ListOperatorsRequest;
import io.priorart.v1.ListSolversRequest;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import org.eclipse.microprofile.openapi.annotations.Operation;

/** The catalogue over HTTP: the messages of {@code CatalogService} by protobuf's JSON mapping. */
@Path("/v1")
@Produces(MediaType.APPLICATION_JSON)
public final class CatalogResource {
  private final Catalog catalog;

  CatalogResource(Catalog catalog) {
    this.catalog = catalog;
  }

  @GET
  @Path("solvers")
  @Operation(summary = "The solvers with their parameters: priorart.v1.ListSolversResponse")
  public String solvers() {
    return json(catalog.solvers(ListSolversRequest.getDefaultInstance()));
  }

  @GET
  @Path("operators")
  @Operation(summary = "The operators with their parameters: priorart.v1.ListOperatorsResponse")
  public String operators() {
    return json(catalog.operators(ListOperatorsRequest.getDefaultInstance()));
  }

  @GET
  @Path("inversions")
  @Operation(summary = "The inversions with their parameters: priorart.v1.ListInversionsResponse")
  public String inversions() {
    return json(catalog.inversions(ListInversionsRequest.getDefaultInstance()));
  }

  @GET
  @Path("models")
  @Operation(summary = "The models: priorart.v1.ListModelsResponse")
  public String models() {
    return json(catalog.models(ListModelsRequest.getDefaultInstance()));
  }

  @GET
  @Path("limits")
  @Operation(summary = "What a request may ask for at most: priorart.v1.GetLimitsResponse")
  public String limits() {
    return json(catalog.limits());
  }

  private static String json(MessageOrBuilder message) {
    try {
      return JsonFormat.printer().print(message);
    } catch (InvalidProtocolBufferException e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "a message without a JSON form", e);
    }
  }
}
