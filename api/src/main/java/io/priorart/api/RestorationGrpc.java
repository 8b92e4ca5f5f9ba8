package io.priorart.api;

import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.priorart.runtime.Comparison;
import io.priorart.runtime.Degrader;
import io.priorart.runtime.Limits;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.Sha256;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.service.SolveQueue;
import io.priorart.solver.HostTensor;
import io.priorart.solver.Noise;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.CompareRequest;
import io.priorart.v1.CompareResponse;
import io.priorart.v1.DegradeRequest;
import io.priorart.v1.DegradeResponse;
import io.priorart.v1.Image;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Operator;
import io.priorart.v1.RestorationServiceGrpc;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.RestoreRequest;
import io.priorart.v1.Size;
import io.quarkus.grpc.GrpcService;
import io.smallrye.common.annotation.Blocking;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;

/** {@code RestorationService}. */
@GrpcService
@Blocking
public final class RestorationGrpc implements BindableService, RestorationServiceGrpc.AsyncService {
  private final Service service;
  private final Requests requests;
  private final Images images;
  private final Failures failures;
  private final RestorationCall.Shared shared;

  RestorationGrpc(
      Service service,
      Requests requests,
      Images images,
      Failures failures,
      Measures measures,
      Answers answers) {
    this.service = service;
    this.requests = requests;
    this.images = images;
    this.failures = failures;
    shared = new RestorationCall.Shared(service, images, failures, measures, answers);
  }

  @Override
  public ServerServiceDefinition bindService() {
    return StrictMessages.of(RestorationServiceGrpc.bindService(this), failures);
  }

  @Override
  public void restore(RestoreRequest wire, StreamObserver<RestoreEvent> observer) {
    Canceller canceller = new Canceller(service);
    EventStream<RestoreEvent> events =
        new EventStream<>((ServerCallStreamObserver<RestoreEvent>) observer, canceller);
    try {
      RestoreEvent.Finished before =
          wire.getRequestId().isEmpty()
              ? null
              : shared.answers().begin(wire.getRequestId(), Sha256.of(wire.toByteArray()));
      if (before != null) {
        events.send(RestorationCall.accepted(0));
        events.finish(RestoreEvent.newBuilder().setFinished(before).build());
        return;
      }
    } catch (RuntimeException e) {
      events.fail(failures.status(e));
      return;
    }
    RestorationCall call = null;
    try {
      call = new RestorationCall(shared, wire, requests.restoration(wire), events);
      SolveQueue.Place place =
          service.solves().submit(call, p -> events.send(RestorationCall.accepted(p)));
      canceller.follow(place.ticket());
    } catch (RuntimeException | OutOfMemoryError e) {
      shared.answers().drop(wire.getRequestId());
      if (call != null) {
        call.close();
      }
      events.fail(failures.status(e));
    }
  }

  @Override
  public void degrade(DegradeRequest wire, StreamObserver<DegradeResponse> observer) {
    quick(observer, () -> degraded(wire));
  }

  private DegradeResponse degraded(DegradeRequest wire) {
    Noise asked = Requests.noise(wire.hasNoise() ? wire.getNoise() : null);
    Noise noise = asked == null ? new Noise.None() : asked;
    PictureFormat format = Requests.format(wire.getOutput());
    Picture picture = requests.picture("image", wire.getImage());
    int depth = format.depth(wire.getOutput().hasBitDepth() ? wire.getOutput().getBitDepth() : 32);
    List<OperatorRequest> operators =
        requests.operators(wire.getOperatorsList(), wire.getMaskPolarity());
    Degrader.Degraded degraded = Degrader.degrade(picture, operators, noise, wire.getSeed(), depth);
    Images.Answer files = images.answer();
    DegradeResponse.Builder response =
        DegradeResponse.newBuilder()
            .setImage(files.image(PictureFiles.encode(degraded.measurement(), format)))
            .setClippedSamples(depth == 32 ? 0 : PictureFiles.clipped(degraded.measurement()))
            .setSize(Size.newBuilder().setWidth(picture.width()).setHeight(picture.height()));
    for (int i = 0; i < operators.size(); i++) {
      response.addOperators(
          told(
              wire.getOperators(i),
              degraded.problem().operators().get(i),
              files,
              wire.getMaskPolarity()));
    }
    return response.build();
  }

  /** As asked, unless something was drawn: then what was drawn. */
  private static Operator told(
      Operator asked, OperatorRequest measured, Images.Answer files, MaskPolarity polarity) {
    boolean drawn =
        asked.getArtifactsCount() == 0
            && measured.parameters().values().stream().anyMatch(HostTensor.class::isInstance);
    if (!drawn) {
      return asked;
    }
    Operator.Builder operator = Operator.newBuilder().setName(asked.getName());
    measured
        .parameters()
        .forEach(
            (name, value) ->
                operator.putArtifacts(
                    name,
                    files.image(
                        PictureFiles.encodeMask(
                            polarity == MaskPolarity.MASK_POLARITY_BLACK_IS_MISSING
                                ? Requests.missing((HostTensor) value, polarity)
                                : (HostTensor) value))));
    return operator.build();
  }

  @Override
  public void compare(CompareRequest wire, StreamObserver<CompareResponse> observer) {
    quick(observer, () -> compared(wire));
  }

  private CompareResponse compared(CompareRequest wire) {
    Picture first = requests.picture("first", wire.getFirst());
    Picture second = requests.picture("second", wire.getSecond());
    HostTensor inside = wire.hasMask() ? mask(wire.getMask(), wire.getMaskPolarity()) : null;
    Comparison c = Comparison.of(first, second, inside);
    CompareResponse.Builder response = CompareResponse.newBuilder().setPsnr(c.psnr());
    if (!Double.isNaN(c.ssim())) {
      response.setSsim(c.ssim());
    }
    if (!Double.isNaN(c.msSsim())) {
      response.setMsSsim(c.msSsim());
    }
    if (inside != null && !Double.isNaN(c.psnrInside())) {
      response.setPsnrInside(c.psnrInside());
    }
    if (inside != null && !Double.isNaN(c.psnrOutside())) {
      response.setPsnrOutside(c.psnrOutside());
    }
    return response.build();
  }

  private HostTensor mask(Image image, MaskPolarity polarity) {
    HostTensor mask =
        OperatorRequest.tensor("mask", "mask", images.bytes("mask", image), Limits.PIXELS);
    return Requests.missing(mask, polarity);
  }

  /** Short work: not behind solves, and not without bound. */
  private <T> void quick(StreamObserver<T> observer, Callable<T> work) {
    Canceller canceller = new Canceller(service);
    EventStream<T> events = new EventStream<>((ServerCallStreamObserver<T>) observer, canceller);
    try {
      canceller.follow(
          service
              .quick()
              .submit(
                  new SolveQueue.Task() {
                    @Override
                    public void run(SolveQueue.Ticket ticket, BooleanSupplier stop) {
                      try {
                        events.finish(work.call());
                      } catch (Exception | OutOfMemoryError e) {
                        events.fail(failures.status(ticket.reason() != null ? ticket.reason() : e));
                      }
                    }

                    @Override
                    public void abandoned(PriorArtException reason) {
                      events.fail(failures.status(reason));
                    }
                  },
                  position -> {})
              .ticket());
    } catch (RuntimeException e) {
      events.fail(failures.status(e));
    }
  }
}
