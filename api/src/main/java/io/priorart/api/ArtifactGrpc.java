package io.priorart.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.priorart.runtime.service.ArtifactStore;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.ArtifactRef;
import io.priorart.v1.ArtifactServiceGrpc;
import io.priorart.v1.DownloadRequest;
import io.priorart.v1.DownloadResponse;
import io.priorart.v1.ExistsRequest;
import io.priorart.v1.ExistsResponse;
import io.priorart.v1.UploadRequest;
import io.priorart.v1.UploadResponse;
import io.quarkus.grpc.GrpcService;
import io.smallrye.common.annotation.Blocking;
import java.time.Instant;

/** {@code ArtifactService}. */
@GrpcService
@Blocking
public final class ArtifactGrpc implements BindableService, ArtifactServiceGrpc.AsyncService {
  private static final int CHUNK_BYTES = 1 << 18;

  private final ArtifactStore artifacts;
  private final Failures failures;

  ArtifactGrpc(Service service, Failures failures) {
    artifacts = service.artifacts();
    this.failures = failures;
  }

  @Override
  public ServerServiceDefinition bindService() {
    return StrictMessages.of(ArtifactServiceGrpc.bindService(this), failures);
  }

  @Override
  public StreamObserver<UploadRequest> upload(StreamObserver<UploadResponse> observer) {
    Receiver receiver = new Receiver(observer);
    ((ServerCallStreamObserver<UploadResponse>) observer).setOnCancelHandler(receiver::close);
    return receiver;
  }

  private final class Receiver implements StreamObserver<UploadRequest> {
    private final StreamObserver<UploadResponse> observer;
    private ArtifactStore.Upload upload;
    private UploadRequest.Header header;
    private boolean ended;

    Receiver(StreamObserver<UploadResponse> observer) {
      this.observer = observer;
    }

    @Override
    public synchronized void onNext(UploadRequest part) {
      if (ended) {
        return;
      }
      try {
        take(part);
      } catch (RuntimeException e) {
        fail(e);
      }
    }

    private void take(UploadRequest part) {
      switch (part.getPartCase()) {
        case HEADER -> {
          if (upload != null) {
            throw PriorArtException.badField("header", "must come once, before the chunks");
          }
          header = part.getHeader();
          upload = artifacts.begin(header.getSha256(), header.getSize(), header.getOffset());
        }
        case CHUNK -> {
          if (upload == null) {
            throw PriorArtException.badField("chunk", "must come after the header");
          }
          upload.write(part.getChunk().asReadOnlyByteBuffer());
        }
        case PART_NOT_SET -> throw PriorArtException.badField("part", "must be header or chunk");
      }
    }

    private void fail(RuntimeException e) {
      ended = true;
      close();
      observer.onError(failures.status(e));
    }

    @Override
    public synchronized void onError(Throwable t) {
      close();
    }

    @Override
    public synchronized void onCompleted() {
      if (ended) {
        return;
      }
      try {
        if (upload == null) {
          throw PriorArtException.badField("header", "must come first; nothing came");
        }
        Instant expires = upload.finish();
        ended = true;
        observer.onNext(
            UploadResponse.newBuilder()
                .setArtifact(
                    ArtifactRef.newBuilder()
                        .setSha256(header.getSha256())
                        .setSize(header.getSize()))
                .setExpireTime(timestamp(expires))
                .build());
        observer.onCompleted();
      } catch (RuntimeException e) {
        fail(e);
      }
    }

    synchronized void close() {
      ended = true;
      if (upload != null) {
        upload.close();
      }
    }
  }

  @Override
  public void download(DownloadRequest request, StreamObserver<DownloadResponse> observer) {
    ServerCallStreamObserver<DownloadResponse> out =
        (ServerCallStreamObserver<DownloadResponse>) observer;
    try {
      byte[] file = artifacts.read(request.getArtifact().getSha256());
      if (request.getOffset() < 0 || request.getOffset() > file.length) {
        throw PriorArtException.badField(
            "offset", "must be 0 to " + file.length + ", was " + request.getOffset());
      }
      Sender sender = new Sender(out, file, (int) request.getOffset());
      out.setOnCancelHandler(sender::stop);
      out.setOnReadyHandler(sender::send);
      sender.send();
    } catch (RuntimeException e) {
      observer.onError(failures.status(e));
    }
  }

  /** Sends as much as the reader takes. */
  private static final class Sender {
    private final ServerCallStreamObserver<DownloadResponse> out;
    private final byte[] file;
    private int at;
    private boolean ended;

    Sender(ServerCallStreamObserver<DownloadResponse> out, byte[] file, int offset) {
      this.out = out;
      this.file = file;
      at = offset;
    }

    synchronized void stop() {
      ended = true;
    }

    synchronized void send() {
      while (!ended && at < file.length && out.isReady()) {
        int length = Math.min(CHUNK_BYTES, file.length - at);
        out.onNext(
            DownloadResponse.newBuilder().setChunk(ByteString.copyFrom(file, at, length)).build());
        at += length;
      }
      if (!ended && at == file.length) {
        ended = true;
        out.onCompleted();
      }
    }
  }

  @Override
  public void exists(ExistsRequest request, StreamObserver<ExistsResponse> observer) {
    try {
      ArtifactStore.Presence there = artifacts.find(request.getArtifact().getSha256());
      ExistsResponse.Builder response =
          ExistsResponse.newBuilder()
              .setExists(there.whole())
              .setReceivedBytes(there.receivedBytes());
      if (there.expires() != null) {
        response.setExpireTime(timestamp(there.expires()));
      }
      observer.onNext(response.build());
      observer.onCompleted();
    } catch (RuntimeException e) {
      observer.onError(failures.status(e));
    }
  }

  private static Timestamp timestamp(Instant instant) {
    return Timestamp.newBuilder()
        .setSeconds(instant.getEpochSecond())
        .setNanos(instant.getNano())
        .build();
  }
}
