package io.priorart.models.weights;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.SingularValueDecomposition_F64;

/**
 * The low-rank factors nearest to what sets one network apart from another, so that a fine-tuned
 * network is kept as a small file beside the one it came from: {@code B A} is the truncated
 * singular value decomposition of {@code W' - W}, each matrix by itself, convolutions by their
 * kernels laid flat (Eckart and Young 1936; Hu et al., ICLR 2022, arXiv 2106.09685).
 */
public final class LoraExtraction {
  private static final String WEIGHT = ".weight";

  private final Map<String, HostTensor> tensors = new LinkedHashMap<>();
  private double change;
  private double kept;

  private LoraExtraction() {}

  /**
   * @param part {@code unet} and so on, the beginning of the keys
   * @param rank of the factors at most, 1 to 1024
   * @throws PriorArtException INVALID_ARGUMENT for another rank or networks of other shapes
   */
  public static LoraExtraction of(String part, TensorSource base, TensorSource changed, int rank) {
    if (rank < 1 || rank > 1024) {
      throw PriorArtException.badField("rank", "must be 1 to 1024, was " + rank);
    }
    if (!base.shapes().equals(changed.shapes())) {
      throw PriorArtException.badField(
          "base", base.name() + " is another network than " + changed.name());
    }
    LoraExtraction extraction = new LoraExtraction();
    try (NDManager scratch = ScriptModule.newManager()) {
      for (Map.Entry<String, Shape> e : base.shapes().entrySet()) {
        float[] from = base.read(scratch, e.getKey()).values();
        float[] to = changed.read(scratch, e.getKey()).values();
        extraction.add(part, e.getKey(), e.getValue(), from, to, rank);
      }
    }
    return extraction;
  }

  private void add(String part, String name, Shape shape, float[] from, float[] to, int rank) {
    double[] difference = new double[from.length];
    double squares = 0;
    for (int i = 0; i < difference.length; i++) {
      difference[i] = to[i] - from[i];
      squares += difference[i] * difference[i];
    }
    change += squares;
    // biases and norms have no factors
    if (squares == 0 || shape.dimension() < 2 || !name.endsWith(WEIGHT)) {
      return;
    }
    int rows = Math.toIntExact(shape.get(0));
    int columns = difference.length / rows;
    int r = Math.min(rank, Math.min(rows, columns));
    SingularValueDecomposition_F64<DMatrixRMaj> svd =
        DecompositionFactory_DDRM.svd(rows, columns, true, true, true);
    if (!svd.decompose(DMatrixRMaj.wrap(rows, columns, difference))) {
      throw PriorArtException.badField("changed", name + " has no singular value decomposition");
    }
    double[] values = svd.getSingularValues();
    int[] order = largest(values, r);
    DMatrixRMaj u = svd.getU(null, false);
    DMatrixRMaj vt = svd.getV(null, true);
    float[] up = new float[rows * r];
    float[] down = new float[r * columns];
    for (int k = 0; k < r; k++) {
      double s = values[order[k]];
      kept += s * s;
      double root = Math.sqrt(s);
      for (int i = 0; i < rows; i++) {
        up[i * r + k] = (float) (root * u.get(i, order[k]));
      }
      for (int j = 0; j < columns; j++) {
        down[k * columns + j] = (float) (root * vt.get(order[k], j));
      }
    }
    boolean convolution = shape.dimension() == 4;
    String module = part + "." + name.substring(0, name.length() - WEIGHT.length());
    Shape downShape =
        convolution
            ? new Shape(r, shape.get(1), shape.get(2), shape.get(3))
            : new Shape(r, columns);
    tensors.put(module + ".lora_A.weight", new HostTensor(downShape, down));
    tensors.put(
        module + ".lora_B.weight",
        new HostTensor(convolution ? new Shape(rows, r, 1, 1) : new Shape(rows, r), up));
  }

  private static int[] largest(double[] values, int count) {
    return IntStream.range(0, values.length)
        .boxed()
        .sorted((a, b) -> Double.compare(values[b], values[a]))
        .limit(count)
        .mapToInt(i -> i)
        .toArray();
  }

  /** Factors in diffusers' key style, in the order of the network's weights. */
  public Map<String, HostTensor> tensors() {
    return tensors;
  }

  /** Share of the squared change of all weights that the factors hold, 0 to 1. */
  public double kept() {
    return change == 0 ? 1 : kept / change;
  }
}
