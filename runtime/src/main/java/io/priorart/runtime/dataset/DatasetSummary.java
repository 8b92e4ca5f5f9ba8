package io.priorart.runtime.dataset;

import java.util.List;
import java.util.Map;

/**
 * What a dataset holds and how it was made, as {@code dataset.json} has it.
 *
 * @param sources folders that were read
 * @param exclude folders whose pictures were kept out
 * @param train what training sees
 * @param heldOut what it does not
 * @param skipped number of pictures left out, by reason: unreadable (or a link that is not
 *     followed), too_small, excluded (like a picture of {@code exclude}), duplicate (like another
 *     of the sources)
 * @param otherFiles number of files in the sources whose names are not those of pictures
 */
public record DatasetSummary(
    List<String> sources,
    List<String> exclude,
    DatasetOptions options,
    Part train,
    Part heldOut,
    Map<String, Integer> skipped,
    int otherFiles) {
  /**
   * One side of the split.
   *
   * @param pictures number of source pictures
   * @param files number of PNG files made of them
   * @param captions number of source pictures with a caption that is not empty
   */
  public record Part(int pictures, int files, int captions) {
    Part plus(int moreFiles, boolean caption) {
      return new Part(pictures + 1, files + moreFiles, captions + (caption ? 1 : 0));
    }
  }
}
