package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSpec;
import io.priorart.models.network.ConvexPotential;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.TensorScope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;

/** A training script with its weights, moments and moving average; saves and resumes. */
final class Trainer implements AutoCloseable {
  private static final String[] LISTS = {"ws", "m", "v", "ema"};
  private static final Shape STATISTICS = new Shape();

  private final NDManager manager = ScriptModule.newManager();
  private final List<TensorSpec> specs;
  private final ScriptModule module;
  private long step;
  private double seconds;

  /** Fresh weights, or those of {@code state} if it exists. */
  Trainer(Script script, Path state, NoiseSource random) {
    this(script, state, random, null);
  }

  /**
   * Goes on from {@code state} if it exists.
   *
   * @param start weights by name to begin with otherwise, their moments zero; null for fresh ones
   */
  Trainer(Script script, Path state, NoiseSource random, Function<String, HostTensor> start) {
    specs = script.weights();
    module = ScriptModule.load(manager, script);
    try {
      if (Files.exists(state)) {
        load(SafetensorsFile.open(state));
      } else {
        begin(start != null ? start : fresh(random));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  NDManager manager() {
    return manager;
  }

  long step() {
    return step;
  }

  /** Training time of all laps. */
  double seconds() {
    return seconds;
  }

  void setSeconds(double all) {
    seconds = all;
  }

  /**
   * One optimiser step.
   *
   * @param learningRate AdamW's rate
   * @param inputs of the script's {@code step}, after {@code hyper}
   * @return loss, gradient norm, norms of weights, moments and average, then the loss's terms
   */
  float[] step(double learningRate, NDArray... inputs) {
    double decay = Math.min(0.999, (1.0 + step) / (10.0 + step));
    NDArray[] all = new NDArray[inputs.length + 1];
    all[0] = manager.create(new float[] {(float) learningRate, (float) decay});
    System.arraycopy(inputs, 0, all, 1, inputs.length);
    float[] report = module.callWithGradients("step", all)[0].toFloatArray();
    if (!Float.isFinite(report[0]) || !Float.isFinite(report[2])) {
      throw new PriorArtException(
          ErrorKind.DIVERGED, "training diverged at step " + step + "; lower --learning-rate");
    }
    step++;
    return report;
  }

  /**
   * As PyTorch initialises: uniform in +-1/sqrt(fan-in); norms are the identity; residual branches
   * start at zero.
   */
  private Function<String, HostTensor> fresh(NoiseSource random) {
    Map<String, HostTensor> fresh = new LinkedHashMap<>();
    for (TensorSpec spec : specs) {
      fresh.put(spec.name(), initial(spec, random));
    }
    return fresh::get;
  }

  private void begin(Function<String, HostTensor> start) {
    Map<String, HostTensor> first = new LinkedHashMap<>();
    for (TensorSpec spec : specs) {
      first.put(spec.name(), start.apply(spec.name()));
    }
    for (String list : LISTS) {
      boolean weights = list.equals("ws") || list.equals("ema");
      attach(list, name -> weights ? first.get(name) : zeros(first.get(name).shape()));
    }
    attachStatistics(zeros(STATISTICS));
    attachSteps(0);
  }

  private static HostTensor zeros(Shape shape) {
    return new HostTensor(shape, new float[Math.toIntExact(shape.size())]);
  }

  private static HostTensor initial(TensorSpec spec, NoiseSource random) {
    float[] values = new float[Math.toIntExact(spec.shape().size())];
    boolean isBias = spec.name().endsWith("bias");
    boolean isNorm = !isBias && spec.shape().dimension() == 1;
    boolean endsResidual =
        spec.name().endsWith("conv2.weight")
            || spec.name().endsWith("proj_out.weight")
            || spec.name().endsWith("to_out.0.weight")
            || spec.name().endsWith("net.2.weight");
    double fanIn = (double) spec.shape().size() / spec.shape().get(0);
    double bound = spec.name().contains("embedding.weight") ? 0.05 : 1 / Math.sqrt(fanIn);
    if (endsResidual) {
      bound *= 0.1;
    }
    if (spec.name().endsWith(ConvexPotential.NON_NEGATIVE)) {
      // near zero, as Fang et al. begin: a sum of many non-negative terms grows with every layer
      float[] normal = random.normal(spec.shape()).values();
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) Math.exp(-10 + 0.1 * normal[i]);
      }
      return new HostTensor(spec.shape(), values);
    }
    for (int i = 0; i < values.length; i++) {
      values[i] = isBias ? 0 : isNorm ? 1 : (float) (bound * (2 * random.uniform() - 1));
    }
    return new HostTensor(spec.shape(), values);
  }

  private void load(SafetensorsFile state) {
    for (TensorSpec spec : specs) {
      for (String list : LISTS) {
        requireFits(state, list + "/" + spec.name(), spec.shape());
      }
    }
    for (String list : LISTS) {
      attach(list, name -> state.read(list + "/" + name));
    }
    attachStatistics(
        state.shapes().containsKey("statistics") ? state.read("statistics") : zeros(STATISTICS));
    seconds = Double.parseDouble(state.metadata().getOrDefault("seconds", "0"));
    step = Long.parseLong(state.metadata().getOrDefault("step", "0"));
    attachSteps(step);
  }

  private static void requireFits(SafetensorsFile state, String name, Shape shape) {
    Shape found = state.shapes().get(name);
    if (!shape.equals(found)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          state.name()
              + ": "
              + name
              + (found == null ? " is missing" : " is " + found + ", not " + shape)
              + "; it belongs to another configuration");
    }
  }

