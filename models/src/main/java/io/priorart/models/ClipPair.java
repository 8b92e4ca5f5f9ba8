package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The two CLIP text encoders that Stable Diffusion XL and 3 lay side by side. */
final class ClipPair {
  static final String FIRST = "text_encoder";
  static final String SECOND = "text_encoder_2";

  private final ClipTextEncoder first;
  private final ClipTextEncoder second;

  ClipPair(Checkpoint checkpoint, NDManager manager, CompileOptions options) {
    first = new ClipTextEncoder(checkpoint, FIRST, "tokenizer", manager, options);
    try {
      second = new ClipTextEncoder(checkpoint, SECOND, "tokenizer_2", manager, options);
    } catch (RuntimeException e) {
      throw PromptEncoder.closing(e, List.of(first));
    }
  }

  /** Of the tokens, side by side. */
  int width() {
    return first.width() + second.width();
  }

  ClipTextEncoder first() {
    return first;
  }

  ClipTextEncoder second() {
    return second;
  }

  boolean truncates(String prompt) {
    return first.truncates(prompt) || second.truncates(prompt);
  }

  /** A prompt before the encoders' last layers, {@code [1, L, width]}, and their projections. */
  record Output(NDArray tokens, NDArray firstPooled, NDArray secondPooled) {}

  Output embed(NDManager target, String prompt) {
    NDArray[] a = first.embed(target, prompt, true);
    NDArray[] b = second.embed(target, prompt, true);
    NDArray tokens = a[0].concat(b[0], -1);
    Stream.of(a[0], b[0]).forEach(NDArray::close);
    return new Output(tokens, a.length > 1 ? a[1] : null, b[1]);
  }

  Map<String, PromptEncoder.TextEncoder> encoders() {
    Map<String, PromptEncoder.TextEncoder> encoders = new LinkedHashMap<>();
    encoders.put(FIRST, first);
    encoders.put(SECOND, second);
    return encoders;
  }
}
