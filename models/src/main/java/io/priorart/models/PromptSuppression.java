package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import io.priorart.solver.Suppression;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Finds the words of a prompt that are not to be shown, and weighs their tokens down. */
final class PromptSuppression {
  private static final String WITHOUT = "without ";

  private final PromptEncoder prompts;
  private final List<String> phrases;

  /**
   * @param words separated by commas
   */
  PromptSuppression(PromptEncoder prompts, String words) {
    this.prompts = prompts;
    phrases = Arrays.stream(words.split(",")).map(String::strip).filter(w -> !w.isEmpty()).toList();
    if (phrases.isEmpty()) {
      throw PriorArtException.badField("suppress", "names no word");
    }
  }

  /** The prompt, which then names all words: "a man" becomes "a man without glasses". */
  String naming(String prompt) {
    String named = prompt;
    for (String phrase : phrases) {
      if (places(prompts.tokens(named), phrase).isEmpty()) {
        named = (named + " " + WITHOUT + phrase).strip();
      }
    }
    return named;
  }

  /**
   * The suppression for the embedding of a prompt that names all words.
   *
   * @throws PriorArtException INVALID_ARGUMENT where the end of the prompt is cut, and a word is in
   *     it
   */
  Suppression of(NDManager manager, Prompt prompt, String named, NDArray embedding) {
    long[] ids = prompts.tokens(named);
    int end = prompts.end(ids);
    float[] suppress = new float[ids.length];
    for (String phrase : phrases) {
      List<Integer> places = places(ids, phrase);
      if (places.isEmpty()) {
        throw PriorArtException.badField(
            "suppress",
            "'" + phrase + "' is behind the prompt's end that is cut; shorten the prompt");
      }
      places.forEach(i -> suppress[i] = 1);
    }
    float[] retain = new float[ids.length];
    List<Integer> rows = new ArrayList<>();
    for (int i = 1; i < ids.length; i++) {
      if (i < end && suppress[i] == 0) {
        retain[i] = 1;
      } else {
        rows.add(i);
      }
    }
    return new Suppression(
        weighted(manager, embedding, rows),
        manager.create(retain),
        manager.create(suppress),
        prompt.suppressIterations());
  }

  /** The places of a phrase's tokens, each time that the prompt has it. */
  private List<Integer> places(long[] ids, String phrase) {
    long[] own = prompts.tokens(phrase);
    long[] wanted = Arrays.copyOfRange(own, 1, prompts.end(own));
    List<Integer> places = new ArrayList<>();
    for (int i = 1; wanted.length > 0 && i + wanted.length <= prompts.end(ids); i++) {
      if (Arrays.equals(ids, i, i + wanted.length, wanted, 0, wanted.length)) {
        for (int j = 0; j < wanted.length; j++) {
          places.add(i + j);
        }
      }
    }
    return places;
  }

  private static NDArray weighted(NDManager manager, NDArray embedding, List<Integer> rows) {
    HostTensor whole = HostTensor.of(embedding);
    int width = (int) whole.shape().get(2);
    float[] values = whole.values().clone();
    float[][] chosen = new float[rows.size()][];
    for (int i = 0; i < chosen.length; i++) {
      int from = rows.get(i) * width;
      chosen[i] = Arrays.copyOfRange(values, from, from + width);
    }
    float[][] weighted = SoftWeighting.apply(chosen);
    for (int i = 0; i < chosen.length; i++) {
      System.arraycopy(weighted[i], 0, values, rows.get(i) * width, width);
    }
    return manager.create(values, embedding.getShape());
  }
}
