package io.priorart.api;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.smallrye.config.WithDefault;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The table of {@code docs/design/service.md} is {@link ServiceSettings}, default by default. */
class SettingsDocumentedTest {
  private static final Pattern ROW =
      Pattern.compile("^\\| `(priorart\\.service\\.[a-z.-]+)` \\|([^|]*)\\|", Pattern.MULTILINE);

  @Test
  void everySettingWithItsDefault() throws IOException {
    Path page = Path.of(System.getProperty("priorart.home"), "docs/design/service.md");
    Map<String, String> told = new TreeMap<>();
    Matcher row = ROW.matcher(Files.readString(page));
    while (row.find()) {
      told.put(row.group(1), row.group(2).replace("`", "").trim());
    }
    assertEquals(settings("priorart.service.", ServiceSettings.class), told);
  }

  private static Map<String, String> settings(String prefix, Class<?> group) {
    Map<String, String> settings = new TreeMap<>();
    for (Method method : group.getDeclaredMethods()) {
      if (method.isSynthetic()) { // JaCoCo's
        continue;
      }
      String name =
          prefix + method.getName().replaceAll("([A-Z])", "-$1").toLowerCase(java.util.Locale.ROOT);
      if (method.getReturnType().getEnclosingClass() == ServiceSettings.class) {
        settings.putAll(settings(name + ".", method.getReturnType()));
      } else {
        WithDefault value = method.getAnnotation(WithDefault.class);
        settings.put(name, value == null ? "" : value.value());
      }
    }
    return settings;
  }
}
