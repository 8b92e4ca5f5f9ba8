package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.runtime.inversion.InvertedPicture;
import io.priorart.solver.Prompt;
import io.priorart.v1.CatalogServiceGrpc;
import io.priorart.v1.Conditioning;
import io.priorart.v1.EditRequest;
import io.priorart.v1.Image;
import io.priorart.v1.InterpolateRequest;
import io.priorart.v1.InversionEvent;
import io.priorart.v1.InversionMethod;
import io.priorart.v1.InversionServiceGrpc;
import io.priorart.v1.InvertRequest;
import io.priorart.v1.ListInversionsRequest;
import io.priorart.v1.Precision;
import io.priorart.v1.Report;
import io.quarkus.test.junit.QuarkusTest;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** {@code InversionService} over its port, with the bundled checkpoint. */
@QuarkusTest
class InversionServiceTest {
  private static final int SIDE = 24;

  private ManagedChannel channel;
  private InversionServiceGrpc.InversionServiceBlockingStub inversions;

  @BeforeEach
  void open() {
    channel = Wire.channel();
    inversions =
        InversionServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);
  }

  @AfterEach
  void close() throws InterruptedException {
    channel.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
  }

  private static InvertRequest.Builder invert(PictureFormat format) {
    return InvertRequest.newBuilder()
        .setImage(Wire.image(Wire.picture(SIDE, SIDE, 3, 8, format)))
        .setMethod(InversionMethod.newBuilder().setName("ddim-inversion").setSteps(3));
  }

  private static Conditioning words(String prompt) {
    return Conditioning.newBuilder().setPrompt(prompt).build();
  }

  private static InversionEvent.Finished finished(Iterator<InversionEvent> events) {
    List<InversionEvent> all = new ArrayList<>();
    events.forEachRemaining(all::add);
    assertTrue(all.get(0).hasAccepted());
    assertTrue(all.stream().anyMatch(InversionEvent::hasStarted));
    return all.get(all.size() - 1).getFinished();
  }

  @Test
  void whatWasInvertedIsEditedAndMixed() {
    InversionEvent.Finished first = finished(inversions.invert(invert(PictureFormat.PNG).build()));
    assertEquals(3, first.getReport().getStepsCount());
    assertEquals("float32", first.getReport().getModel().getPrecision());
    assertEquals("ddim-inversion", first.getReport().getMethod().getName());
    assertEquals(6, first.getReport().getEvaluations().getDenoise());
    assertFalse(first.getReport().getSteps(0).hasResidual());
    InvertedPicture noise =
        InvertedPicture.decode("noise", first.getNoise().getData().toByteArray());
    assertEquals(SIDE, noise.width());
    InversionEvent.Finished same =
        finished(inversions.edit(EditRequest.newBuilder().setNoise(first.getNoise()).build()));
    assertEquals(first.getOutputs(0), same.getOutputs(0));
    assertFalse(same.hasNoise());
    InversionEvent.Finished edited =
        finished(
            inversions.edit(
                EditRequest.newBuilder()
                    .setInvert(invert(PictureFormat.PNG))
                    .setEdit(words("a bird"))
                    .build()));
    assertEquals(first.getNoise(), edited.getNoise());
    assertEquals("a bird", edited.getReport().getEdit().getPrompt());
    InversionEvent.Finished second =
        finished(inversions.invert(invert(PictureFormat.JPEG).build()));
    InversionEvent.Finished mixed =
        finished(
            inversions.interpolate(
                InterpolateRequest.newBuilder()
                    .setFirst(first.getNoise())
                    .setSecond(second.getNoise())
                    .setFrames(3)
                    .build()));
    assertEquals(3, mixed.getOutputsCount());
  }

  /** As the command line has it: guidance bends the way there, so it belongs to the way back. */
  @Test
  void whatAnEditLeavesOutIsAsItWasInverted() {
    Image plain = finished(inversions.invert(invert(PictureFormat.PNG).build())).getNoise();
    InvertedPicture found = InvertedPicture.decode("noise", plain.getData().toByteArray());
    Image guided =
        Wire.image(
            new InvertedPicture(
                    found.noise(),
                    List.of(),
                    found.model(),
                    found.method(),
                    found.steps(),
                    new Prompt("a bird", "a cat", 4),
                    found.width(),
                    found.height())
                .encode());
    Report.Conditioning kept =
        finished(
                inversions.edit(
                    EditRequest.newBuilder().setNoise(guided).setEdit(words("a bee")).build()))
            .getReport()
            .getEdit();
    assertEquals("a bee", kept.getPrompt());
    assertEquals("a cat", kept.getNegativePrompt());
    assertEquals(4, kept.getGuidanceScale());
    Conditioning other = words("a bee").toBuilder().setGuidanceScale(2).build();
    assertEquals(
        2,
        finished(inversions.edit(EditRequest.newBuilder().setNoise(guided).setEdit(other).build()))
            .getReport()
            .getEdit()
            .getGuidanceScale());
  }

  @Test
  void theCatalogueNamesThem() {
    var listed =
        CatalogServiceGrpc.newBlockingStub(channel)
            .listInversions(ListInversionsRequest.newBuilder().setPageSize(3).build());
    assertEquals("rnri", listed.getInversions(0).getName());
    assertTrue(listed.getInversions(0).getIsDefault());
    assertEquals("3", listed.getNextPageToken());
  }

  private static void refused(Status.Code code, String words, Iterator<InversionEvent> events) {
    StatusRuntimeException e = assertThrows(StatusRuntimeException.class, () -> finished(events));
    assertEquals(code, e.getStatus().getCode(), e.getMessage());
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  @Test
  void badRequestsAreNamed() {
    refused(
        Status.Code.INVALID_ARGUMENT,
        "float32",
        inversions.invert(
            invert(PictureFormat.PNG).setPrecision(Precision.PRECISION_BFLOAT16).build()));
    refused(
        Status.Code.NOT_FOUND,
        "rnri",
        inversions.invert(
            invert(PictureFormat.PNG)
                .setMethod(InversionMethod.newBuilder().setName("rnr"))
                .build()));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "method.steps: must be at most 120",
        inversions.invert(
            invert(PictureFormat.PNG)
                .setMethod(InversionMethod.newBuilder().setSteps(500))
                .build()));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "method.preset",
        inversions.invert(
            invert(PictureFormat.PNG)
                .setMethod(InversionMethod.newBuilder().setPreset("slow"))
                .build()));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "method.parameters.alpha",
        inversions.invert(
            invert(PictureFormat.PNG)
                .setMethod(
                    InversionMethod.newBuilder()
                        .setName("rnri")
                        .setParameters(Wire.struct("alpha", -1)))
                .build()));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "image",
        inversions.invert(invert(PictureFormat.PNG).clearImage().build()));
    Image garbage = Image.newBuilder().setData(ByteString.copyFromUtf8("no noise")).build();
    refused(
        Status.Code.INVALID_ARGUMENT,
        "noise",
        inversions.edit(EditRequest.newBuilder().setNoise(garbage).build()));
    refused(
        Status.Code.INVALID_ARGUMENT, "invert", inversions.edit(EditRequest.getDefaultInstance()));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "first",
        inversions.interpolate(InterpolateRequest.newBuilder().setFirst(garbage).build()));
  }
}
