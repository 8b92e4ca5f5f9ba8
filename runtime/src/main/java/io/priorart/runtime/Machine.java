package io.priorart.runtime;

import io.priorart.models.engine.ScriptModule;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** What a figure was measured on. */
public final class Machine {
  private Machine() {}

  /** Processor, threads, memory, operating system and Java, by name. */
  public static Map<String, Object> describe() {
    Map<String, Object> out = new LinkedHashMap<>();
    out.put("cpu", field("/proc/cpuinfo", "model name", System.getProperty("os.arch")));
    out.put("processors", Runtime.getRuntime().availableProcessors());
    out.put("engine_threads", ScriptModule.threads());
    out.put("memory", field("/proc/meminfo", "MemTotal", "unknown"));
    out.put("os", System.getProperty("os.name") + " " + System.getProperty("os.version"));
    out.put("java", System.getProperty("java.version"));
    return out;
  }

  private static String field(String file, String name, String otherwise) {
    try (Stream<String> lines = Files.lines(Path.of(file))) {
      return lines
          .filter(l -> l.startsWith(name))
          .map(l -> l.substring(l.indexOf(':') + 1).strip())
          .findFirst()
          .orElse(otherwise);
    } catch (IOException e) {
      return otherwise;
    }
  }

  /** The git revision of the sources beside which PriorArt runs, or "unknown". */
  public static String revision() {
    try {
      Process git =
          new ProcessBuilder(
                  "git", "-C", Checkpoints.home().toString(), "describe", "--always", "--dirty")
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      String text = new String(git.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
      return git.waitFor(10, TimeUnit.SECONDS) && git.exitValue() == 0 ? text : "unknown";
    } catch (IOException e) {
      return "unknown";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "unknown";
    }
  }
}
