package io.priorart.cli;

import io.priorart.runtime.Checkpoints;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code priorart serve}: becomes the service.
 *
 * <p>The service has a class loader of its own, but looks for service providers on the class path,
 * too. So the launcher starts this class with little more than the service's entry point beside it:
 * nothing here may need more than picocli, solver and runtime.
 */
@Command(
    name = "serve",
    description = {
      "Serves restorations over gRPC (priorart.v1), and health, metrics and OpenAPI over HTTP, on one port.",
      "Further settings: docs/design/service.md. SIGTERM finishes running solves within the grace period."
    },
    mixinStandardHelpOptions = true)
public final class ServeCommand implements Callable<Integer> {
  private static final String ENTRY_POINT = "io.quarkus.bootstrap.runner.QuarkusEntryPoint";

  @Option(
      names = "--port",
      defaultValue = "8980",
      paramLabel = "P",
      description = "1 to 65535, or 0 for a free one. Default: ${DEFAULT-VALUE}")
  private int port;

  @Option(
      names = "--host",
      defaultValue = "127.0.0.1",
      paramLabel = "H",
      description = {
        "Address to listen on; 0.0.0.0 for all. There is no authentication yet.",
        "Default: ${DEFAULT-VALUE}"
      })
  private String host;

  @Option(
      names = "--model",
      paramLabel = "NAME|DIR",
      description = {
        "Checkpoint folder in the diffusers layout, named after its folder; may be repeated.",
        "The first is the default. Default: the bundled ones"
      })
  private List<String> models = new ArrayList<>();

  @Option(
      names = "--slots",
      defaultValue = "1",
      paramLabel = "N",
      description = "Solves that run at a time. Default: ${DEFAULT-VALUE}")
  private int slots;

  @Option(
      names = "--queue",
      defaultValue = "10",
      paramLabel = "N",
      description = "Solves that may wait; more are refused. Default: ${DEFAULT-VALUE}")
  private int queue;

  @Option(
      names = "--artifacts",
      paramLabel = "DIR",
      description = "Where uploaded files are kept. Default: a temporary folder")
  private Path artifacts;

  @Option(
      names = "--grace",
      defaultValue = "20",
      paramLabel = "S",
      description = "Seconds that running solves have after SIGTERM. Default: ${DEFAULT-VALUE}")
  private int grace;

  /** What the launcher starts for {@code serve}. */
  public static void main(String[] args) {
    int code =
        Main.configured(new CommandLine(new ServeCommand()).setCommandName("priorart serve"))
            .execute(args);
    if (code != 0) {
      System.exit(code);
    }
  }

  @Override
  public Integer call() throws Exception {
    requireRange("port", port, 0, 65535);
    requireRange("slots", slots, 1, 1024);
    requireRange("queue", queue, 0, 100_000);
    requireRange("grace", grace, 0, 86_400);
    requireFree();
    for (int i = 0; i < models.size(); i++) {
      Checkpoints.resolve(models.get(i), false); // says so before the service starts
      System.setProperty("priorart.service.models[" + i + "]", models.get(i));
    }
    System.setProperty("quarkus.http.port", Integer.toString(port));
    System.setProperty("quarkus.http.host", host);
    System.setProperty("priorart.service.slots", Integer.toString(slots));
    System.setProperty("priorart.service.queue", Integer.toString(queue));
    System.setProperty("priorart.service.grace", grace + "s");
    if (artifacts != null) {
      System.setProperty(
          "priorart.service.artifacts.folder", artifacts.toAbsolutePath().toString());
    }
    Class<?> entryPoint;
    try {
      entryPoint = Class.forName(ENTRY_POINT);
    } catch (ClassNotFoundException e) {
      throw new PriorArtException(
          ErrorKind.FAILED_PRECONDITION, "serve must be started by the launcher, ./priorart", e);
    }
    entryPoint.getMethod("main", String[].class).invoke(null, (Object) new String[0]);
    return 0;
  }

  private static void requireRange(String option, int value, int least, int most) {
    if (value < least || value > most) {
      throw PriorArtException.badField(
          option, "must be " + least + " to " + most + ", was " + value);
    }
  }

  private void requireFree() {
    // bound but not listening: nobody can connect to it by accident
    try (Socket probe = new Socket()) {
      probe.setReuseAddress(true);
      probe.bind(new InetSocketAddress(host, port));
    } catch (IOException | RuntimeException e) {
      throw PriorArtException.badField(
          "port", "cannot listen on " + host + ":" + port + ": " + e.getMessage());
    }
  }
}
