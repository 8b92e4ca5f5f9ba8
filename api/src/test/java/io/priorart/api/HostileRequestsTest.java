package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.v1.ArtifactServiceGrpc;
import io.priorart.v1.CatalogServiceGrpc;
import io.priorart.v1.CompareRequest;
import io.priorart.v1.Conditioning;
import io.priorart.v1.DegradeRequest;
import io.priorart.v1.DownloadRequest;
import io.priorart.v1.EditRequest;
import io.priorart.v1.ExistsRequest;
import io.priorart.v1.InversionMethod;
import io.priorart.v1.InversionServiceGrpc;
import io.priorart.v1.InvertRequest;
import io.priorart.v1.ListSolversRequest;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Operator;
import io.priorart.v1.RestorationServiceGrpc;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.UploadRequest;
import io.quarkus.test.junit.QuarkusTest;
import jakarta.inject.Inject;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Whatever a client sends: an answer or a documented status, in time, and the process lives on. */
@QuarkusTest
class HostileRequestsTest {
  private static final int REQUESTS = 5000;
  private static final int SIDE = 24;
  private static final Set<Status.Code> DOCUMENTED =
      EnumSet.of(
          Status.Code.OK,
          Status.Code.INVALID_ARGUMENT,
          Status.Code.NOT_FOUND,
          Status.Code.FAILED_PRECONDITION,
          Status.Code.ALREADY_EXISTS,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.ABORTED,
          Status.Code.DEADLINE_EXCEEDED);

