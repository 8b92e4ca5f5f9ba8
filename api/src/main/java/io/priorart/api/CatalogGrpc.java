package io.priorart.api;

import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.StreamObserver;
import io.priorart.v1.CatalogServiceGrpc;
import io.priorart.v1.GetLimitsRequest;
import io.priorart.v1.GetLimitsResponse;
import io.priorart.v1.ListInversionsRequest;
import io.priorart.v1.ListInversionsResponse;
import io.priorart.v1.ListModelsRequest;
import io.priorart.v1.ListModelsResponse;
import io.priorart.v1.ListOperatorsRequest;
import io.priorart.v1.ListOperatorsResponse;
import io.priorart.v1.ListSolversRequest;
import io.priorart.v1.ListSolversResponse;
import io.quarkus.grpc.GrpcService;
import io.smallrye.common.annotation.Blocking;
import java.util.function.Supplier;

/** {@code CatalogService}. */
@GrpcService
@Blocking
public final class CatalogGrpc implements BindableService, CatalogServiceGrpc.AsyncService {
  private final Catalog catalog;
  private final Failures failures;

  CatalogGrpc(Catalog catalog, Failures failures) {
    this.catalog = catalog;
    this.failures = failures;
  }

  @Override
  public ServerServiceDefinition bindService() {
    return StrictMessages.of(CatalogServiceGrpc.bindService(this), failures);
  }

  @Override
  public void listSolvers(ListSolversRequest r, StreamObserver<ListSolversResponse> observer) {
    answer(observer, () -> catalog.solvers(r));
  }

  @Override
  public void listOperators(
      ListOperatorsRequest r, StreamObserver<ListOperatorsResponse> observer) {
    answer(observer, () -> catalog.operators(r));
  }

  @Override
  public void listModels(ListModelsRequest r, StreamObserver<ListModelsResponse> observer) {
    answer(observer, () -> catalog.models(r));
  }

  @Override
  public void listInversions(
      ListInversionsRequest r, StreamObserver<ListInversionsResponse> observer) {
    answer(observer, () -> catalog.inversions(r));
  }

  @Override
  public void getLimits(GetLimitsRequest r, StreamObserver<GetLimitsResponse> observer) {
    answer(observer, catalog::limits);
  }

  private <T> void answer(StreamObserver<T> observer, Supplier<T> work) {
    try {
      observer.onNext(work.get());
      observer.onCompleted();
    } catch (RuntimeException e) {
      observer.onError(failures.status(e));
    }
  }
}
