package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.Value;
import io.priorart.models.network.T5EncoderModel;
import io.priorart.models.tokenizer.T5Tokenizer;
import io.priorart.models.weights.OlderNames;
import io.priorart.solver.HostTensor;
import java.util.Map;

/**
 * A checkpoint's T5 encoder with its tokenizer. Safe for concurrent use. T5 leaves float16's range,
 * so it computes in bfloat16 where the others compute in float16.
 */
final class T5TextEncoder implements PromptEncoder.TextEncoder {
  /** Tokens of every prompt, as Stable Diffusion 3 was trained. */
  static final int LENGTH = 256;

  private final T5EncoderModel.Config config;
  private final T5Tokenizer tokenizer;
  private final ScriptModule module;

  T5TextEncoder(Checkpoint checkpoint, String part, NDManager manager, CompileOptions options) {
    config = T5EncoderModel.Config.of(checkpoint.config(part));
    tokenizer = checkpoint.t5Tokenizer(part.replace("text_encoder", "tokenizer"));
    try {
      CompileOptions own =
          options.precision() == Precision.FLOAT16
              ? options.withPrecision(Precision.BFLOAT16)
              : options;
      module = ScriptModule.load(manager, script(own), OlderNames.t5(checkpoint.weights(part)));
    } catch (RuntimeException e) {
      tokenizer.close();
      throw e;
    }
  }

  private Script script(CompileOptions options) {
    ScriptBuilder builder = new ScriptBuilder("T5EncoderModel", options);
    T5EncoderModel net = new T5EncoderModel(config, builder.weights());
    Graph g = builder.method("forward");
    Value ids = g.input("input_ids");
    g.returns(g.toFloat32(net.forward(g, ids, g.input("buckets"))));
    return builder.build();
  }

  /** Width of a token's embedding. */
  int width() {
    return config.width();
  }

  @Override
  public ScriptModule module() {
    return module;
  }

  boolean truncates(String prompt) {
    return tokenizer.encode(prompt, LENGTH).truncated();
  }

  /** A prompt's embedding, {@code [1, 256, width]}; the caller's. */
  NDArray embed(NDManager target, String prompt) {
    return call(target, tokenizer.encode(prompt, LENGTH).ids(), new Shape(1, LENGTH));
  }

  private NDArray call(NDManager target, long[] ids, Shape shape) {
    int length = (int) shape.get(1);
    try (NDArray input = target.create(ids, shape);
        NDArray buckets = target.create(config.buckets(length), new Shape(length, length))) {
      return module.call("forward", input, buckets)[0];
    }
  }

  @Override
  public HostTensor trace(NDManager scratch, Map<String, HostTensor> inputs) {
    HostTensor ids = TraceInputs.tokens(inputs, 4 * LENGTH, config.vocabSize());
    return HostTensor.of(call(scratch, TraceInputs.longs(ids), ids.shape()));
  }

  @Override
  public void close() {
    module.close();
    tokenizer.close();
  }
}
