package io.priorart.api;

import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.v1.EditRequest;
import io.priorart.v1.InterpolateRequest;
import io.priorart.v1.InversionEvent;
import io.priorart.v1.InversionServiceGrpc;
import io.priorart.v1.InvertRequest;
import io.quarkus.grpc.GrpcService;
import io.smallrye.common.annotation.Blocking;
import java.util.function.Supplier;

/** {@code InversionService}. */
@GrpcService
@Blocking
public final class InversionGrpc implements BindableService, InversionServiceGrpc.AsyncService {
  private final Service service;
  private final InversionRequests requests;
  private final Failures failures;
  private final InversionCall.Shared shared;

  InversionGrpc(
      Service service,
      InversionRequests requests,
      Images images,
      Failures failures,
      Measures measures) {
    this.service = service;
    this.requests = requests;
    this.failures = failures;
    shared = new InversionCall.Shared(service, images, failures, measures);
  }

  @Override
  public ServerServiceDefinition bindService() {
    return StrictMessages.of(InversionServiceGrpc.bindService(this), failures);
  }

  @Override
  public void invert(InvertRequest wire, StreamObserver<InversionEvent> observer) {
    queue(observer, () -> requests.invert(wire));
  }

  @Override
  public void edit(EditRequest wire, StreamObserver<InversionEvent> observer) {
    queue(observer, () -> requests.edit(wire));
  }

  @Override
  public void interpolate(InterpolateRequest wire, StreamObserver<InversionEvent> observer) {
    queue(observer, () -> requests.interpolate(wire));
  }

  private void queue(
      StreamObserver<InversionEvent> observer, Supplier<InversionRequests.Job> check) {
    Canceller canceller = new Canceller(service);
    EventStream<InversionEvent> events =
        new EventStream<>((ServerCallStreamObserver<InversionEvent>) observer, canceller);
    InversionCall call = null;
    try {
      call = new InversionCall(shared, check.get(), events);
      SolveQueue.Place place =
          service.solves().submit(call, p -> events.send(InversionCall.accepted(p)));
      canceller.follow(place.ticket());
    } catch (RuntimeException | OutOfMemoryError e) {
      if (call != null) {
        call.close();
      }
      events.fail(failures.status(e));
    }
  }
}
