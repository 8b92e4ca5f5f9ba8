package io.priorart.models.engine;

import io.priorart.models.engine.WeightNames.Weight;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * One method of a script being recorded. Each call appends one TorchScript statement in
 * single-assignment form and returns its result.
 */
public final class Graph {
  /** Queries times keys up to which attention is computed step by step in training. */
  private static final int FEW = 1 << 18;

  /** Weights from which on a convolution may be a product: 16 MiB of float32. */
  private static final long WIDE = 1 << 22;

  /** Filters for each pixel from which on it is one: with fewer, copying patches costs more. */
  private static final int FILTERS_PER_PIXEL = 2;

  private static final StackWalker STACK = StackWalker.getInstance();

  private final ScriptBuilder builder;
  private final String name;
  private final List<String> inputs = new ArrayList<>();
  private final List<String> lines = new ArrayList<>();
  private final Map<Integer, Value> loadedWeights = new HashMap<>();
  private List<Value> outputs;
  private int next;

  Graph(ScriptBuilder builder, String name) {
    this.builder = builder;
    this.name = name;
  }

  // ---- inputs, outputs, weights

  /** A float32 tensor argument, or an integer one that {@link #embedding} reads. */
  public Value input(String inputName) {
    inputs.add(inputName);
    return new Value(inputName);
  }

  /** Ends the method; a single value is returned as such, several as a tuple. */
  public void returns(Value... values) {
    outputs = List.of(values);
  }

  /** A declared weight in compute type and layout. */
  public Value weight(Weight w) {
    return loadedWeights.computeIfAbsent(
        w.index(),
        i -> {
          Value raw = assign("(self.ws)[" + i + "]");
          if (!builder.isTrainable()) {
            return raw;
          }
          Value cast = cast(raw, builder.options().precision());
          return builder.options().channelsLast() && w.shape().dimension() == 4
              ? call("torch.contiguous", cast, raw("memory_format=2"))
              : cast;
        });
  }

  /** Casts to the compute type; feature maps also take the compute layout. */
  public Value toCompute(Value x, boolean featureMap) {
    Value cast = cast(x, builder.options().precision());
    return featureMap && builder.options().channelsLast()
        ? call("torch.contiguous", cast, raw("memory_format=2"))
        : cast;
  }

  public Value toFloat32(Value x) {
    // scripts hand out plain NCHW memory, whatever layout they compute in
    return call("torch.contiguous", cast(x, Precision.FLOAT32));
  }

  /**
   * float32 in whatever layout the network computes in: for losses, whose gradients then come back
   * in that layout.
   */
  public Value toFloat32Loss(Value x, boolean featureMap) {
    Value cast = cast(x, Precision.FLOAT32);
    return featureMap && builder.options().channelsLast()
        ? call("torch.contiguous", cast, raw("memory_format=2"))
        : cast;
  }

  private Value cast(Value x, Precision precision) {
    return call("torch.to", x, precision.scalarType(), false, false, null);
  }

  // ---- layers

  /**
   * A convolution with a square kernel, without dilation or groups. oneDNN copies a convolution's
   * weights into its own layout on every call, which takes longer than the convolution where there
   * are more of them than numbers to apply them to: there the patches are gathered and multiplied
   * (docs/full-size.md).
   */
  public Value conv2d(Value x, Weight w, Weight bias, int stride, int padding) {
    Value weights = weight(w);
    Value offset = bias == null ? null : weight(bias);
    String convolution =
        expression(
            "torch.conv2d",
            x,
            weights,
            offset,
            ints(stride, stride),
            ints(padding, padding),
            ints(1, 1),
            1);
    int kernel = (int) w.shape().get(2);
    boolean wide = w.shape().size() >= WIDE && kernel > 1;
    if (!wide || builder.isTrainable() || !builder.options().channelsLast()) {
      return assign(convolution);
    }
    long filters = w.shape().get(0);
    String pixels =
        "torch.mul(" + size(x, 0) + ", torch.mul(" + size(x, 2) + ", " + size(x, 3) + "))";
    long most = filters * stride * stride / FILTERS_PER_PIXEL;
    List<String> product = new ArrayList<>();
    product.add("padded = " + padded(x, padding));
    product.add("patches = torch.cat(" + patches("padded", kernel, stride) + ", 3)");
    product.add("kernels = torch.permute(" + weights + ", [0, 2, 3, 1])");
    product.add("matrix = torch.reshape(kernels, [" + filters + ", -1])");
    product.add("product = " + expression("torch.linear", raw("patches"), raw("matrix"), offset));
    return either(
        "torch.le(" + pixels + ", " + most + ")",
        product,
        "torch.permute(product, [0, 3, 1, 2])",
        convolution);
  }

