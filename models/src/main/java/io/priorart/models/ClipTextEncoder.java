package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.tokenizer.ClipTokenizer;
import io.priorart.models.weights.OlderNames;
import io.priorart.solver.HostTensor;
import java.util.Arrays;
import java.util.Map;

/** A CLIP text encoder of a checkpoint with its tokenizer. Safe for concurrent use. */
final class ClipTextEncoder implements PromptEncoder.TextEncoder {
  private final ClipTextModel.Config config;
  private final ClipTokenizer tokenizer;
  private final ScriptModule module;

  /**
   * @param part {@code text_encoder} or {@code text_encoder_2}
   * @param tokenizer the part of its tokenizer
   */
  ClipTextEncoder(
      Checkpoint checkpoint,
      String part,
      String tokenizer,
      NDManager manager,
      CompileOptions options) {
    config = ClipTextModel.Config.of(checkpoint.config(part));
    this.tokenizer = checkpoint.tokenizer(tokenizer, config.maxPositionEmbeddings());
    try {
      module =
          ScriptModule.load(
              manager,
              ClipTextModel.compile(config, options),
              OlderNames.clipText(checkpoint.weights(part)));
    } catch (RuntimeException e) {
      this.tokenizer.close();
      throw e;
    }
  }

  /** Width of a token's embedding. */
  int width() {
    return config.hiddenSize();
  }

  /** Width of the pooled prompt; 0 where the encoder has no projection. */
  int pooledWidth() {
    return config.projection();
  }

  private boolean projects() {
    return config.projection() > 0;
  }

  @Override
  public ScriptModule module() {
    return module;
  }

  long[] tokens(String prompt) {
    return tokenizer.encode(prompt).ids();
  }

  /** The place of the first end token, the last place where there is none. */
  int end(long[] ids) {
    int at = 0;
    while (at < ids.length - 1 && ids[at] != tokenizer.end()) {
      at++;
    }
    return at;
  }

  boolean truncates(String prompt) {
    return tokenizer.encode(prompt).truncated();
  }

  /**
   * A prompt's embedding.
   *
   * @param penultimate whether by the last layer but one
   * @return {@code [1, L, width]} and, with a projection, {@code [1, pooledWidth]}; the caller's
   */
  NDArray[] embed(NDManager target, String prompt, boolean penultimate) {
    NDArray[] all =
        call(target, tokenizer.encode(prompt).ids(), new Shape(1, tokenizer.maxLength()));
    all[penultimate ? 0 : 1].close();
    NDArray tokens = all[penultimate ? 1 : 0];
    return projects() ? new NDArray[] {tokens, all[2]} : new NDArray[] {tokens};
  }

  private NDArray[] call(NDManager target, long[] ids, Shape shape) {
    NDList arguments = new NDList(target.create(ids, shape));
    if (projects()) {
      arguments.add(target.create(ends(ids, (int) shape.get(0))));
    }
    try (arguments) {
      return module.call("forward", arguments.toArray(new NDArray[0]));
    }
  }

  /** {@link #end} of each prompt. */
  private long[] ends(long[] ids, int prompts) {
    int length = ids.length / prompts;
    long[] ends = new long[prompts];
    for (int i = 0; i < prompts; i++) {
      ends[i] = end(Arrays.copyOfRange(ids, i * length, (i + 1) * length));
    }
    return ends;
  }

  @Override
  public HostTensor trace(NDManager scratch, Map<String, HostTensor> inputs) {
    HostTensor ids = TraceInputs.tokens(inputs, tokenizer.maxLength(), config.vocabSize());
    return HostTensor.of(call(scratch, TraceInputs.longs(ids), ids.shape())[0]);
  }

  @Override
  public void close() {
    module.close();
    tokenizer.close();
  }
}
