package io.priorart.solver;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * What a parameter record holds, read from its components and their {@link Parameter} annotations,
 * and the strict binding of a request's values to it.
 *
 * <p>Component types: {@code double}, {@code int}, {@code boolean} and their boxes, {@code String},
 * an enum (wire names in kebab-case) and {@link HostTensor}. Immutable.
 *
 * @param <P> the parameter record
 */
public final class ParameterSchema<P extends Record> {
  /** How a value looks on the wire. */
  public enum Type {
    NUMBER,
    INTEGER,
    BOOLEAN,
    TEXT,
    /** One of {@link Entry#choices()}. */
    CHOICE,
    /** A picture or array; doors that read files resolve them to {@link HostTensor} first. */
    TENSOR;

    /** The wire name, lower case. */
    public String wire() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /**
   * One parameter.
   *
   * @param name the component's name
   * @param type what it takes
   * @param min least number allowed, minus infinity for no bound
   * @param max largest number allowed, infinity for no bound
   * @param defaultValue a Double, Integer, Boolean, String (for a choice its wire name) or
   *     HostTensor; {@code null} when there is none
   * @param required whether a request must give it
   * @param choices wire names of a choice, else empty
   * @param unit empty for a pure number or a non-number
   * @param doc one sentence
   */
  public record Entry(
      String name,
      Type type,
      double min,
      double max,
      Object defaultValue,
      boolean required,
      List<String> choices,
      String unit,
      String doc) {}

  // Java's own parser would also take "1d", "0x1p3", "NaN" and blanks.
  private static final Pattern NUMBER =
      Pattern.compile("[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?");

  private final Class<P> spec;
  private final RecordComponent[] components;
  private final List<String> names;
  private final Constructor<P> constructor;

  private ParameterSchema(Class<P> spec) {
    this.spec = spec;
    components = spec.getRecordComponents();
    names = Arrays.stream(components).map(RecordComponent::getName).toList();
    for (RecordComponent component : components) {
      if (component.getAnnotation(Parameter.class) == null) {
        throw new IllegalArgumentException(component + " of " + spec + " lacks @Parameter");
      }
      type(component);
      component.getAccessor().setAccessible(true);
    }
    try {
      constructor =
          spec.getDeclaredConstructor(
              Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new));
      constructor.setAccessible(true);
    } catch (NoSuchMethodException e) {
      throw new IllegalArgumentException(spec + " has no canonical constructor", e);
    }
  }

  /**
   * The schema of a record.
   *
   * @throws IllegalArgumentException when a component lacks its annotation or has another type: a
   *     mistake of the programmer, not of the user
   */
  public static <P extends Record> ParameterSchema<P> of(Class<P> spec) {
    return new ParameterSchema<>(spec);
  }

  /**
   * The parameters in the record's order.
   *
   * @param defaults a preset; a {@code null} component, or {@code null} for the whole, has no
   *     default
   */
  public List<Entry> entries(P defaults) {
    List<Entry> entries = new ArrayList<>();
    for (RecordComponent component : components) {
      Parameter facts = component.getAnnotation(Parameter.class);
      Object value = value(component, defaults);
      entries.add(
          new Entry(
              component.getName(),
              type(component),
              facts.min(),
              facts.max(),
              value instanceof Enum<?> choice ? wire(choice) : value,
              value == null && !facts.optional(),
              choices(component),
              facts.unit(),
              facts.doc()));
    }
    return entries;
  }

  /**
   * Builds the record from a request.
   *
   * @param path where the values stand in the request, for messages: {@code
   *     operators[1].parameters}
   * @param values by component name: strings (from a command line), numbers and booleans (from
   *     JSON), tensors; a {@code null} value counts as left out
   * @param defaults for what is left out; see {@link #entries}
   * @throws PriorArtException INVALID_ARGUMENT naming the path of a key that is unknown (with the
   *     nearest known one), malformed, out of range or missing
   */
  public P bind(String path, Map<String, ?> values, P defaults) {
    for (String key : values.keySet()) {
      if (!names.contains(key)) {
        throw PriorArtException.badField(
            join(path, key),
            names.isEmpty()
                ? "no such parameter; there are none"
                : "no such parameter; " + Names.suggestion(key, names));
      }
    }
    Object[] arguments = new Object[components.length];
    for (int i = 0; i < components.length; i++) {
      RecordComponent component = components[i];
      String field = join(path, component.getName());
      Object given = values.get(component.getName());
      arguments[i] =
          given == null ? value(component, defaults) : converted(component, field, given);
      checkValue(component, field, arguments[i]);
    }
    return create(path, arguments);
  }

  /**
   * Checks a record that was built in Java as {@link #bind} checks a request.
   *
   * @return {@code values}
   * @throws PriorArtException INVALID_ARGUMENT naming the component
   */
  public P check(String path, P values) {
    for (RecordComponent component : components) {
      checkValue(component, join(path, component.getName()), value(component, values));
    }
    return values;
  }

  /** The values of a record by name, ready for JSON or {@link #bind}; absent ones left out. */
  public Map<String, Object> values(P record) {
    Map<String, Object> values = new LinkedHashMap<>();
    for (Entry entry : entries(record)) {
      if (entry.defaultValue() != null) {
        values.put(entry.name(), entry.defaultValue());
      }
    }
    return values;
  }

