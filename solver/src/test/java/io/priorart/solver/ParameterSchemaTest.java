package io.priorart.solver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import java.math.BigDecimal;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ParameterSchemaTest {
  enum Boundary {
    REFLECT,
    WRAP_AROUND
  }

  record Spec(
      @Parameter(doc = "How many.", min = 2, max = 32) Integer factor,
      @Parameter(doc = "How wide.", unit = "pixels", min = 0.5) double sigma,
      @Parameter(doc = "Edges.") Boundary boundary,
      @Parameter(doc = "Switch.") boolean exact,
      @Parameter(doc = "Free text.", optional = true) String note,
      @Parameter(doc = "A mask.", optional = true) HostTensor mask) {
    Spec {
      if (exact && sigma > 100) {
        throw PriorArtException.badField("sigma", "too wide to be exact");
      }
    }
  }

  private static final ParameterSchema<Spec> SCHEMA = ParameterSchema.of(Spec.class);
  private static final Spec DEFAULTS = new Spec(null, 1.5, Boundary.REFLECT, false, null, null);

  private static Spec bind(Map<String, ?> values) {
    return SCHEMA.bind("operators[1]", values, DEFAULTS);
  }

  @Test
  void listsComponentsInOrder() {
    List<ParameterSchema.Entry> entries = SCHEMA.entries(DEFAULTS);
    assertEquals(
        List.of("factor", "sigma", "boundary", "exact", "note", "mask"),
        entries.stream().map(ParameterSchema.Entry::name).toList());
    assertEquals(
        List.of("integer", "number", "choice", "boolean", "text", "tensor"),
        entries.stream().map(e -> e.type().wire()).toList());
    assertEquals(
        List.of(true, false, false, false, false, false),
        entries.stream().map(ParameterSchema.Entry::required).toList());
    assertEquals(
        new ParameterSchema.Entry(
            "sigma",
            ParameterSchema.Type.NUMBER,
            0.5,
            Double.POSITIVE_INFINITY,
            1.5,
            false,
            List.of(),
            "pixels",
            "How wide."),
        entries.get(1));
    assertEquals(List.of("reflect", "wrap-around"), entries.get(2).choices());
    assertEquals("reflect", entries.get(2).defaultValue());
    assertNull(entries.get(0).defaultValue());
  }

  @Test
  void bindsTextNumbersAndTensors() {
    HostTensor mask = new HostTensor(new Shape(1), new float[] {1});
    Spec expected = new Spec(4, 2.5, Boundary.WRAP_AROUND, true, "x", mask);
    Spec fromText =
        bind(
            Map.of(
                "factor",
                "4",
                "sigma",
                "2.5",
                "boundary",
                "wrap-around",
                "exact",
                "true",
                "note",
                "x",
                "mask",
                mask));
    Spec fromJson =
        bind(
            Map.of(
                "factor",
                4L,
                "sigma",
                new BigDecimal("2.5"),
                "boundary",
                "wrap-around",
                "exact",
                true,
                "note",
                "x",
                "mask",
                mask));
    assertEquals(expected, fromText);
    assertEquals(expected, fromJson);
    assertEquals(expected, SCHEMA.bind("", SCHEMA.values(expected), null));
    assertEquals(new Spec(2, 1.5, Boundary.REFLECT, false, null, null), bind(Map.of("factor", 2)));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "factor   | 0        | operators[1].factor: must be 2 to 32, was 0",
        "factor   | 2.5      | operators[1].factor: must be a whole number, was \"2.5\"",
        "factor   | 99999999999 | operators[1].factor: must be a whole number, was \"99999999999\"",
        "factor   | 4d       | operators[1].factor: must be a whole number, was \"4d\"",
        "sigma    | NaN      | operators[1].sigma: must be a number, was \"NaN\"",
        "sigma    | 1e999    | operators[1].sigma: must be finite and at least 0.5, was Infinity",
        "sigma    | 0.25     | operators[1].sigma: must be finite and at least 0.5, was 0.25",
        "boundary | REFLECT  | operators[1].boundary: must be one of reflect, wrap-around, was"
            + " \"REFLECT\"",
        "exact    | yes      | operators[1].exact: must be true or false, was \"yes\"",
        "mask     | a.png    | operators[1].mask: must be a picture or array, was \"a.png\"",
        "sigam    | 1        | operators[1].sigam: no such parameter; did you mean sigma? Known:"
            + " factor, sigma, boundary, exact, note, mask",
      })
  void refusesByPath(String key, String value, String message) {
    PriorArtException e =
        assertThrows(PriorArtException.class, () -> bind(Map.of("factor", 2, "x" + key, value)));
    assertTrue(e.getMessage().startsWith("operators[1].x" + key + ": no such parameter"));
    Map<String, Object> values = new HashMap<>(Map.of("factor", 2));
    values.put(key, value);
    e = assertThrows(PriorArtException.class, () -> bind(values));
    assertEquals(message, e.getMessage());
    assertEquals(ErrorKind.INVALID_ARGUMENT, e.kind());
    assertEquals("operators[1]." + key, e.details().get("field"));
  }

  @Test
  void refusesWhatIsMissingOrNotANumber() {
    assertEquals(
        "operators[1].factor: is required",
        assertThrows(PriorArtException.class, () -> bind(Map.of())).getMessage());
    assertEquals(
        "operators[1].sigma: must be finite and at least 0.5, was NaN",
        assertThrows(PriorArtException.class, () -> bind(Map.of("factor", 2, "sigma", Double.NaN)))
            .getMessage());
    assertEquals(
        "factor: must be 2 to 32, was 33",
        assertThrows(
                PriorArtException.class,
                () -> SCHEMA.check("", new Spec(33, 1.5, Boundary.REFLECT, false, null, null)))
            .getMessage());
  }

  @Test
  void putsThePathBeforeARecordsOwnComplaint() {
    assertEquals(
        "operators[1].sigma: too wide to be exact",
        assertThrows(
                PriorArtException.class,
                () -> bind(Map.of("factor", 2, "sigma", 200, "exact", true)))
            .getMessage());
  }

  record Unmarked(double sigma) {}

  record Strange(@Parameter(doc = "Odd.") List<String> list) {}

  @Test
  void refusesRecordsThatAreNotParameters() {
    assertThrows(IllegalArgumentException.class, () -> ParameterSchema.of(Unmarked.class));
    assertThrows(IllegalArgumentException.class, () -> ParameterSchema.of(Strange.class));
  }

  @Test
  void findsTheNearestName() {
    List<String> names = List.of("inpainting", "gaussian-blur", "identity");
    assertEquals("gaussian-blur", Names.nearest("gausian_blur", names).orElseThrow());
    assertEquals("inpainting", Names.nearest("INPAINT", names).orElseThrow());
    assertTrue(Names.nearest("x", List.of()).isEmpty());
    PriorArtException e = Names.notFound("operator", "idendity", names);
    assertEquals(ErrorKind.NOT_FOUND, e.kind());
    assertEquals(
        "no operator \"idendity\"; did you mean identity? Known: inpainting, gaussian-blur,"
            + " identity",
        e.getMessage());
  }
}
