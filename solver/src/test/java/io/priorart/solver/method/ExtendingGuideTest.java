package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code docs/guide/extending.md} does what it says: its one file and one line make a solver. */
class ExtendingGuideTest {
  private static final Path GUIDE =
      Path.of(System.getProperty("priorart.home"), "docs", "guide", "extending.md");

  private static final Path CLASSES =
      Path.of(
          URI.create(
              ExtendingGuideTest.class
                  .getProtectionDomain()
                  .getCodeSource()
                  .getLocation()
                  .toString()));

  @TempDir private Path dir;

  @Test
  void theFileAndTheLineMakeASolver() throws Exception {
    SolverMethod<?> method = method();
    Solvers solvers = new Solvers(List.of(method));
    assertSame(method, solvers.byId("null-space"));
    GaussianOracle oracle = new GaussianOracle(1);
    float[] first = solve(method, oracle, 3);
    assertArrayEquals(first, solve(method, oracle, 3));
    double[] found = new double[first.length];
    for (int i = 0; i < found.length; i++) {
      found[i] = first[i];
    }
    double[] residual = Matrices.plus(oracle.y, -1, Matrices.times(oracle.a, found));
    assertEquals(0, Matrices.dot(residual, residual), 1e-6, "the data is replaced exactly");
  }

  private static <P extends Record> float[] solve(
      SolverMethod<P> method, GaussianOracle oracle, long seed) {
    try (NDManager manager = NDManager.newBaseManager()) {
      return method
          .create()
          .apply(method.defaults())
          .solve(oracle.problem(), oracle.model(manager, method), SolveContext.of(manager, seed))
          .toFloatArray();
    }
  }

  /** Compiles the guide's block to where the tests' classes are: it belongs to their package. */
  private SolverMethod<?> method() throws Exception {
    Matcher block =
        Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(GUIDE));
    assertTrue(block.find(), "the guide has a block of Java");
    Path source = dir.resolve("NullSpace.java");
    Files.writeString(source, block.group(1));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    int failed =
        compiler.run(
            null,
            null,
            null,
            "-proc:none",
            "-cp",
            System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
            "-d",
            CLASSES.toString(),
            source.toString());
    assertEquals(0, failed, "the guide's block compiles");
    Class<?> solver = Class.forName("io.priorart.solver.method.NullSpace");
    return (SolverMethod<?>) solver.getField("METHOD").get(null);
  }

  @AfterEach
  void takeTheClassesAway() throws IOException {
    Path folder = CLASSES.resolve("io/priorart/solver/method");
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file :
          files.filter(f -> f.getFileName().toString().startsWith("NullSpace")).toList()) {
        Files.delete(file);
      }
    }
  }
}
