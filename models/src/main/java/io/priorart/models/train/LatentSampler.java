package io.priorart.models.train;

import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Draws batches of latents, every picture with the same chance. A batch has one size: the patch, or
 * for pictures that are smaller their own, rounded down to whole steps of the U-Net, so that no
 * picture is left out for its shape.
 */
final class LatentSampler {
  /** A picture narrower than the patch over this shows too little to be worth a batch. */
  private static final int SMALLEST_SHARE = 4;

  /** Pictures that are trained at one size. */
  private record Group(int height, int width, List<DiffusionTraining.Latent> members) {}

  /** {@code [N, c, h, w]} on the host, and the pictures it was cut from. */
  record Batch(
      int channels,
      int height,
      int width,
      float[] values,
      List<DiffusionTraining.Latent> pictures) {}

  /** One entry a picture: the group it is in. */
  private final List<Group> groups = new ArrayList<>();

  /**
   * @param patch side of the largest crops in latent pixels, a multiple of {@code stride}
   * @param stride what the U-Net's sides must be multiples of
   */
  LatentSampler(List<DiffusionTraining.Latent> latents, int patch, int stride) {
    Map<List<Integer>, Group> bySize = new LinkedHashMap<>();
    for (DiffusionTraining.Latent latent : latents) {
      int h = Math.min(latent.height(), patch) / stride * stride;
      int w = Math.min(latent.width(), patch) / stride * stride;
      if (!fits(latent.height(), latent.width(), patch, stride)) {
        continue;
      }
      Group group = bySize.computeIfAbsent(List.of(h, w), k -> new Group(h, w, new ArrayList<>()));
      group.members().add(latent);
      groups.add(group);
    }
    if (groups.isEmpty()) {
      throw PriorArtException.badField(
          "data",
          "no picture is at least " + smallest(patch, stride) + " latent pixels wide and high");
    }
  }

  /** Whether a latent of this size is ever drawn. */
  static boolean fits(int height, int width, int patch, int stride) {
    return Math.min(height, width) >= smallest(patch, stride);
  }

  private static int smallest(int patch, int stride) {
    return Math.max(patch / SMALLEST_SHARE, stride);
  }

  int size() {
    return groups.size();
  }

  Batch draw(int count, NoiseSource random) {
    Group group = groups.get(random.below(groups.size()));
    int channels = group.members().get(0).channels();
    int each = channels * group.height() * group.width();
    float[] values = new float[count * each];
    List<DiffusionTraining.Latent> drawn = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      DiffusionTraining.Latent latent = group.members().get(random.below(group.members().size()));
      latent.crop(random, group.height(), group.width(), values, i * each);
      drawn.add(latent);
    }
    return new Batch(channels, group.height(), group.width(), values, drawn);
  }
}
