package io.priorart.cli;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.JsonFormat;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.priorart.models.engine.Precision;
import io.priorart.runtime.AutoSolver;
import io.priorart.runtime.Checkpoints;
import io.priorart.runtime.FileRestorer;
import io.priorart.runtime.Json;
import io.priorart.runtime.Limits;
import io.priorart.runtime.OperatorRequest;
import io.priorart.runtime.Report;
import io.priorart.runtime.RestoreListener;
import io.priorart.runtime.Restorer;
import io.priorart.runtime.Sha256;
import io.priorart.runtime.Stopping;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.SolveEvent;
import io.priorart.v1.ArtifactRef;
import io.priorart.v1.ArtifactServiceGrpc;
import io.priorart.v1.Conditioning;
import io.priorart.v1.DownloadRequest;
import io.priorart.v1.DownloadResponse;
import io.priorart.v1.ExistsRequest;
import io.priorart.v1.ExistsResponse;
import io.priorart.v1.Finish;
import io.priorart.v1.Format;
import io.priorart.v1.Image;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Noise;
import io.priorart.v1.Operator;
import io.priorart.v1.Output;
import io.priorart.v1.RestorationServiceGrpc;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.RestoreRequest;
import io.priorart.v1.Size;
import io.priorart.v1.Solver;
import io.priorart.v1.UploadRequest;
import io.priorart.v1.UploadResponse;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Restores in a running server, over {@code priorart.v1}. */
final class RemoteDoor implements RestoreDoor {
  /** Larger files travel as artifacts. */
  private static final int INLINE_BYTES = 1 << 20;

  private static final int CHUNK_BYTES = 1 << 18;
  private static final long POLL_MILLIS = 50;
  private static final Duration PREVIEW_INTERVAL =
      Duration.newBuilder().setNanos(200_000_000).build();

  private final ManagedChannel channel;
  private final Sources model;

  /**
   * @param target {@code HOST:PORT}
   */
  RemoteDoor(String target, Sources model) {
    if (!target.matches("[^/\\s]+:\\d{1,5}")) {
      throw PriorArtException.badField("server", "must be HOST:PORT, was " + target);
    }
    model.requireUnchanged("belong to the process that opens the model; the service opens its own");
    channel = ManagedChannelBuilder.forTarget(target).usePlaintext().build();
    this.model = model;
  }