  /** With channels last. */
  private static String padded(Value x, int padding) {
    Raw last = raw("torch.permute(" + x + ", [0, 2, 3, 1])");
    Raw around = ints(0, 0, padding, padding, padding, padding);
    return expression("torch.constant_pad_nd", last, around, 0);
  }

  /** The list of all patches' first pixels, of their second ones, and so on. */
  private static String patches(String padded, int kernel, int stride) {
    List<String> found = new ArrayList<>();
    for (int i = 0; i < kernel; i++) {
      for (int j = 0; j < kernel; j++) {
        String rows = expression("torch.slice", raw(padded), 1, i, end(i, kernel), stride);
        found.add(expression("torch.slice", raw(rows), 2, j, end(j, kernel), stride));
      }
    }
    return found.toString();
  }

  /** Where the patches' {@code i}th rows of pixels end, counted from the end as slices are. */
  private static Integer end(int i, int kernel) {
    return i == kernel - 1 ? null : Integer.valueOf(i - kernel + 1);
  }

  public Value linear(Value x, Weight w, Weight bias) {
    return call("torch.linear", x, weight(w), bias == null ? null : weight(bias));
  }

  public Value groupNorm(Value x, int groups, Weight w, Weight b, double eps) {
    return call("torch.group_norm", x, groups, weight(w), weight(b), eps, false);
  }

  public Value layerNorm(Value x, int width, Weight w, Weight b, double eps) {
    return call(
        "torch.layer_norm",
        x,
        ints(width),
        w == null ? null : weight(w),
        b == null ? null : weight(b),
        eps,
        false);
  }

  public Value rmsNorm(Value x, int width, Weight w, double eps) {
    return call("torch.rms_norm", x, ints(width), weight(w), eps);
  }

  /** Rows of a table: indices {@code int64 [N, L]} to {@code [N, L, width]}. */
  public Value embedding(Weight table, Value indices) {
    return call("torch.embedding", weight(table), indices);
  }

  /** {@code softmax(q k^T / sqrt(d)) v} over {@code [N, heads, L, d]}. */
  public Value attention(Value q, Value k, Value v, boolean causal) {
    String fused = expression("torch.scaled_dot_product_attention", q, k, v, null, 0.0, causal);
    if (!builder.isTrainable() && !builder.hasExplicitAttention()) {
      return assign(fused);
    }
    // the fused kernel multiplies block by block: with few tokens that is thousands of tiny calls
    long few = builder.hasExplicitAttention() ? Long.MAX_VALUE : FEW;
    List<String> explicit = new ArrayList<>();
    explicit.add("scale = torch.pow(float(torch.size(" + q + ", 3)), -0.5)");
    explicit.add(
        "qk = torch.matmul(torch.mul(" + q + ", scale), torch.transpose(" + k + ", 2, 3))");
    if (causal) {
      explicit.add("later = torch.triu(torch.full_like(qk, float('-inf')), 1)");
      explicit.add("qk1 = torch.add(qk, later)");
    } else {
      explicit.add("qk1 = qk");
    }
    return either(
        "torch.le(torch.mul(" + size(q, 2) + ", " + size(k, 2) + "), " + few + ")",
        explicit,
        "torch.matmul(torch.softmax(qk1, -1, None), " + v + ")",
        fused);
  }