  /**
   * Client's patience: a call that is still open then hangs. The server's own budget is shorter.
   */
  private static final int SECONDS = 40;

  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        }
      };

  @Inject Service service;
  private ManagedChannel channel;

  @BeforeEach
  void open() {
    channel = Wire.channel();
  }

  @AfterEach
  void close() throws InterruptedException {
    channel.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
  }

  /** A method, and good requests of it. */
  private record Seed(MethodDescriptor<?, ?> method, Message request) {}

  private static List<Seed> seeds() {
    byte[] png = Wire.picture(SIDE, SIDE, 3, 8, PictureFormat.PNG);
    byte[] deep = Wire.picture(SIDE, SIDE, 3, 16, PictureFormat.PNG);
    byte[] grey = Wire.picture(SIDE, SIDE, 1, 8, PictureFormat.PNG);
    byte[] jpeg = Wire.picture(SIDE, SIDE, 3, 8, PictureFormat.JPEG);
    byte[] tiff = Wire.picture(SIDE, SIDE, 3, 32, PictureFormat.TIFF);
    Operator mask = Wire.inpainting(SIDE, SIDE);
    Operator blur = Wire.operator("gaussian-blur", "sigma", 1.5);
    Operator circular = Wire.operator("gaussian-blur", "sigma", 2, "boundary", "circular");
    Operator kernel =
        Operator.newBuilder()
            .setName("custom-blur")
            .putArtifacts("kernel", Wire.image(Wire.picture(5, 5, 1, 8, PictureFormat.PNG)))
            .build();
    List<Message> restorations =
        List.of(
            Wire.restore(png, mask, 0, "tv", "iterations", 3).build(),
            Wire.restore(tiff, blur, 0.02, "tv", "iterations", 2).build(),
            Wire.restore(jpeg, circular, 0.02, "wiener").build(),
            Wire.restore(deep, kernel, 0.01, "pseudo-inverse").build(),
            Wire.restore(grey, mask, 0, "opencv-telea").build(),
            Wire.restore(png, Wire.operator("super-resolution", "factor", 2), 0.01, "bicubic")
                .build(),
            Wire.restore(
                    png,
                    Wire.operator("motion-blur", "length", 5, "angle", 20, "boundary", "circular"),
                    0.05,
                    "wiener")
                .setSamples(2)
                .build(),
            Wire.restore(grey, mask, 0, "prox-diffusion", "steps", 1).setSeed(4).build());
    List<Seed> seeds = new ArrayList<>();
    restorations.forEach(r -> seeds.add(new Seed(RestorationServiceGrpc.getRestoreMethod(), r)));
    seeds.add(
        new Seed(
            RestorationServiceGrpc.getDegradeMethod(),
            DegradeRequest.newBuilder()
                .setImage(Wire.image(png))
                .addOperators(Wire.operator("inpainting", "random", 0.5))
                .addOperators(blur)
                .setNoise(Wire.gaussian(0.1))
                .build()));
    seeds.add(
        new Seed(
            RestorationServiceGrpc.getCompareMethod(),
            CompareRequest.newBuilder()
                .setFirst(Wire.image(png))
                .setSecond(Wire.image(jpeg))
                .setMask(mask.getArtifactsOrThrow("mask"))
                .setMaskPolarity(MaskPolarity.MASK_POLARITY_WHITE_IS_MISSING)
                .build()));
    InvertRequest invert =
        InvertRequest.newBuilder()
            .setImage(Wire.image(png))
            .setConditioning(Conditioning.newBuilder().setPrompt("a cat").setGuidanceScale(2))
            .setMethod(InversionMethod.newBuilder().setName("ddim-inversion").setSteps(1))
            .build();
    seeds.add(new Seed(InversionServiceGrpc.getInvertMethod(), invert));
    seeds.add(
        new Seed(
            InversionServiceGrpc.getEditMethod(),
            EditRequest.newBuilder().setInvert(invert).build()));
    seeds.add(
        new Seed(
            CatalogServiceGrpc.getListSolversMethod(),
            ListSolversRequest.newBuilder().setPageSize(2).build()));
    seeds.add(new Seed(ArtifactServiceGrpc.getExistsMethod(), ExistsRequest.getDefaultInstance()));
    seeds.add(
        new Seed(ArtifactServiceGrpc.getDownloadMethod(), DownloadRequest.getDefaultInstance()));
    seeds.add(
        new Seed(
            ArtifactServiceGrpc.getUploadMethod(),
            UploadRequest.newBuilder()
                .setHeader(UploadRequest.Header.newBuilder().setSha256("0".repeat(64)).setSize(9))
                .build()));
    return seeds;
  }

  private Status send(MethodDescriptor<?, ?> method, byte[] request) {
    MethodDescriptor<byte[], byte[]> raw = method.toBuilder(RAW, RAW).build();
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(SECONDS, TimeUnit.SECONDS);
    try {
      if (method.getType().clientSendsOneMessage()) {
        Iterator<byte[]> answers =
            ClientCalls.blockingServerStreamingCall(channel, raw, options, request);
        answers.forEachRemaining(a -> {});
      } else {
        CompletableFuture<Status> end = new CompletableFuture<>();
        StreamObserver<byte[]> parts =
            ClientCalls.asyncClientStreamingCall(channel.newCall(raw, options), new End(end));
        parts.onNext(request);
        parts.onNext(request);
        parts.onCompleted();
        return end.get();
      }
      return Status.OK;
    } catch (StatusRuntimeException e) {
      return e.getStatus();
    } catch (InterruptedException | ExecutionException e) {
      throw new AssertionError(e);
    }
  }

  private record End(CompletableFuture<Status> code) implements StreamObserver<byte[]> {
    @Override
    public void onNext(byte[] value) {}

    @Override
    public void onError(Throwable t) {
      code.complete(Status.fromThrowable(t));
    }

    @Override
    public void onCompleted() {
      code.complete(Status.OK);
    }
  }

  @Test
  @Timeout(1200)
  void everyMutatedRequestGetsADocumentedAnswer() throws InterruptedException {
    List<Seed> seeds = seeds();
    for (Seed seed : seeds) {
      Status status = send(seed.method, seed.request.toByteArray());
      boolean restoration = seed.method == RestorationServiceGrpc.getRestoreMethod();
      assertTrue(!restoration || status.isOk(), () -> status + "\n" + shown(seed.request));
    }
    Mutator mutator = new Mutator(20261123);
    Random random = new Random(1);
    Map<Status.Code, Integer> seen = new EnumMap<>(Status.Code.class);
    for (int i = 0; i < REQUESTS; i++) {
      // restorations are the first eight, and most of the danger
      Seed seed =
          seeds.get(random.nextInt(4) == 0 ? random.nextInt(seeds.size()) : random.nextInt(8));
      Message mutated = mutator.mutate(seed.request);
      byte[] bytes = mutated.toByteArray();
      // one in ten is no valid protobuf any more
      byte[] sent = random.nextInt(10) == 0 ? mutator.bytes(bytes) : bytes;
      long begin = System.nanoTime();
      Status status = send(seed.method, sent);
      double seconds = (System.nanoTime() - begin) * 1e-9;
      seen.merge(status.getCode(), 1, Integer::sum);
      String what = "request " + i + " to " + seed.method.getBareMethodName() + ": ";
      assertTrue(
          DOCUMENTED.contains(status.getCode()), () -> what + status + "\n" + shown(mutated));
      assertTrue(seconds < SECONDS - 5, () -> what + seconds + " s\n" + shown(mutated));
    }
    System.out.println("mutated requests by status: " + seen);
    // the mutations are neither all refused at the door nor all harmless
    assertTrue(seen.get(Status.Code.OK) > REQUESTS / 50, seen.toString());
    assertTrue(seen.get(Status.Code.INVALID_ARGUMENT) > REQUESTS / 10, seen.toString());
    // a slot is free a moment after its answer is sent
    for (int i = 0; i < 100 && service.solves().busy() > 0; i++) {
      Thread.sleep(50);
    }
    assertEquals(0, service.solves().busy() + service.solves().waiting());
    RestoreEvent last = null;
    Iterator<RestoreEvent> events =
        RestorationServiceGrpc.newBlockingStub(channel)
            .restore(
                Wire.restore(
                        Wire.picture(SIDE, SIDE, 3, 8, PictureFormat.PNG),
                        Wire.inpainting(SIDE, SIDE),
                        0,
                        "prox-diffusion",
                        "steps",
                        2)
                    .build());
    while (events.hasNext()) {
      last = events.next();
    }
    assertTrue(last.hasFinished());
  }

  private static String shown(Message message) {
    String text = message.toString();
    return text.length() > 3000 ? text.substring(0, 3000) + "..." : text;
  }

  @Test
  void messagesThatAreNoProtobufAreRefused() {
    byte[] nonsense = ByteString.fromHex("ffffffffff").toByteArray();
    for (Seed seed : seeds()) {
      assertEquals(Status.Code.INVALID_ARGUMENT, send(seed.method, nonsense).getCode());
    }
  }
}
