package io.priorart.models.engine;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValueUtils;
import ai.djl.pytorch.jni.JniUtils;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.Linearization;
import io.priorart.solver.PriorArtException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A loaded {@link Script} with its weights attached. Safe for concurrent calls; one native call per
 * network evaluation.
 *
 * <p>The engine's process-wide settings are made here and nowhere else: the graph executor's
 * optimiser is off on every calling thread (it costs seconds per new shape); {@link GracefulExit}
 * knows of every native call.
 */
public final class ScriptModule implements AutoCloseable {
  private static final Pattern HERE = Pattern.compile("# (\\S+\\.java:\\d+)[^#]*<--- HERE");

  private static final ThreadLocal<Boolean> PREPARED =
      ThreadLocal.withInitial(
          () -> {
            JniUtils.setGraphExecutorOptimize(false);
            return true;
          });

  private final Script script;
  private final PtNDManager manager;
  private final PtSymbolBlock block;

  /** Kept reachable: tensors of the compute type alias its mapped memory. */
  private TensorSource weights;

  private ScriptModule(Script script, PtNDManager manager, PtSymbolBlock block) {
    this.script = script;
    this.manager = manager;
    this.block = block;
  }

  /**
   * Loads a script and attaches weights from a checkpoint part.
   *
   * @param parent the module lives as long as this manager, at most
   * @throws PriorArtException INVALID_ARGUMENT listing every missing, unknown and misshapen tensor
   */
  public static ScriptModule load(NDManager parent, Script script, TensorSource weights) {
    return load(parent, script, weights, Staging.CAPACITY);
  }

  static ScriptModule load(
      NDManager parent, Script script, TensorSource weights, int stagingCapacity) {
    weights.requireExactly(script.weights());
    ScriptModule module = load(parent, script);
    module.attachWeights(weights, stagingCapacity);
    return module;
  }

  /**
   * Compiles a script by another thread, while this one loads other parts.
   *
   * @param parent of the module, outliving what is returned
   */
  public static Compiling compile(NDManager parent, Supplier<Script> script) {
    return new Compiling(CompletableFuture.supplyAsync(() -> load(parent, script.get())));
  }