  /**
   * {@code softmax(q k^T + bias) v} over {@code [N, heads, L, d]}, not scaled.
   *
   * @param bias {@code [1, heads, L, L]}
   */
  public Value biasedAttention(Value q, Value k, Value v, Value bias) {
    return call("torch.scaled_dot_product_attention", q, k, v, bias, 0.0, false, raw("scale=1.0"));
  }

  // ---- element-wise

  public Value silu(Value x) {
    return call("torch.silu", x);
  }

  public Value gelu(Value x) {
    return call("torch.gelu", x);
  }

  /** By {@code tanh}, as Hendrycks and Gimpel approximate it. */
  public Value geluTanh(Value x) {
    return call("torch.gelu", x, raw("approximate=\"tanh\""));
  }

  public Value sigmoid(Value x) {
    return call("torch.sigmoid", x);
  }

  public Value relu(Value x) {
    return call("torch.relu", x);
  }

  public Value tanh(Value x) {
    return call("torch.tanh", x);
  }

  public Value exp(Value x) {
    return call("torch.exp", x);
  }

  public Value sin(Value x) {
    return call("torch.sin", x);
  }

  public Value cos(Value x) {
    return call("torch.cos", x);
  }

  public Value add(Value a, Value b) {
    return call("torch.add", a, b);
  }

  public Value sub(Value a, Value b) {
    return call("torch.sub", a, b);
  }

  public Value mul(Value a, Value b) {
    return call("torch.mul", a, b);
  }

  public Value mul(Value a, double s) {
    return call("torch.mul", a, s);
  }

  public Value add(Value a, double s) {
    return call("torch.add", a, s);
  }

  public Value clamp(Value x, double min, double max) {
    return call("torch.clamp", x, min, max);
  }

  // ---- shapes

  public Value concat(int dim, Value... values) {
    return call("torch.cat", list(values), dim);
  }

  /** Part {@code index} of {@code count} equal parts along {@code dim}. */
  public Value chunk(Value x, int count, int dim, int index) {
    return assign(expression("torch.chunk", x, count, dim) + "[" + index + "]");
  }

  /** {@code x[:, from:to]} along {@code dim}. */
  public Value slice(Value x, int dim, long from, long to) {
    return call("torch.slice", x, dim, from, to);
  }

  /** Reshapes to sizes given as numbers (-1 infers one) or as {@link #size} values. */
  public Value reshape(Value x, Object... sizes) {
    return call(
        "torch.reshape",
        x,
        raw(Arrays.stream(sizes).map(Graph::literal).collect(Collectors.joining(", ", "[", "]"))));
  }

  /** The run-time size of an axis, an integer, for {@link #reshape}. */
  public Value size(Value x, int dim) {
    return call("torch.size", x, dim);
  }

  public Value permute(Value x, int... dims) {
    return call("torch.permute", x, ints(dims));
  }

  public Value transpose(Value x, int a, int b) {
    return call("torch.transpose", x, a, b);
  }

  public Value unsqueeze(Value x, int dim) {
    return call("torch.unsqueeze", x, dim);
  }

  /** The rows and columns of {@code [N, C, H, W]} that two lists of indices name. */
  public Value pick(Value x, Value rows, Value columns) {
    return call("torch.index_select", call("torch.index_select", x, 2, rows), 3, columns);
  }

  /** Zero padding of the last two axes. */
  public Value pad(Value x, int left, int right, int top, int bottom) {
    return call("torch.constant_pad_nd", x, ints(left, right, top, bottom), 0);
  }

  /** Nearest-neighbour enlargement by two. */
  public Value upsample2x(Value x) {
    return call("torch.upsample_nearest2d", x, null, raw("[2.0, 2.0]"));
  }

