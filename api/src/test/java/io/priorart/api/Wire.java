package io.priorart.api;

import ai.djl.ndarray.types.Shape;
import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.priorart.runtime.image.Picture;
import io.priorart.runtime.image.PictureFiles;
import io.priorart.runtime.image.PictureFormat;
import io.priorart.solver.HostTensor;
import io.priorart.v1.Image;
import io.priorart.v1.MaskPolarity;
import io.priorart.v1.Noise;
import io.priorart.v1.Operator;
import io.priorart.v1.RestoreRequest;
import io.priorart.v1.Solver;
import java.util.Random;
import org.eclipse.microprofile.config.ConfigProvider;

/** Requests for tests. */
final class Wire {
  private Wire() {}

  static ManagedChannel channel() {
    int port = ConfigProvider.getConfig().getValue("quarkus.http.port", Integer.class);
    return ManagedChannelBuilder.forAddress("localhost", port).usePlaintext().build();
  }

  /** A smooth picture with some noise. */
  static byte[] picture(int width, int height, int channels, int depth, PictureFormat format) {
    Random random = new Random(5);
    float[] pixels = new float[channels * width * height];
    for (int i = 0; i < pixels.length; i++) {
      int x = i % width;
      int y = i / width % height;
      pixels[i] =
          (float) (Math.sin(x * 0.3) * Math.cos(y * 0.2) * 0.7 + 0.05 * random.nextGaussian());
    }
    Picture picture =
        new Picture(new HostTensor(new Shape(1, channels, height, width), pixels), depth, null);
    return PictureFiles.encode(picture, format);
  }

  static Image image(byte[] file) {
    return Image.newBuilder().setData(ByteString.copyFrom(file)).build();
  }

  static Operator operator(String name, Object... parameters) {
    return Operator.newBuilder().setName(name).setParameters(struct(parameters)).build();
  }

  static Operator inpainting(int width, int height) {
    float[] mask = new float[width * height];
    for (int i = 0; i < mask.length; i += 3) {
      mask[i] = 1;
    }
    byte[] png = PictureFiles.encodeMask(new HostTensor(new Shape(1, height, width), mask));
    return Operator.newBuilder().setName("inpainting").putArtifacts("mask", image(png)).build();
  }

  static Struct struct(Object... parameters) {
    Struct.Builder struct = Struct.newBuilder();
    for (int i = 0; i < parameters.length; i += 2) {
      Value.Builder value = Value.newBuilder();
      if (parameters[i + 1] instanceof Number n) {
        value.setNumberValue(n.doubleValue());
      } else {
        value.setStringValue(parameters[i + 1].toString());
      }
      struct.putFields(parameters[i].toString(), value.build());
    }
    return struct.build();
  }

  static Noise gaussian(double sigma) {
    return Noise.newBuilder().setGaussian(Noise.Gaussian.newBuilder().setSigma(sigma)).build();
  }

  static RestoreRequest.Builder restore(
      byte[] file, Operator operator, double sigma, String solver, Object... parameters) {
    RestoreRequest.Builder request =
        RestoreRequest.newBuilder()
            .setImage(image(file))
            .addOperators(operator)
            .setMaskPolarity(MaskPolarity.MASK_POLARITY_WHITE_IS_MISSING)
            .setSolver(Solver.newBuilder().setName(solver).setParameters(struct(parameters)));
    return sigma == 0 ? request : request.setNoise(gaussian(sigma));
  }
}
