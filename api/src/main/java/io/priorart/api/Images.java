package io.priorart.api;

import com.google.protobuf.ByteString;
import io.priorart.runtime.service.ArtifactStore;
import io.priorart.solver.PriorArtException;
import io.priorart.v1.ArtifactRef;
import io.priorart.v1.Image;
import jakarta.inject.Singleton;

/** Files on the wire: inside of a message while they are small, else artifacts. */
@Singleton
public final class Images {
  /** Bytes of all files in one answer: well under the 4 MiB that clients accept by default. */
  private static final int ANSWER_BYTES = 3 << 20;

  private final ArtifactStore artifacts;

  Images(Service service) {
    artifacts = service.artifacts();
  }

  /**
   * A file of a request.
   *
   * @param name its field
   * @throws PriorArtException INVALID_ARGUMENT for none; NOT_FOUND for an artifact that is not
   *     there
   */
  public byte[] bytes(String name, Image image) {
    return switch (image.getSourceCase()) {
      case DATA -> image.getData().toByteArray();
      case ARTIFACT -> located(name, image.getArtifact());
      case SOURCE_NOT_SET ->
          throw PriorArtException.badField(name, "is empty; give data or an artifact");
    };
  }

  private byte[] located(String name, ArtifactRef ref) {
    try {
      return artifacts.read(ref.getSha256());
    } catch (PriorArtException e) {
      throw e.within(name + ".artifact");
    }
  }

  /**
   * Keeps a request's artifact from expiring while the request waits; nothing to close for data.
   */
  public ArtifactStore.Hold hold(Image image) {
    return image.hasArtifact() ? artifacts.hold(image.getArtifact().getSha256()) : null;
  }

  /** An answer's files, counted together. */
  public final class Answer {
    private int left = ANSWER_BYTES;

    /** Inside of the message while there is room, else stored. */
    public Image image(byte[] file) {
      if (file.length <= left) {
        left -= file.length;
        return Image.newBuilder().setData(ByteString.copyFrom(file)).build();
      }
      return Image.newBuilder()
          .setArtifact(ArtifactRef.newBuilder().setSha256(artifacts.put(file)).setSize(file.length))
          .build();
    }
  }

  public Answer answer() {
    return new Answer();
  }
}