  /** Closes this module if it fails. */
  private void attachWeights(TensorSource weights, int stagingCapacity) {
    String mappedType = script.precision().mappedType();
    Set<String> mapped = new HashSet<>();
    long written = 0;
    for (TensorSpec spec : script.weights()) {
      if (weights.type(spec.name()).equals(mappedType)) {
        mapped.add(spec.name());
      } else {
        written += spec.shape().size() * script.precision().bytes();
      }
    }
    try (SmallPages pages = SmallPages.whileWriting(written);
        Loading loading = new Loading(this, stagingCapacity)) {
      for (TensorSpec spec : script.weights()) {
        loading.add(weights, spec.name(), mapped.contains(spec.name()));
      }
      this.weights = mapped.isEmpty() ? null : weights;
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Loads a script without weights. */
  public static ScriptModule load(NDManager parent, Script script) {
    PtNDManager manager = (PtNDManager) parent.newSubManager();
    try {
      // trainParam: weights must not become inference tensors, which no backward accepts
      PtSymbolBlock block =
          JniUtils.loadModule(manager, new ByteArrayInputStream(script.archive()), false, false);
      return new ScriptModule(script, manager, block);
    } catch (IOException e) {
      manager.close();
      throw new UncheckedIOException(e);
    } catch (EngineException e) {
      manager.close();
      throw explain(script, "load", e);
    }
  }

  /** A manager of the engine; the caller closes it. */
  public static NDManager newManager() {
    return Engine.getEngine("PyTorch").newBaseManager();
  }

  /** Threads that one network evaluation uses. */
  public static int threads() {
    Engine.getEngine("PyTorch");
    return JniUtils.getNumThreads();
  }

  /**
   * Replaces a list attribute; the script keeps converted copies, or its own references where
   * nothing changed.
   */
  public void attach(String attribute, NDList tensors) {
    invoke("clear_" + attribute, new NDList()).close();
    append(attribute, tensors);
  }

  private void append(String attribute, NDList tensors) {
    NDList named = new NDList(tensors.size());
    for (NDArray tensor : tensors) {
      tensor.setName(attribute + "[]");
      named.add(tensor);
    }
    invoke("append_" + attribute, named).close();
  }

  /**
   * The tensors of a list attribute: views that share the script's memory, in the caller's scope.
   */
  public NDList list(String attribute) {
    return invoke("list_" + attribute, new NDList());
  }

  /** Calls a method; results belong to the first argument's manager and carry no graph. */
  public NDArray[] call(String method, NDArray... args) {
    boolean gradMode = JniUtils.isGradMode();
    JniUtils.setGradMode(false);
    try {
      return run(method, args);
    } finally {
      JniUtils.setGradMode(gradMode);
    }
  }

  /** Calls a method that differentiates inside the script, such as a training step. */
  public NDArray[] callWithGradients(String method, NDArray... args) {
    boolean gradMode = JniUtils.isGradMode();
    JniUtils.setGradMode(true);
    try {
      return run(method, args);
    } finally {
      JniUtils.setGradMode(gradMode);
    }
  }

  /**
   * One forward with argument {@code wrt} as a leaf; its single result can be pulled back to that
   * argument any number of times. Other arguments are constants.
   */
  public Linearization linearize(String method, int wrt, NDArray... args) {
    NDManager owner = args[wrt].getManager();
    PtNDArray leaf = (PtNDArray) args[wrt].duplicate();
    JniUtils.attachGradient(leaf, true);
    NDArray[] inputs = args.clone();
    inputs[wrt] = leaf;
    NDArray[] outputs = callWithGradients(method, inputs);
    PtNDArray output = (PtNDArray) outputs[0];
    PtNDArray value = JniUtils.detachGradient(output);
    value.attach(owner);
    return new ScriptLinearization(leaf, output, value);
  }

  private NDArray[] run(String method, NDArray... args) {
    NDList inputs = new NDList(args.length);
    for (NDArray arg : args) {
      arg.setName(null);
      inputs.add(arg);
    }
    NDList outputs = invoke(method, inputs);
    NDManager owner = args[0].getManager();
    for (NDArray output : outputs) {
      output.attach(owner);
    }
    return outputs.toArray(new NDArray[0]);
  }

  private NDList invoke(String method, NDList inputs) {
    PREPARED.get();
    GracefulExit.enterNative();
    try (NDArray selector = manager.create(new Shape(1))) {
      selector.setName("module_method:" + method);
      NDList all = new NDList(inputs.size() + 1);
      all.add(selector);
      all.addAll(inputs);
      return IValueUtils.forward(block, all, true);
    } catch (EngineException e) {
      throw explain(script, method, e);
    } finally {
      GracefulExit.leaveNative();
    }
  }

  private static PriorArtException explain(Script script, String method, EngineException e) {
    Matcher here = HERE.matcher(String.valueOf(e.getMessage()).replace('\n', ' '));
    String origin = here.find() ? " at " + here.group(1) : "";
    return new PriorArtException(
        ErrorKind.INTERNAL,
        "script " + script.className() + "." + method + " failed" + origin + ": " + e.getMessage(),
        e);
  }

  public Script script() {
    return script;
  }

  public NDManager manager() {
    return manager;
  }

  @Override
  public void close() {
    block.close();
    manager.close();
    weights = null;
  }

  /** A script that is being compiled and has no weights yet. */
  public static final class Compiling implements AutoCloseable {
    private final CompletableFuture<ScriptModule> compiled;
    private boolean attached;

    private Compiling(CompletableFuture<ScriptModule> compiled) {
      this.compiled = compiled;
    }

    /**
     * Waits for the compiler and attaches weights; the module is the caller's.
     *
     * @throws PriorArtException INVALID_ARGUMENT listing every missing, unknown and misshapen
     *     tensor
     */
    public ScriptModule attach(TensorSource weights) {
      ScriptModule module;
      try {
        module = compiled.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
      weights.requireExactly(module.script.weights());
      attached = true;
      module.attachWeights(weights, Staging.CAPACITY);
      return module;
    }

    /** Waits for the compiler, too; frees what got no weights. */
    @Override
    public void close() {
      if (!attached) {
        compiled.thenAccept(ScriptModule::close).exceptionally(failure -> null).join();
      }
    }
  }

  /** Weights on their way into a script, some at a time. */
  private static final class Loading implements AutoCloseable {
    private final ScriptModule module;
    private final Staging staging;
    private final NDManager scratch;
    private final NDList pending = new NDList();

    Loading(ScriptModule module, int stagingCapacity) {
      this.module = module;
      staging = new Staging(stagingCapacity, this::flush);
      scratch = module.manager.newSubManager();
    }

    /**
     * @param mapped whether the script can use the tensor where its file is mapped
     */
    void add(TensorSource weights, String name, boolean mapped) {
      pending.add(weights.map(scratch, name, mapped ? null : staging));
    }

    private void flush() {
      if (!pending.isEmpty()) {
        module.append("ws", pending);
        pending.close(); // the script has what it keeps
        pending.clear();
      }
    }

    @Override
    public void close() {
      try {
        flush();
      } finally {
        scratch.close();
      }
    }
  }

  /** A forward's graph, held until closed. */
  private static final class ScriptLinearization implements Linearization {
    private final PtNDArray leaf;
    private final PtNDArray output;
    private final PtNDArray value;

    ScriptLinearization(PtNDArray leaf, PtNDArray output, PtNDArray value) {
      this.leaf = leaf;
      this.output = output;
      this.value = value;
    }

    @Override
    public NDArray value() {
      return value;
    }

    @Override
    public NDArray pullback(NDArray cotangent) {
      if (!cotangent.getShape().equals(value.getShape())) {
        throw new IllegalArgumentException(
            "cotangent " + cotangent.getShape() + " for a value " + value.getShape());
      }
      boolean gradMode = JniUtils.isGradMode();
      JniUtils.setGradMode(true);
      GracefulExit.enterNative();
      try {
        JniUtils.zeroGrad(leaf); // backward accumulates
        JniUtils.backward(output, (PtNDArray) cotangent, true, false);
        try (PtNDArray gradient = JniUtils.getGradient(leaf)) {
          return gradient.duplicate();
        }
      } finally {
        GracefulExit.leaveNative();
        JniUtils.setGradMode(gradMode);
      }
    }

    @Override
    public void close() {
      output.close();
      leaf.close();
    }
  }
}