  /** Nearest-neighbour enlargement to the picture size of {@code like}. */
  public Value upsampleTo(Value x, Value like) {
    Value h = size(like, 2);
    Value w = size(like, 3);
    return call("torch.upsample_nearest2d", x, raw("[" + h + ", " + w + "]"), null);
  }

  /** {@code 0, 1, ..., count - 1} in float32. */
  public Value arange(int count) {
    return call("torch.arange", count, raw("dtype=6"));
  }

  // ---- statements for training scripts

  /**
   * Any operator by its TorchScript name; arguments are values, numbers, booleans, {@code null} or
   * {@link #raw}.
   */
  public Value call(String function, Object... args) {
    return assign(expression(function, args));
  }

  /**
   * The gradient of a scalar, whose graph is kept.
   *
   * @param differentiable whether it can be differentiated itself
   */
  public Value gradient(Value scalar, Value of, boolean differentiable) {
    Value found = call("torch.grad", list(scalar), list(of), null, true, differentiable, false);
    return assign("unchecked_cast(Tensor, " + found + "[0])");
  }

  /** Assigns an expression to a new variable. */
  public Value assign(String expression) {
    Value v = new Value("v" + next++);
    statement(v + " = " + expression);
    return v;
  }

  /**
   * Another method of this script, of a single result.
   *
   * @param arguments in the order in which it declares its inputs
   */
  public Value self(String method, List<Value> arguments) {
    return assign(
        arguments.stream()
            .map(Value::expression)
            .collect(Collectors.joining(", ", "(self)." + method + "(", ", )")));
  }

  /** {@code first}, after statements of its own, where a condition holds; else {@code second}. */
  private Value either(String condition, List<String> statements, String first, String second) {
    Value out = new Value("v" + next++);
    statement("if " + condition + ":");
    statements.forEach(s -> statement("  " + s));
    statement("  " + out + " = " + first);
    statement("else:");
    statement("  " + out + " = " + second);
    return out;
  }

  /** A whole statement. */
  public void statement(String text) {
    lines.add(text + "  # " + origin());
  }

  /** TorchScript text passed through as it is. */
  public static Raw raw(String text) {
    return new Raw(text);
  }

  /** TorchScript text. */
  public record Raw(String text) {}

  public static Raw list(Value... values) {
    return raw(
        Arrays.stream(values).map(Value::expression).collect(Collectors.joining(", ", "[", "]")));
  }

  private static Raw ints(int... values) {
    return raw(Arrays.toString(values));
  }

  private static String expression(String function, Object... args) {
    return Arrays.stream(args)
        .map(Graph::literal)
        .collect(Collectors.joining(", ", function + "(", ")"));
  }

  private static String literal(Object arg) {
    if (arg == null) {
      return "None";
    }
    if (arg instanceof Value v) {
      return v.expression();
    }
    if (arg instanceof Raw r) {
      return r.text();
    }
    if (arg instanceof Boolean b) {
      return b ? "True" : "False";
    }
    return arg.toString();
  }

  private static String origin() {
    return STACK.walk(
        frames ->
            frames
                .filter(f -> !f.getClassName().equals(Graph.class.getName()))
                .findFirst()
                .map(f -> f.getFileName() + ":" + f.getLineNumber())
                .orElse("engine"));
  }

  void emit(StringBuilder code, String self) {
    if (outputs == null) {
      throw new IllegalStateException("method " + name + " returns nothing");
    }
    code.append("  def ").append(name).append("(").append(self);
    inputs.forEach(i -> code.append(", ").append(i).append(": Tensor"));
    String types = outputs.stream().map(o -> "Tensor").collect(Collectors.joining(", "));
    code.append(") -> ").append(outputs.size() == 1 ? types : "Tuple[" + types + "]").append(":\n");
    lines.forEach(line -> code.append("    ").append(line).append('\n'));
    String values = outputs.stream().map(Value::expression).collect(Collectors.joining(", "));
    code.append("    return ")
        .append(outputs.size() == 1 ? values : "(" + values + ")")
        .append('\n');
  }
}
