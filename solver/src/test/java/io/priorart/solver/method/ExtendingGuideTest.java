package io.priorart.solver.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import io.priorart.solver.SolveContext;
import io.priorart.solver.SolverMethod;
import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code docs/guide/extending.md} does what it says: its one file and one line make a solver. They
 * are compiled into a folder of their own, as this package in a class loader of its own.
 */
class ExtendingGuideTest {
  private static final Path HOME = Path.of(System.getProperty("priorart.home"));
  private static final String PACKAGE = "io.priorart.solver.method";
  private static final String LIST = "List.of(\n          Dpir.METHOD,";

  @TempDir private Path dir;

  @Test
  void theFileAndTheLineMakeASolver() throws Exception {
    try (URLClassLoader loader = extended()) {
      SolverMethod<?> method =
          builtIn(loader).stream()
              .filter(m -> m.id().equals("null-space"))
              .findFirst()
              .orElseThrow();
      assertEquals(Solvers.BUILT_IN.size() + 1, builtIn(loader).size());
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
  }

  private static List<SolverMethod<?>> builtIn(ClassLoader loader) throws Exception {
    List<SolverMethod<?>> methods = new ArrayList<>();
    Class<?> solvers = loader.loadClass(PACKAGE + ".Solvers");
    for (Object method : (List<?>) solvers.getField("BUILT_IN").get(null)) {
      methods.add((SolverMethod<?>) method);
    }
    return methods;
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

  /** The guide's file, and {@link Solvers} with the guide's line in it, before the classes here. */
  private URLClassLoader extended() throws Exception {
    String guide = Files.readString(HOME.resolve("docs/guide/extending.md"));
    Matcher file = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(guide);
    assertTrue(file.find(), "the guide has a block of Java");
    Matcher line = Pattern.compile("in `Solvers.BUILT_IN`: `(.*?)`").matcher(guide);
    assertTrue(line.find(), "and a line");
    Path solvers = HOME.resolve("solver/src/main/java/io/priorart/solver/method/Solvers.java");
    String list = Files.readString(solvers);
    assertTrue(list.contains(LIST), "the list is where it was");
    compile("NullSpace.java", file.group(1));
    compile("Solvers.java", list.replace(LIST, LIST + "\n          " + line.group(1)));
    URL here = Solvers.class.getProtectionDomain().getCodeSource().getLocation();
    return new URLClassLoader(
        new URL[] {dir.toUri().toURL(), here}, ExtendingGuideTest.class.getClassLoader()) {
      @Override
      protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!name.startsWith(PACKAGE + ".")) {
          return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
          Class<?> loaded = findLoadedClass(name);
          return loaded == null ? findClass(name) : loaded;
        }
      }
    };
  }

  private void compile(String name, String text) throws IOException {
    Path source = Files.writeString(dir.resolve(name), text);
    String classes =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    int failed =
        compiler.run(
            null,
            null,
            null,
            "-proc:none",
            "-cp",
            dir + File.pathSeparator + classes,
            "-d",
            dir.toString(),
            source.toString());
    assertEquals(0, failed, name + " compiles");
  }
}
