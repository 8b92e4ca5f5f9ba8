package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Linearization;
import java.util.Arrays;

/**
 * An auto-encoder that works tile by tile, for pictures whose feature maps would not fit in memory:
 * {@code sum_k w_k encode(x_k)} and {@code sum_k w_k decode(z_k)} over tiles that overlap by a
 * quarter, with the weights of {@link TileAxis}.
 *
 * <p>Not what the whole picture gives: group norms and the attention in the middle see a tile only
 * (docs/design/engine.md has the differences measured). Pullbacks are those of these sums, exactly;
 * each computes its tiles' graphs anew, one at a time, so that memory is a tile's there, too.
 */
final class TiledCodec {
  /** Part of a tile that neighbours share. */
  private static final int OVERLAP = 4;

  /** One tile's evaluation, and its graph. */
  interface Evaluator {
    /** The whole picture and the places of a tile's pixels in it. */
    NDArray encode(NDArray x, long[] rows, long[] columns);

    Linearization encodeAt(NDArray x, long[] rows, long[] columns);

    /** A tile's latent, and how many of the decoded rows and columns to keep. */
    NDArray decode(NDArray z, int rows, int columns);

    Linearization decodeAt(NDArray z, int rows, int columns);
  }

  private final Evaluator evaluator;
  private final TileAxis vertical;
  private final TileAxis horizontal;
  private final Shape latentShape;
  private final Shape imageShape;
  private final long[] paddedRows;
  private final long[] paddedColumns;
  private final int stride;

  /**
   * @param tile side in latents
   * @param stride pixels for a latent
   */
  TiledCodec(
      Evaluator evaluator,
      int tile,
      int stride,
      Shape latentShape,
      Shape imageShape,
      long[] paddedRows,
      long[] paddedColumns) {
    this.evaluator = evaluator;
    this.stride = stride;
    this.latentShape = latentShape;
    this.imageShape = imageShape;
    this.paddedRows = paddedRows;
    this.paddedColumns = paddedColumns;
    int overlap = Math.max(1, tile / OVERLAP);
    vertical = new TileAxis((int) latentShape.get(1), tile, overlap);
    horizontal = new TileAxis((int) latentShape.get(2), tile, overlap);
  }

  /** A tile by its place among the others. */
  private record Tile(int row, int column) {}

  /** What is done with every tile in turn; arrays made in {@code scratch} are closed after it. */
  private interface Action {
    void accept(NDManager scratch, Tile tile);
  }

  private void each(NDManager parent, Action action) {
    for (int row = 0; row < vertical.count(); row++) {
      for (int column = 0; column < horizontal.count(); column++) {
        try (NDManager scratch = parent.newSubManager()) {
          action.accept(scratch, new Tile(row, column));
        }
      }
    }
  }

  NDArray encode(NDArray x) {
    NDManager manager = x.getManager();
    NDArray z = manager.zeros(new Shape(x.getShape().get(0)).addAll(latentShape));
    each(
        manager,
        (scratch, tile) -> {
          NDArray part = evaluator.encode(x, rows(tile), columns(tile));
          part.attach(scratch);
          z.get(scratch, latents(tile)).addi(part.mul(latentWeights(scratch, tile)));
        });
    return z;
  }

  NDArray decode(NDArray z) {
    NDManager manager = z.getManager();
    NDArray x = manager.zeros(new Shape(z.getShape().get(0)).addAll(imageShape));
    each(
        manager,
        (scratch, tile) -> {
          NDArray weights = pixelWeights(scratch, tile);
          NDArray part =
              evaluator.decode(z.get(scratch, latents(tile)), size(weights, 2), size(weights, 3));
          part.attach(scratch);
          x.get(scratch, pixels(tile, weights)).addi(part.mul(weights));
        });
    return x;
  }

  Linearization encodeAt(NDArray x) {
    NDArray at = x.duplicate();
    return Linearization.of(
        encode(x),
        cotangent -> {
          NDArray gradient = cotangent.getManager().zeros(at.getShape());
          each(
              cotangent.getManager(),
              (scratch, tile) -> {
                NDArray own = at.duplicate();
                own.attach(scratch);
                try (Linearization part = evaluator.encodeAt(own, rows(tile), columns(tile))) {
                  NDArray weights = latentWeights(scratch, tile);
                  gradient.addi(part.pullback(cotangent.get(scratch, latents(tile)).mul(weights)));
                }
              });
          return gradient;
        },
        at::close);
  }

  Linearization decodeAt(NDArray z) {
    NDArray at = z.duplicate();
    return Linearization.of(
        decode(z),
        cotangent -> {
          NDArray gradient = cotangent.getManager().zeros(at.getShape());
          each(
              cotangent.getManager(),
              (scratch, tile) -> {
                NDArray weights = pixelWeights(scratch, tile);
                NDArray own = at.get(scratch, latents(tile)).duplicate();
                try (Linearization part =
                    evaluator.decodeAt(own, size(weights, 2), size(weights, 3))) {
                  NDArray outer = cotangent.get(scratch, pixels(tile, weights)).mul(weights);
                  gradient.get(scratch, latents(tile)).addi(part.pullback(outer));
                }
              });
          return gradient;
        },
        at::close);
  }

  private static int size(NDArray x, int axis) {
    return (int) x.getShape().get(axis);
  }

  private long[] rows(Tile tile) {
    return places(paddedRows, vertical, tile.row());
  }

  private long[] columns(Tile tile) {
    return places(paddedColumns, horizontal, tile.column());
  }

  private long[] places(long[] padded, TileAxis axis, int i) {
    int from = axis.start(i) * stride;
    return Arrays.copyOfRange(padded, from, from + axis.tile() * stride);
  }

  private NDIndex latents(Tile tile) {
    int row = vertical.start(tile.row());
    int column = horizontal.start(tile.column());
    return new NDIndex()
        .addAllDim(2)
        .addSliceDim(row, row + vertical.tile())
        .addSliceDim(column, column + horizontal.tile());
  }

  private NDIndex pixels(Tile tile, NDArray weights) {
    long row = (long) vertical.start(tile.row()) * stride;
    long column = (long) horizontal.start(tile.column()) * stride;
    return new NDIndex()
        .addAllDim(2)
        .addSliceDim(row, row + weights.getShape().get(2))
        .addSliceDim(column, column + weights.getShape().get(3));
  }

  private NDArray latentWeights(NDManager scratch, Tile tile) {
    return outer(
        scratch,
        vertical.weights(tile.row(), 1, (int) latentShape.get(1)),
        horizontal.weights(tile.column(), 1, (int) latentShape.get(2)));
  }

  private NDArray pixelWeights(NDManager scratch, Tile tile) {
    return outer(
        scratch,
        vertical.weights(tile.row(), stride, (int) imageShape.get(1)),
        horizontal.weights(tile.column(), stride, (int) imageShape.get(2)));
  }

  private static NDArray outer(NDManager scratch, float[] rows, float[] columns) {
    return scratch
        .create(rows, new Shape(1, 1, rows.length, 1))
        .mul(scratch.create(columns, new Shape(1, 1, 1, columns.length)));
  }
}