  private void attach(String list, Function<String, HostTensor> source) {
    try (NDManager scratch = manager.newSubManager()) {
      NDList tensors = new NDList();
      for (TensorSpec spec : specs) {
        tensors.add(source.apply(spec.name()).to(scratch));
      }
      module.attach(list, tensors);
    }
  }

  private void attachStatistics(HostTensor values) {
    try (NDManager scratch = manager.newSubManager()) {
      module.attach("statistics", new NDList(values.to(scratch)));
    }
  }

  private void attachSteps(long count) {
    try (NDManager scratch = manager.newSubManager()) {
      NDList tensors = new NDList();
      for (int i = 0; i < specs.size(); i++) {
        tensors.add(scratch.create((float) count));
      }
      module.attach("steps", tensors);
    }
  }

  /** Writes everything that {@link #Trainer} needs to go on. */
  void save(Path state) {
    Map<String, HostTensor> all = new LinkedHashMap<>();
    for (String list : LISTS) {
      read(list).forEach((name, tensor) -> all.put(list + "/" + name, tensor));
    }
    try (TensorScope scope = new TensorScope()) {
      all.put("statistics", HostTensor.of(module.list("statistics").get(0)));
    }
    SafetensorsWriter.write(
        state,
        all,
        Map.of("step", Long.toString(step), "seconds", Double.toString(seconds)),
        false);
  }

  /** Writes the averaged weights whose name passes, with {@code prefix} cut off, as float16. */
  void export(Path file, String prefix, Predicate<String> wanted) {
    Map<String, HostTensor> part = new LinkedHashMap<>();
    read("ema")
        .forEach(
            (name, tensor) -> {
              if (name.startsWith(prefix) && wanted.test(name)) {
                part.put(name.substring(prefix.length()), tensor);
              }
            });
    SafetensorsWriter.write(file, part, Map.of("format", "pt"), true);
  }

  /**
   * A script of the same networks, for inference, with the averaged weights as they are now. The
   * next step may change them: to be used and closed before it.
   *
   * @param script whose weights are among those trained, by name
   */
  ScriptModule averaged(Script script) {
    ScriptModule networks = ScriptModule.load(manager, script);
    try (TensorScope scope = new TensorScope()) {
      Map<String, NDArray> averages = new LinkedHashMap<>();
      NDList values = module.list("ema");
      for (int i = 0; i < values.size(); i++) {
        averages.put(specs.get(i).name(), values.get(i));
      }
      NDList chosen = new NDList();
      for (TensorSpec spec : script.weights()) {
        chosen.add(averages.get(spec.name()));
      }
      networks.attach("ws", chosen);
    } catch (RuntimeException e) {
      networks.close();
      throw e;
    }
    return networks;
  }

  private Map<String, HostTensor> read(String list) {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    try (TensorScope scope = new TensorScope()) {
      NDList values = module.list(list);
      for (int i = 0; i < values.size(); i++) {
        tensors.put(specs.get(i).name(), HostTensor.of(values.get(i)));
      }
    }
    return tensors;
  }

  @Override
  public void close() {
    module.close();
    manager.close();
  }
}
