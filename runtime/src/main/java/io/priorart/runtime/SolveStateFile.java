package io.priorart.runtime;

import ai.djl.ndarray.types.Shape;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Problem;
import io.priorart.solver.SolveState;
import io.priorart.solver.SolveStates;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * A solve's state in a {@code .safetensors} file, written aside and renamed: every half minute and
 * when the solve is stopped, gone on from when it is there. It names the solve that it belongs to,
 * and serves no other. A state that cannot be written is said, and the solve goes on: its result is
 * worth more.
 */
final class SolveStateFile implements SolveStates {
  private static final Duration INTERVAL = Duration.ofSeconds(30);
  private static final String SOLVE = "solve";
  private static final String STEP = "step";
  private static final String CONTENT = "content";

  private final Path file;
  private final String fingerprint;
  private final Consumer<String> warnings;
  private long lastNanos = System.nanoTime();

  /**
   * @param fingerprint of everything that decides the result
   * @param warnings hears what could not be written
   */
  SolveStateFile(Path file, String fingerprint, Consumer<String> warnings) {
    this.file = file;
    this.fingerprint = fingerprint;
    this.warnings = warnings;
  }

  /**
   * Whether a state can be kept there, before anything runs.
   *
   * @throws PriorArtException NOT_FOUND without its folder; FAILED_PRECONDITION for a folder that
   *     cannot be written to; INVALID_ARGUMENT for a file that is there and no state
   */
  static void requireUsable(Path file) {
    Path folder = file.toAbsolutePath().getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new PriorArtException(ErrorKind.NOT_FOUND, "state: there is no folder " + folder);
    }
    if (!Files.isWritable(folder)) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "state: the folder " + folder + " cannot be written to");
    }
    if (Files.exists(file)) {
      open(file);
    }
  }

  /** A file that is there, if it is a state. */
  private static SafetensorsFile open(Path file) {
    SafetensorsFile kept;
    try {
      kept = SafetensorsFile.open(file);
    } catch (PriorArtException | UncheckedIOException e) {
      throw noState(file, e);
    }
    if (!kept.metadata().keySet().containsAll(List.of(SOLVE, STEP, CONTENT))) {
      throw noState(file, null);
    }
    return kept;
  }

  private static PriorArtException noState(Path file, Exception cause) {
    return new PriorArtException(
        ErrorKind.INVALID_ARGUMENT,
        "state: "
            + file
            + " is no solve's state, or damaged; remove it or name another file"
            + (cause == null ? "" : " (" + cause.getMessage() + ")"),
        Map.of("field", "state"),
        cause);
  }

  /**
   * What decides a batch's result, which holds all samples of the request.
   *
   * @param parameters every parameter of the solver
   * @param model hash, precision and tiles
   */
  static String fingerprint(
      Restorer.Request request, Map<String, Object> parameters, Problem problem, String model) {
    MessageDigest digest = Sha256.digest();
    String facts =
        String.join(
            "\n",
            request.solver(),
            parameters.toString(),
            problem.noise().toString(),
            Double.toString(problem.quantizationStep()),
            request.prompt().toString(),
            model,
            Long.toString(request.seed()),
            Integer.toString(request.samples()),
            problem.operator().imageShape().toString());
    digest.update(facts.getBytes(StandardCharsets.UTF_8));
    update(digest, problem.measurement());
    for (OperatorRequest operator : request.operators()) {
      digest.update(operator.name().getBytes(StandardCharsets.UTF_8));
      operator
          .parameters()
          .forEach(
              (name, value) -> {
                digest.update(name.getBytes(StandardCharsets.UTF_8));
                if (value instanceof HostTensor tensor) {
                  update(digest, tensor);
                } else {
                  digest.update(value.toString().getBytes(StandardCharsets.UTF_8));
                }
              });
    }
    return Sha256.text(digest.digest());
  }

  private static void update(MessageDigest digest, HostTensor tensor) {
    digest.update(tensor.shape().toString().getBytes(StandardCharsets.UTF_8));
    ByteBuffer bytes = ByteBuffer.allocate(4 * tensor.values().length);
    bytes.asFloatBuffer().put(tensor.values());
    digest.update(bytes);
  }

  /** Refuses a file of another solve, before anything is made for this one. */
  void requireOwn() {
    if (Files.exists(file)) {
      own();
    }
  }

  /** What the arrays and the step are recognised by. */
  private static String content(String step, List<HostTensor> arrays) {
    MessageDigest digest = Sha256.digest();
    digest.update(step.getBytes(StandardCharsets.UTF_8));
    arrays.forEach(array -> update(digest, array));
    return Sha256.text(digest.digest());
  }

  /**
   * {@inheritDoc}
   *
   * @throws PriorArtException FAILED_PRECONDITION for a file of another solve, INVALID_ARGUMENT for
   *     one that is no state
   */
  @Override
  public SolveState saved() {
    if (!Files.exists(file)) {
      return null;
    }
    SafetensorsFile kept = own();
    List<HostTensor> arrays = new ArrayList<>();
    try {
      for (int i = 0; i < kept.shapes().size(); i++) {
        arrays.add(kept.read(Integer.toString(i)));
      }
    } catch (PriorArtException | UncheckedIOException e) {
      throw noState(file, e);
    }
    String step = kept.metadata().get(STEP);
    if (!content(step, arrays).equals(kept.metadata().get(CONTENT))) {
      throw noState(file, null);
    }
    return new SolveState(Integer.parseInt(step), arrays);
  }

  private SafetensorsFile own() {
    SafetensorsFile kept = open(file);
    if (!fingerprint.equals(kept.metadata().get(SOLVE))) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "state: "
              + file
              + " belongs to a solve with another picture, size, model, seed or parameters; remove"
              + " it or name another file");
    }
    return kept;
  }

  @Override
  public boolean due(int step) {
    return System.nanoTime() - lastNanos >= INTERVAL.toNanos();
  }

  @Override
  public boolean whenStopped() {
    return true;
  }

  @Override
  public void save(SolveState state) {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    for (HostTensor array : state.arrays()) {
      Shape shape = array.shape();
      tensors.put(Integer.toString(tensors.size()), new HostTensor(shape, array.values()));
    }
    String step = Integer.toString(state.step());
    Map<String, String> metadata =
        Map.of(SOLVE, fingerprint, STEP, step, CONTENT, content(step, state.arrays()));
    try {
      SafetensorsWriter.write(file, tensors, metadata, false);
    } catch (UncheckedIOException e) {
      warnings.accept("state: " + file + " could not be written: " + e.getCause());
    }
    lastNanos = System.nanoTime();
  }
}
