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
import java.io.IOException;
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

/**
 * A solve's state in a {@code .safetensors} file, written aside and renamed: every half minute and
 * when the solve is stopped, gone on from when it is there, removed when the solve has ended. It
 * names the solve that it belongs to, and serves no other.
 */
final class SolveStateFile implements SolveStates {
  private static final Duration INTERVAL = Duration.ofSeconds(30);
  private static final String SOLVE = "solve";
  private static final String STEP = "step";

  private final Path file;
  private final String fingerprint;
  private long lastNanos = System.nanoTime();

  /**
   * @param fingerprint of everything that decides the result
   */
  SolveStateFile(Path file, String fingerprint) {
    this.file = file;
    this.fingerprint = fingerprint;
  }

  /**
   * What decides a batch's result, which holds all samples of the request.
   *
   * @param parameters every parameter of the solver
   * @param model hash and precision
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
            Integer.toString(request.samples()));
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
    SafetensorsFile kept = SafetensorsFile.open(file);
    if (!fingerprint.equals(kept.metadata().get(SOLVE))) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION,
          "state: "
              + file
              + " belongs to a solve with another picture, model, seed or parameters; remove it or"
              + " name another file");
    }
    List<HostTensor> arrays = new ArrayList<>();
    for (int i = 0; i < kept.shapes().size(); i++) {
      arrays.add(kept.read(Integer.toString(i)));
    }
    return new SolveState(Integer.parseInt(kept.metadata().get(STEP)), arrays);
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
    Map<String, String> metadata = Map.of(SOLVE, fingerprint, STEP, Integer.toString(state.step()));
    SafetensorsWriter.write(file, tensors, metadata, false);
    lastNanos = System.nanoTime();
  }

  /** The solve has ended. */
  void remove() {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
