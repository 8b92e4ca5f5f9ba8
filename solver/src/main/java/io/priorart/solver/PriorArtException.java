package io.priorart.solver;

import java.util.Map;
import java.util.TreeMap;

/**
 * The only exception that PriorArt throws on purpose. The message names the field and the fix;
 * details carry the same facts for programs (field path, limit, nearest known name).
 */
public final class PriorArtException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorKind kind;
  private final transient Map<String, String> details;

  public PriorArtException(ErrorKind kind, String message) {
    this(kind, message, Map.of(), null);
  }

  public PriorArtException(ErrorKind kind, String message, Throwable cause) {
    this(kind, message, Map.of(), cause);
  }

  public PriorArtException(
      ErrorKind kind, String message, Map<String, String> details, Throwable cause) {
    super(message, cause);
    this.kind = kind;
    this.details = Map.copyOf(details);
  }

  /**
   * An {@link ErrorKind#INVALID_ARGUMENT} about one field, for instance {@code
   * operators[1].factor}.
   */
  public static PriorArtException badField(String field, String problem) {
    return new PriorArtException(
        ErrorKind.INVALID_ARGUMENT, field + ": " + problem, Map.of("field", field), null);
  }

  /** This error of one field, with the field's path continued to the front. */
  public PriorArtException within(String path) {
    String field = details().get("field");
    return field == null || path.isEmpty()
        ? this
        : badField(path + "." + field, getMessage().substring(field.length() + 2));
  }

  public ErrorKind kind() {
    return kind;
  }

  /** Facts for programs, sorted by key; empty after Java serialization. */
  public Map<String, String> details() {
    return details == null ? Map.of() : new TreeMap<>(details);
  }
}
