package io.priorart.solver.operator;

import io.priorart.solver.Names;
import io.priorart.solver.OperatorKind;
import io.priorart.solver.PriorArtException;
import java.util.List;

/** Every operator there is. To add one: its file, and a line here. */
public final class Operators {
  private static final List<OperatorKind<?>> ALL =
      List.of(
          Inpainting.KIND,
          SuperResolution.KIND,
          GaussianBlur.KIND,
          MotionBlur.KIND,
          CustomBlur.KIND,
          Grayscale.KIND,
          SparseViewCt.KIND,
          Identity.KIND);

  private Operators() {}

  /** All, in the order in which people should see them. */
  public static List<OperatorKind<?>> list() {
    return ALL;
  }

  /**
   * The operator of that id.
   *
   * @throws PriorArtException NOT_FOUND, naming the nearest
   */
  public static OperatorKind<?> byId(String id) {
    return ALL.stream()
        .filter(kind -> kind.id().equals(id))
        .findFirst()
        .orElseThrow(
            () -> Names.notFound("operator", id, ALL.stream().map(OperatorKind::id).toList()));
  }
}
