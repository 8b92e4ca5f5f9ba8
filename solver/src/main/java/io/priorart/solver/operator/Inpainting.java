package io.priorart.solver.operator;

import ai.djl.ndarray.types.Shape;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LinearOperator;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.Parameter;
import io.priorart.solver.ParameterSchema;
import io.priorart.solver.PriorArtException;
import java.util.Arrays;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Sets missing pixels to 0 in all channels; the measurement has the picture's size, and its missing
 * entries carry nothing. Exactly one of the three parameters says which are missing.
 *
 * @param mask {@code [1, H, W]}, 1 = missing, 0 = known; in between, 0.5 and more is missing
 * @param random fraction of pixels that are missing, drawn without replacement
 * @param box {@code x,y,width,height} of a missing rectangle in pixels, x to the right and y
 *     downwards from the upper left corner, wholly inside the picture
 */
public record Inpainting(
    @Parameter(doc = "Picture of the same size: white is missing, black is known.", optional = true)
        HostTensor mask,
    @Parameter(
            doc = "Fraction of pixels that are missing, drawn from the seed.",
            min = 0,
            max = 1,
            optional = true)
        Double random,
    @Parameter(doc = "A missing rectangle, as x,y,width,height.", unit = "pixels", optional = true)
        String box) {
  /** The operator's public face; a drawn mask is the artifact "mask". */
  public static final OperatorKind<Inpainting> KIND =
      new OperatorKind<>(
          "inpainting",
          "Lose the masked pixels; restoring them is inpainting",
          Inpainting.class,
          new Inpainting(null, null, null),
          Inpainting::create);

  private static final ParameterSchema<Inpainting> SCHEMA = ParameterSchema.of(Inpainting.class);
  private static final Pattern BOX = Pattern.compile("(\\d{1,8}),(\\d{1,8}),(\\d{1,8}),(\\d{1,8})");

  /**
   * The loss of the pixels of a mask.
   *
   * @param mask {@code [1, H, W]}, 1 = missing
   * @param imageShape {@code [C, H, W]}
   * @throws PriorArtException INVALID_ARGUMENT naming "mask"
   */
  public static LinearOperator of(HostTensor mask, Shape imageShape) {
    Tensors.requireImageShape(imageShape);
    Shape expected = new Shape(1, imageShape.get(1), imageShape.get(2));
    if (!mask.shape().equals(expected)) {
      throw PriorArtException.badField(
          "mask", "must have the picture's size, " + expected + ", was " + mask.shape());
    }
    float[] known = new float[mask.values().length];
    boolean any = false;
    for (int i = 0; i < known.length; i++) {
      float missing = mask.values()[i];
      if (!(missing >= 0 && missing <= 1)) {
        throw PriorArtException.badField("mask", "must hold values from 0 to 1, has " + missing);
      }
      known[i] = missing < 0.5f ? 1 : 0;
      any |= missing < 0.5f;
    }
    if (!any) {
      throw PriorArtException.badField("mask", "marks every pixel as missing; leave some known");
    }
    return new MaskOperator(imageShape, new HostTensor(expected, known));
  }

  private static OperatorKind.Drawn create(Inpainting spec, Shape imageShape, NoiseSource random) {
    SCHEMA.check("", spec);
    Tensors.requireImageShape(imageShape);
    long given =
        Stream.of(spec.mask == null, spec.random == null, spec.box == null).filter(n -> !n).count();
    if (given != 1) {
      throw PriorArtException.badField(
          "mask", "give exactly one of mask, random and box, not " + given);
    }
    if (spec.mask != null) {
      return new OperatorKind.Drawn(of(spec.mask, imageShape), Map.of());
    }
    int height = Math.toIntExact(imageShape.get(1));
    int width = Math.toIntExact(imageShape.get(2));
    if (spec.box != null) {
      return new OperatorKind.Drawn(of(boxMask(spec.box, height, width), imageShape), Map.of());
    }
    HostTensor mask = randomMask(spec.random, height, width, random);
    return new OperatorKind.Drawn(of(mask, imageShape), Map.of("mask", mask));
  }

  private static HostTensor boxMask(String box, int height, int width) {
    Matcher matcher = BOX.matcher(box);
    if (!matcher.matches()) {
      throw PriorArtException.badField(
          "box", "must be x,y,width,height in whole pixels, was \"" + box + '"');
    }
    int x = Integer.parseInt(matcher.group(1));
    int y = Integer.parseInt(matcher.group(2));
    int w = Integer.parseInt(matcher.group(3));
    int h = Integer.parseInt(matcher.group(4));
    if (w < 1 || h < 1 || x + w > width || y + h > height) {
      throw PriorArtException.badField(
          "box", box + " does not lie inside the picture of " + width + "x" + height + " pixels");
    }
    float[] mask = new float[height * width];
    for (int row = y; row < y + h; row++) {
      Arrays.fill(mask, row * width + x, row * width + x + w, 1);
    }
    return new HostTensor(new Shape(1, height, width), mask);
  }

  /** Exactly {@code round(fraction H W)} pixels, each set of them as likely. */
  private static HostTensor randomMask(double fraction, int height, int width, NoiseSource random) {
    int pixels = Math.multiplyExact(height, width);
    int missing = (int) Math.round(fraction * pixels);
    if (missing == pixels) {
      throw PriorArtException.badField("random", "leaves no pixel known, was " + fraction);
    }
    float[] mask = new float[pixels];
    int left = missing;
    for (int i = 0; i < pixels; i++) {
      // Selection sampling: Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S.
      if (random.below(pixels - i) < left) {
        mask[i] = 1;
        left--;
      }
    }
    return new HostTensor(new Shape(1, height, width), mask);
  }
}
