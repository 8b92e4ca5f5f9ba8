package io.priorart.models.engine;

import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Records a network's operations and compiles them to a TorchScript class: code only, its weights
 * are attached after loading ({@link ScriptModule}).
 *
 * <p>Weights live in the list attribute {@code ws}. A network compiled for inference finds them
 * converted to the compute type and layout; one compiled {@linkplain #trainable for training} keeps
 * float32 masters and converts on use, so that gradients reach the masters.
 */
public final class ScriptBuilder {
  // libtorch's ScalarType
  private static final int FLOAT16 = Precision.FLOAT16.scalarType();
  private static final int FLOAT32 = Precision.FLOAT32.scalarType();
  private static final int BFLOAT16 = Precision.BFLOAT16.scalarType();

  /** Numbers that are converted at once: a megabyte as float32. */
  private static final int PIECE = 1 << 18;

  private final String className;
  private final CompileOptions options;
  private final boolean trainable;
  private final Map<String, Integer> indices = new LinkedHashMap<>();
  private final List<TensorSpec> weights = new ArrayList<>();
  private final List<String> listAttributes = new ArrayList<>(List.of("ws"));
  private final List<Graph> methods = new ArrayList<>();
  private boolean explicitAttention;

  public ScriptBuilder(String className, CompileOptions options) {
    this(className, options, false);
  }

  private ScriptBuilder(String className, CompileOptions options, boolean trainable) {
    this.className = className;
    this.options = options;
    this.trainable = trainable;
  }

  /** A builder whose script keeps float32 master weights. */
  public static ScriptBuilder trainable(String className, CompileOptions options) {
    return new ScriptBuilder(className, options, true);
  }

  /** The root cursor over weight names. */
  public WeightNames weights() {
    return new WeightNames(this, "");
  }

  /** Adds a further attribute of type {@code List[Tensor]}, such as an optimiser's moments. */
  public ScriptBuilder listAttribute(String name) {
    listAttributes.add(name);
    return this;
  }

  /**
   * Writes attention of any size as products and softmax, which can be differentiated twice; the
   * fused kernel only once.
   */
  public ScriptBuilder explicitAttention() {
    explicitAttention = true;
    return this;
  }

  /** Weights declared so far. */
  public int weightCount() {
    return weights.size();
  }

  /** Places of the weights whose name ends so. */
  public List<Integer> weightsNamed(String suffix) {
    List<Integer> places = new ArrayList<>();
    for (int i = 0; i < weights.size(); i++) {
      if (weights.get(i).name().endsWith(suffix)) {
        places.add(i);
      }
    }
    return places;
  }

  boolean hasExplicitAttention() {
    return explicitAttention;
  }

  /** Opens a method; record its operations, then call {@link Graph#returns}. */
  public Graph method(String name) {
    Graph graph = new Graph(this, name);
    methods.add(graph);
    return graph;
  }

  CompileOptions options() {
    return options;
  }

  boolean isTrainable() {
    return trainable;
  }

  WeightNames.Weight declare(String name, Shape shape) {
    if (indices.containsKey(name)) {
      throw new IllegalArgumentException("weight declared twice: " + name);
    }
    indices.put(name, weights.size());
    weights.add(new TensorSpec(name, shape));
    return new WeightNames.Weight(weights.size() - 1, shape);
  }

  /** The finished script. */
  public Script build() {
    StringBuilder code = new StringBuilder(1 << 16);
    code.append("class ").append(className).append("(Module):\n");
    code.append("  __parameters__ = []\n  __buffers__ = []\n  training : bool\n");
    for (String attribute : listAttributes) {
      code.append("  ").append(attribute).append(" : List[Tensor]\n");
    }
    String self = "self: __torch__." + className;
    for (Graph method : methods) {
      method.emit(code, self);
    }
    if (options.precision().scalarType() == BFLOAT16) {
      emitFromHalves(code, self);
    }
    for (String attribute : listAttributes) {
      emitAttach(code, self, attribute);
    }
    return new Script(
        className,
        code.toString(),
        List.copyOf(weights),
        List.copyOf(listAttributes),
        options.precision());
  }

  /**
   * float16 to bfloat16 by way of float32, in pieces that stay in the cache: directly the engine
   * converts number by number, which takes a matrix four times as long.
   */
  private static void emitFromHalves(StringBuilder code, String self) {
    code.append("  def from_halves(").append(self).append(", u: Tensor, layout: int) -> Tensor:\n");
    code.append("    c = torch.empty_like(u, dtype=")
        .append(BFLOAT16)
        .append(", layout=None, device=None,");
    code.append(" pin_memory=None, memory_format=layout)\n");
    code.append("    rows = torch.len(u)\n");
    code.append("    row = torch.floordiv(torch.numel(u), rows)\n");
    code.append("    step = ops.prim.max(1, torch.floordiv(").append(PIECE).append(", row))\n");
    code.append("    for i in range(torch.floordiv(torch.sub(torch.add(rows, step), 1), step)):\n");
    code.append("      begin = torch.mul(i, step)\n");
    code.append("      end = torch.add(begin, step)\n");
    code.append("      wide = torch.to(torch.slice(u, 0, begin, end, 1), ");
    code.append(FLOAT32).append(", False, False, None)\n");
    code.append("      _0 = torch.copy_(torch.slice(c, 0, begin, end, 1), ");
    code.append("torch.to(wide, ").append(BFLOAT16).append(", False, False, None))\n");
    code.append("    return c\n");
  }

  /**
   * {@code clear_NAME()}, {@code append_NAME(tensors)}, which converts once, so that forward never
   * does, and {@code list_NAME()}.
   */
  private void emitAttach(StringBuilder code, String self, String attribute) {
    boolean convert = attribute.equals("ws") && !trainable;
    code.append("  def clear_").append(attribute).append("(").append(self);
    code.append(") -> Tensor:\n");
    code.append("    self.").append(attribute).append(" = annotate(List[Tensor], [])\n");
    code.append("    return torch.zeros([1])\n");
    code.append("  def append_").append(attribute).append("(").append(self);
    code.append(", tensors: List[Tensor]) -> Tensor:\n");
    code.append("    kept = self.").append(attribute).append("\n");
    code.append("    for i in range(torch.len(tensors)):\n");
    code.append("      t = tensors[i]\n");
    // bfloat16 files are mapped as bytes, the one 2-byte type that DJL cannot name
    code.append("      if torch.eq(ops.prim.dtype(t), 0):\n");
    code.append("        u = torch.view_copy(t, dtype=").append(BFLOAT16).append(")\n");
    code.append("      else:\n");
    code.append("        u = t\n");
    int type = convert ? options.precision().scalarType() : FLOAT32;
    if (convert && options.channelsLast()) {
      code.append("      if torch.eq(torch.dim(u), 4):\n        layout = 2\n");
      code.append("      else:\n        layout = 0\n");
    } else {
      code.append("      layout = 0\n");
    }
    // what has the type may have the layout, too, and is not copied
    code.append("      if torch.eq(ops.prim.dtype(u), ").append(type).append("):\n");
    code.append("        c = torch.contiguous(u, memory_format=layout)\n");
    code.append("      else:\n");
    String indent = "        ";
    if (type == BFLOAT16) {
      code.append("        if torch.__and__(torch.eq(ops.prim.dtype(u), ").append(FLOAT16);
      code.append("), torch.gt(torch.dim(u), 0)):\n");
      code.append("          c = (self).from_halves(u, layout, )\n");
      code.append("        else:\n");
      indent = "          ";
    }
    code.append(indent).append("c = torch.to(u, ").append(type);
    code.append(", False, False, layout)\n");
    if (convert) {
      code.append("      o = c\n");
    } else if (attribute.equals("ws")) {
      // masters are updated in place: they must own their memory
      code.append("      o = torch.requires_grad_(torch.clone(c), True)\n");
    } else {
      code.append("      o = torch.clone(c)\n");
    }
    code.append("      _0 = torch.append(kept, o)\n");
    code.append("    return torch.zeros([1])\n");
    code.append("  def list_").append(attribute).append("(").append(self);
    code.append(") -> List[Tensor]:\n");
    code.append("    kept = annotate(List[Tensor], [])\n");
    code.append("    all = self.").append(attribute).append("\n");
    code.append("    for i in range(torch.len(all)):\n");
    code.append("      _0 = torch.append(kept, torch.detach(all[i]))\n");
    code.append("    return kept\n");
  }
}
