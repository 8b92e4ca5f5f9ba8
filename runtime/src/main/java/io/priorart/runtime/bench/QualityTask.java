package io.priorart.runtime.bench;

import io.priorart.runtime.OperatorRequest;
import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What is done to every picture of a quality benchmark, and what the solver is told about it.
 *
 * @param name short, unique
 * @param measured the operators that make the measurement, in order
 * @param declared the operators that the solver is told; other than {@code measured} in a control
 * @param sigma of the noise on the [0,1] pixel scale, made and declared
 */
public record QualityTask(
    String name, List<OperatorRequest> measured, List<OperatorRequest> declared, double sigma) {
  private static final Map<String, QualityTask> KNOWN = new LinkedHashMap<>();

  static {
    known("inpainting-70", "inpainting:random=0.7", 0.01);
    known("inpainting-92", "inpainting:random=0.92", 0.01);
    known("super-resolution-4", "super-resolution:factor=4", 0.01);
    known("gaussian-blur-3", "gaussian-blur:sigma=3", 0.01);
    known("motion-blur-31", "motion-blur:length=31", 0.01);
    known("denoising-0.1", "identity", 0.1);
    known("wrong-blur-5-as-3", "gaussian-blur:sigma=5", "gaussian-blur:sigma=3", 0.01);
  }

  private static void known(String name, String operators, double sigma) {
    known(name, operators, operators, sigma);
  }

  private static void known(String name, String measured, String declared, double sigma) {
    KNOWN.put(name, new QualityTask(name, operators(measured), operators(declared), sigma));
  }

  /** What runs when no task is named: all that have a name. */
  public static List<QualityTask> defaults() {
    return List.copyOf(KNOWN.values());
  }

  /** Whether the solver is told something else than what was done. */
  public boolean control() {
    return !measured.equals(declared);
  }

  /**
   * A task by its name, or {@code OPERATOR[+OPERATOR...]@SIGMA}, for instance {@code
   * gaussian-blur:sigma=2+super-resolution:factor=2@0.02}.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT
   */
  public static QualityTask parse(String text) {
    int at = text.lastIndexOf('@');
    if (at < 0) {
      QualityTask task = KNOWN.get(text);
      if (task == null) {
        throw Names.notFound("task", text, KNOWN.keySet());
      }
      return task;
    }
    double sigma;
    try {
      sigma = Double.parseDouble(text.substring(at + 1));
    } catch (NumberFormatException e) {
      sigma = Double.NaN;
    }
    if (!(sigma >= 0 && sigma <= 1)) {
      throw PriorArtException.badField(
          "task", text + ": what follows @ is sigma on the [0,1] pixel scale, 0 to 1");
    }
    List<OperatorRequest> operators = operators(text.substring(0, at));
    return new QualityTask(text, operators, operators, sigma);
  }

  private static List<OperatorRequest> operators(String text) {
    return Arrays.stream(text.split("\\+")).map(OperatorRequest::parse).toList();
  }

  static String describe(List<OperatorRequest> operators) {
    return operators.stream()
        .map(
            o ->
                o.parameters().entrySet().stream()
                    .sorted(Map.Entry.comparingByKey())
                    .map(e -> e.getKey() + "=" + e.getValue())
                    .collect(
                        Collectors.joining(
                            ",", o.name() + (o.parameters().isEmpty() ? "" : ":"), "")))
        .collect(Collectors.joining(" + "));
  }
}