  @Override
  public FileRestorer.Restored restore(
      FileRestorer.Job job, RestoreListener listener, Stopping stopping) {
    if (stopping.keepBest()) {
      throw PriorArtException.badField(
          "keep-best", "is for solves in this process; give --budget to a server");
    }
    ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor();
    Context.CancellableContext context = Context.current().withCancellation();
    watch.scheduleAtFixedRate(
        () -> {
          if (stopping.cancelled().getAsBoolean()) {
            context.cancel(null);
          }
        },
        POLL_MILLIS,
        POLL_MILLIS,
        TimeUnit.MILLISECONDS);
    try {
      return context.call(() -> follow(job, listener, stopping));
    } catch (StatusRuntimeException e) {
      throw explained(e);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "server: " + e.getMessage(), e);
    } finally {
      watch.shutdownNow();
      context.close();
    }
  }

  private FileRestorer.Restored follow(
      FileRestorer.Job job, RestoreListener listener, Stopping stopping) {
    Iterator<RestoreEvent> events =
        RestorationServiceGrpc.newBlockingStub(channel)
            .restore(request(job, listener, stopping.budget()));
    int sample = -1;
    while (events.hasNext()) {
      RestoreEvent event = events.next();
      switch (event.getEventCase()) {
        case STEP -> {
          RestoreEvent.Step step = event.getStep();
          sample = begin(sample, step.getSample(), listener);
          // the wire's residual is on the [0,1] scale, a listener's on the internal one
          double residual = step.hasResidualRms() ? 2 * step.getResidualRms() : Double.NaN;
          listener.on(new SolveEvent.Step(step.getStep(), step.getTotal(), residual));
        }
        case PREVIEW -> {
          RestoreEvent.Preview preview = event.getPreview();
          sample = begin(sample, preview.getSample(), listener);
          listener.on(
              new SolveEvent.Preview(
                  preview.getStep(),
                  PictureFiles.decode(
                          "preview", preview.getImage().getData().toByteArray(), Limits.PIXELS)
                      .pixels()));
        }
        case FINISHED -> {
          return restored(event.getFinished());
        }
        case ACCEPTED, STARTED, SAMPLE_FINISHED, EVENT_NOT_SET -> {}
      }
    }
    throw new PriorArtException(ErrorKind.INTERNAL, "server: ended without a result");
  }

  private static int begin(int current, int sample, RestoreListener listener) {
    if (sample != current) {
      listener.batchStarted(sample, 1);
    }
    return sample;
  }

  // ---- the request

  private RestoreRequest request(
      FileRestorer.Job job, RestoreListener listener, java.time.Duration budget) {
    Restorer.Request r = job.request();
    Output.Builder output =
        Output.newBuilder()
            .setFormat(format(job.format()))
            .setWantMeanAndStd(job.meanAndDeviation());
    if (job.bitDepth() != 0) {
      output.setBitDepth(job.bitDepth());
    }
    if (listener.wantsPreview(1)) {
      output.setPreviewInterval(PREVIEW_INTERVAL);
    }
    Solver.Builder solver =
        Solver.newBuilder()
            .setName(r.solver().equals(AutoSolver.NAME) ? "" : r.solver())
            .setPreset(r.preset())
            .setParameters(struct(r.parameters()));
    if (r.steps() != null) {
      solver.setSteps(r.steps());
    }
    RestoreRequest.Builder request =
        RestoreRequest.newBuilder()
            .setImage(image(job.measurement()))
            .setModel(model.name().equals(Checkpoints.BUNDLED) ? "" : model.name())
            .setPrecision(precision(model.choice()))
            .setConditioning(
                Conditioning.newBuilder()
                    .setPrompt(r.prompt().text())
                    .setNegativePrompt(r.prompt().negative())
                    .setGuidanceScale(r.prompt().guidanceScale())
                    .setSuppress(r.prompt().suppress())
                    .setSuppressIterations(r.prompt().suppressIterations()))
            .setSolver(solver)
            .setSeed(r.seed())
            .setSamples(r.samples())
            .setFinish(r.finish() ? Finish.FINISH_PROJECTION : Finish.FINISH_NONE)
            .setMaskPolarity(MaskPolarity.MASK_POLARITY_WHITE_IS_MISSING)
            .setOutput(output);
    if (budget != null) {
      request.setBudget(
          Duration.newBuilder().setSeconds(budget.toSeconds()).setNanos(budget.toNanosPart()));
    }
    for (OperatorRequest operator : r.operators()) {
      request.addOperators(operator(operator));
    }
    if (r.noise() != null) {
      request.setNoise(noise(r.noise()));
    }
    if (r.width() != 0) {
      request.setSize(Size.newBuilder().setWidth(r.width()).setHeight(r.height()));
    }
    return request.build();
  }

  private static Noise noise(io.priorart.solver.Noise noise) {
    Noise.Builder wire = Noise.newBuilder();
    if (noise instanceof io.priorart.solver.Noise.Poisson light) {
      return wire.setPoisson(Noise.Poisson.newBuilder().setPeak(light.peak())).build();
    }
    return noise instanceof io.priorart.solver.Noise.Gaussian g && !g.isNone()
        ? wire.setGaussian(Noise.Gaussian.newBuilder().setSigma(g.sigma())).build()
        : wire.setNone(Noise.None.getDefaultInstance()).build();
  }

  private Operator operator(OperatorRequest request) {
    Operator.Builder operator = Operator.newBuilder().setName(request.name());
    Map<String, Object> parameters = new java.util.LinkedHashMap<>(request.parameters());
    for (String file : request.files()) {
      Path path = Path.of(parameters.remove(file).toString());
      operator.putArtifacts(file, image(PictureFiles.bytes(path)));
    }
    return operator.setParameters(struct(parameters)).build();
  }

  private static Struct struct(Map<String, ?> parameters) {
    Struct.Builder struct = Struct.newBuilder();
    parameters.forEach((key, value) -> struct.putFields(key, value(value)));
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

  private static Format format(PictureFormat format) {
    return switch (format) {
      case PNG -> Format.FORMAT_PNG;
      case JPEG -> Format.FORMAT_JPEG;
      case TIFF -> Format.FORMAT_TIFF;
    };
  }

  private static io.priorart.v1.Precision precision(Precision precision) {
    return switch (precision) {
      case AUTO -> io.priorart.v1.Precision.PRECISION_UNSPECIFIED;
      case FLOAT32 -> io.priorart.v1.Precision.PRECISION_FLOAT32;
      case BFLOAT16 -> io.priorart.v1.Precision.PRECISION_BFLOAT16;
      case FLOAT16 -> io.priorart.v1.Precision.PRECISION_FLOAT16;
    };
  }

  // ---- artifacts

  private Image image(byte[] file) {
    Image.Builder image = Image.newBuilder();
    return file.length <= INLINE_BYTES
        ? image.setData(ByteString.copyFrom(file)).build()
        : image.setArtifact(upload(file)).build();
  }

  private ArtifactRef upload(byte[] file) {
    ArtifactRef ref =
        ArtifactRef.newBuilder().setSha256(Sha256.of(file)).setSize(file.length).build();
    ExistsResponse there =
        ArtifactServiceGrpc.newBlockingStub(channel)
            .exists(ExistsRequest.newBuilder().setArtifact(ref).build());
    if (there.getExists()) {
      return ref;
    }
    CompletableFuture<UploadResponse> answer = new CompletableFuture<>();
    StreamObserver<UploadRequest> parts =
        ArtifactServiceGrpc.newStub(channel).upload(new Answer(answer));
    int offset = (int) there.getReceivedBytes();
    parts.onNext(
        UploadRequest.newBuilder()
            .setHeader(
                UploadRequest.Header.newBuilder()
                    .setSha256(ref.getSha256())
                    .setSize(file.length)
                    .setOffset(offset))
            .build());
    for (int at = offset; at < file.length && !answer.isDone(); at += CHUNK_BYTES) {
      int length = Math.min(CHUNK_BYTES, file.length - at);
      parts.onNext(
          UploadRequest.newBuilder().setChunk(ByteString.copyFrom(file, at, length)).build());
    }
    parts.onCompleted();
    try {
      return answer.get().getArtifact();
    } catch (ExecutionException e) {
      throw e.getCause() instanceof StatusRuntimeException status
          ? status
          : new PriorArtException(ErrorKind.INTERNAL, "server: " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new PriorArtException(ErrorKind.CANCELLED, "the upload was cancelled", e);
    }
  }

  private record Answer(CompletableFuture<UploadResponse> future)
      implements StreamObserver<UploadResponse> {
    @Override
    public void onNext(UploadResponse value) {
      future.complete(value);
    }

    @Override
    public void onError(Throwable t) {
      future.completeExceptionally(t);
    }

    @Override
    public void onCompleted() {
      future.completeExceptionally(new IllegalStateException("an upload without an answer"));
    }
  }

  private byte[] bytes(Image image) {
    if (!image.hasArtifact()) {
      return image.getData().toByteArray();
    }
    Iterator<DownloadResponse> chunks =
        ArtifactServiceGrpc.newBlockingStub(channel)
            .download(DownloadRequest.newBuilder().setArtifact(image.getArtifact()).build());
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    while (chunks.hasNext()) {
      out.writeBytes(chunks.next().getChunk().toByteArray());
    }
    if (!Sha256.of(out.toByteArray()).equals(image.getArtifact().getSha256())) {
      throw new PriorArtException(ErrorKind.INTERNAL, "server: a result arrived damaged");
    }
    return out.toByteArray();
  }

  // ---- the answer

  private FileRestorer.Restored restored(RestoreEvent.Finished finished) {
    List<byte[]> samples = new ArrayList<>();
    finished.getOutputsList().forEach(image -> samples.add(bytes(image)));
    return new FileRestorer.Restored(
        samples,
        finished.hasMean() ? bytes(finished.getMean()) : null,
        finished.hasStandardDeviation() ? bytes(finished.getStandardDeviation()) : null,
        report(finished.getReport()),
        finished.getWarningsList());
  }

  private static Report report(io.priorart.v1.Report report) {
    try {
      return Json.read(
          JsonFormat.printer()
              .preservingProtoFieldNames()
              .includingDefaultValueFields()
              .print(report),
          Report.class);
    } catch (InvalidProtocolBufferException e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "server: an unreadable report", e);
    }
  }

  /** The server's status as the kind of failure that it would have been here. */
  private PriorArtException explained(StatusRuntimeException e) {
    String description = e.getStatus().getDescription();
    String message = description == null ? e.getStatus().getCode().name() : description;
    ErrorKind kind =
        switch (e.getStatus().getCode()) {
          case INVALID_ARGUMENT -> ErrorKind.INVALID_ARGUMENT;
          case NOT_FOUND -> ErrorKind.NOT_FOUND;
          case FAILED_PRECONDITION -> ErrorKind.FAILED_PRECONDITION;
          case ALREADY_EXISTS -> ErrorKind.ALREADY_EXISTS;
          case RESOURCE_EXHAUSTED -> ErrorKind.RESOURCE_EXHAUSTED;
          case CANCELLED -> ErrorKind.CANCELLED;
          case DEADLINE_EXCEEDED -> ErrorKind.DEADLINE_EXCEEDED;
          case ABORTED -> ErrorKind.DIVERGED;
          case UNAVAILABLE -> ErrorKind.UNAVAILABLE;
          default -> ErrorKind.INTERNAL;
        };
    String prefix = kind == ErrorKind.UNAVAILABLE ? "server " + channel.authority() + ": " : "";
    return new PriorArtException(kind, prefix + message, e);
  }

  @Override
  public void close() {
    channel.shutdownNow();
    model.close();
  }
}
