package io.priorart.solver.inversion;

import io.priorart.solver.Names;
import io.priorart.solver.PriorArtException;
import java.util.List;

/** The inversions there are, the default first. To add one: a file here and a line. */
public final class Inverters {
  public static final List<InversionMethod<?>> BUILT_IN =
      List.of(Rnri.METHOD, FixedPointInversion.METHOD, DdimInversion.METHOD, NullText.METHOD);

  private Inverters() {}

  /**
   * The method of a name.
   *
   * @throws PriorArtException NOT_FOUND with the nearest name
   */
  public static InversionMethod<?> byId(String id) {
    return BUILT_IN.stream()
        .filter(m -> m.id().equals(id))
        .findFirst()
        .orElseThrow(
            () ->
                Names.notFound(
                    "inversion", id, BUILT_IN.stream().map(InversionMethod::id).toList()));
  }
}
