package io.priorart.models.train;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;

/** Pictures of one size side by side, two white pixels between them. */
final class PictureGrid {
  private static final int GAP = 2;
  private static final int WHITE = 0xffffff;

  private final int tileWidth;
  private final int tileHeight;
  private final BufferedImage image;

  PictureGrid(int columns, int rows, int tileWidth, int tileHeight) {
    this.tileWidth = tileWidth;
    this.tileHeight = tileHeight;
    int width = columns * (tileWidth + GAP) - GAP;
    int height = rows * (tileHeight + GAP) - GAP;
    image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    int[] blank = new int[width * height];
    Arrays.fill(blank, WHITE);
    image.setRGB(0, 0, width, height, blank, 0, width);
  }

  int width() {
    return image.getWidth();
  }

  int height() {
    return image.getHeight();
  }

  /**
   * Draws one picture.
   *
   * @param values holds {@code [3, tileHeight, tileWidth]} at {@code offset}, clamped to [-1,1]
   */
  void put(int column, int row, float[] values, int offset) {
    int plane = tileWidth * tileHeight;
    int[] rgb = new int[plane];
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < 3; c++) {
        float v = Math.max(-1, Math.min(1, values[offset + c * plane + i]));
        rgb[i] = rgb[i] << 8 | Math.round(127.5f * (v + 1));
      }
    }
    image.setRGB(
        column * (tileWidth + GAP),
        row * (tileHeight + GAP),
        tileWidth,
        tileHeight,
        rgb,
        0,
        tileWidth);
  }

  /** Draws a picture in every row; {@code values} holds one after the other. */
  void column(int column, float[] values) {
    int size = 3 * tileWidth * tileHeight;
    for (int row = 0; row < values.length / size; row++) {
      put(column, row, values, row * size);
    }
  }

  byte[] png() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ImageWriter writer = ImageIO.getImageWritersByFormatName("png").next();
    // the default stream adds a shutdown hook, which is refused while the process ends
    try (MemoryCacheImageOutputStream out = new MemoryCacheImageOutputStream(bytes)) {
      writer.setOutput(out);
      writer.write(image);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } finally {
      writer.dispose();
    }
    return bytes.toByteArray();
  }
}