  private P create(String path, Object[] arguments) {
    try {
      return constructor.newInstance(arguments);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof PriorArtException problem) {
        // A record that checks its components against each other names them without the path.
        throw problem.within(path);
      }
      throw new PriorArtException(ErrorKind.INTERNAL, "cannot build " + spec.getName(), e);
    } catch (ReflectiveOperationException e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "cannot build " + spec.getName(), e);
    }
  }

  private static Object value(RecordComponent component, Record record) {
    if (record == null) {
      return null;
    }
    try {
      return component.getAccessor().invoke(record);
    } catch (ReflectiveOperationException e) {
      throw new PriorArtException(ErrorKind.INTERNAL, "cannot read " + component, e);
    }
  }

  private static Type type(RecordComponent component) {
    Class<?> type = component.getType();
    if (type == double.class || type == Double.class) {
      return Type.NUMBER;
    } else if (type == int.class || type == Integer.class) {
      return Type.INTEGER;
    } else if (type == boolean.class || type == Boolean.class) {
      return Type.BOOLEAN;
    } else if (type == String.class) {
      return Type.TEXT;
    } else if (type == HostTensor.class) {
      return Type.TENSOR;
    } else if (type.isEnum()) {
      return Type.CHOICE;
    }
    throw new IllegalArgumentException("a parameter cannot be a " + type + ": " + component);
  }

  private static List<String> choices(RecordComponent component) {
    return type(component) == Type.CHOICE
        ? Arrays.stream(component.getType().getEnumConstants()).map(c -> wire((Enum<?>) c)).toList()
        : List.of();
  }

  /** An enum constant's wire name: {@code TOTAL_VARIATION} is {@code total-variation}. */
  public static String wire(Enum<?> choice) {
    return choice.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private static Object converted(RecordComponent component, String field, Object given) {
    Object value =
        switch (type(component)) {
          case NUMBER -> number(given);
          case INTEGER -> integer(given);
          case BOOLEAN -> bool(given);
          case TEXT -> given instanceof String ? given : null;
          case TENSOR -> given instanceof HostTensor ? given : null;
          case CHOICE -> {
            List<String> choices = choices(component);
            int chosen = given instanceof String text ? choices.indexOf(text) : -1;
            yield chosen < 0 ? null : component.getType().getEnumConstants()[chosen];
          }
        };
    if (value == null) {
      throw PriorArtException.badField(field, expectation(component) + ", was " + shown(given));
    }
    return value;
  }

  private static String expectation(RecordComponent component) {
    return switch (type(component)) {
      case NUMBER -> "must be a number";
      case INTEGER -> "must be a whole number";
      case BOOLEAN -> "must be true or false";
      case TEXT -> "must be text";
      case TENSOR -> "must be a picture or array";
      case CHOICE -> "must be one of " + String.join(", ", choices(component));
    };
  }

  private static String shown(Object given) {
    String text = String.valueOf(given);
    text = text.length() > 60 ? text.substring(0, 60) + "..." : text;
    return given instanceof String ? '"' + text + '"' : text;
  }

  private static Double number(Object given) {
    if (given instanceof Number number) {
      return number.doubleValue();
    }
    return given instanceof String text && NUMBER.matcher(text).matches()
        ? Double.valueOf(text)
        : null;
  }

  private static Integer integer(Object given) {
    Double number = number(given);
    return number != null && number == Math.rint(number) && Math.abs(number) <= Integer.MAX_VALUE
        ? Integer.valueOf(number.intValue())
        : null;
  }

  private static Boolean bool(Object given) {
    if (given instanceof Boolean value) {
      return value;
    }
    return "true".equals(given) || "false".equals(given) ? Boolean.valueOf(given.toString()) : null;
  }

  private static void checkValue(RecordComponent component, String field, Object value) {
    Parameter facts = component.getAnnotation(Parameter.class);
    if (value == null) {
      if (!facts.optional()) {
        throw PriorArtException.badField(field, "is required");
      }
    } else if (value instanceof Number number) {
      double v = number.doubleValue();
      if (!Double.isFinite(v) || v < facts.min() || v > facts.max()) {
        throw PriorArtException.badField(field, range(facts) + ", was " + shown(v));
      }
    }
  }

  private static String range(Parameter facts) {
    if (facts.min() == Double.NEGATIVE_INFINITY && facts.max() == Double.POSITIVE_INFINITY) {
      return "must be a finite number";
    } else if (facts.max() == Double.POSITIVE_INFINITY) {
      return "must be finite and at least " + shown(facts.min());
    } else if (facts.min() == Double.NEGATIVE_INFINITY) {
      return "must be finite and at most " + shown(facts.max());
    }
    return "must be " + shown(facts.min()) + " to " + shown(facts.max());
  }

  private static String shown(double value) {
    return Double.isFinite(value)
        ? BigDecimal.valueOf(value).stripTrailingZeros().toPlainString()
        : Double.toString(value);
  }

  private static String join(String path, String name) {
    return path.isEmpty() ? name : path + "." + name;
  }
}
