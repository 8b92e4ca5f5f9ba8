import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.priorart.v1.Format;
import io.priorart.v1.Image;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Operator;
import io.priorart.v1.Output;
import io.priorart.v1.RestorationServiceGrpc;
import io.priorart.v1.RestoreEvent;
import io.priorart.v1.RestoreRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;

/**
 * Restores the picture of the README through a running server: java -cp 'cli/target/lib/*'
 * examples/java/Restore.java HOST:PORT PICTURES OUTPUT.png
 */
public final class Restore {
  public static void main(String[] args) throws IOException {
    Path pictures = Path.of(args[1]);
    ManagedChannel channel = ManagedChannelBuilder.forTarget(args[0]).usePlaintext().build();
    RestoreRequest request =
        RestoreRequest.newBuilder()
            .setImage(image(pictures.resolve("dragonfly.png")))
            .addOperators(
                Operator.newBuilder()
                    .setName("inpainting")
                    .putArtifacts("mask", image(pictures.resolve("dragonfly.mask.png"))))
            .setMaskPolarity(MaskPolarity.MASK_POLARITY_WHITE_IS_MISSING)
            .setOutput(Output.newBuilder().setFormat(Format.FORMAT_PNG))
            .build();
    Iterator<RestoreEvent> events = RestorationServiceGrpc.newBlockingStub(channel).restore(request);
    while (events.hasNext()) {
      RestoreEvent event = events.next();
      if (event.hasStep()) {
        RestoreEvent.Step step = event.getStep();
        System.out.printf(
            "step %d of %d, %d s left%n", step.getStep(), step.getTotal(), step.getEta().getSeconds());
      } else if (event.hasFinished()) {
        RestoreEvent.Finished finished = event.getFinished();
        Files.write(Path.of(args[2]), finished.getOutputs(0).getData().toByteArray());
        System.out.println(finished.getReport().getSamples(0).getVerdict().getJudgement() + " " + args[2]);
      }
    }
    channel.shutdownNow();
  }

  private static Image image(Path file) throws IOException {
    return Image.newBuilder().setData(ByteString.copyFrom(Files.readAllBytes(file))).build();
  }
}
