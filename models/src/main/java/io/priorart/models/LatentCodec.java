package io.priorart.models;

import ai.djl.ndarray.NDManager;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSource;
import io.priorart.models.engine.Value;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.AutoencoderTiny;
import io.priorart.models.network.CodecConfig;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.weights.PrefixedSource;
import java.util.List;
import java.util.function.BiFunction;

/**
 * A latent family's auto-encoder: encoder and decoder with the latents' scale and shift around
 * them, {@code z = (mean - shift) scale}.
 *
 * <p>Methods of {@link #encoder}: {@code forward(x)}, the network alone; {@code encode(x, rows,
 * columns)}, which picks (and so mirrors) rows and columns and gives the scaled latent. Of {@link
 * #decoder}: {@code forward(z)}; {@code decode(z, rows, columns)}, the picture's own rows and
 * columns of the decoded latent.
 */
final class LatentCodec implements AutoCloseable {
  private final CodecConfig config;
  private final ScriptModule encoder;
  private final ScriptModule decoder;

  /** Loads the part {@code vae}: an {@code AutoencoderKL} or an {@code AutoencoderTiny}. */
  static LatentCodec load(Checkpoint checkpoint, NDManager manager, CompileOptions options) {
    ConfigNode c = checkpoint.config("vae");
    // SDXL's own auto-encoder leaves float16's range; its configuration says so
    CompileOptions own =
        c.flag("force_upcast", false) && options.precision() == Precision.FLOAT16
            ? options.withPrecision(Precision.FLOAT32)
            : options;
    return c.text("_class_name", "AutoencoderKL").equals("AutoencoderTiny")
        ? tiny(checkpoint, c, manager, own)
        : kl(checkpoint, c, manager, own);
  }

  private static LatentCodec kl(
      Checkpoint checkpoint, ConfigNode c, NDManager manager, CompileOptions options) {
    c.requireDefault("_class_name", "AutoencoderKL");
    AutoencoderKL.Config config = AutoencoderKL.Config.of(c);
    ScriptBuilder encoder = new ScriptBuilder("AutoencoderKLEncoder", options);
    ScriptBuilder decoder = new ScriptBuilder("AutoencoderKLDecoder", options);
    AutoencoderKL.Encoder encode = new AutoencoderKL.Encoder(config, encoder.weights());
    AutoencoderKL.Decoder decode = new AutoencoderKL.Decoder(config, decoder.weights());
    return new LatentCodec(
        config,
        checkpoint.weights("vae"),
        manager,
        encoder,
        (g, x) -> g.slice(encode.forward(g, x), 1, 0, config.latentChannels()),
        decoder,
        decode::forward);
  }

  private static LatentCodec tiny(
      Checkpoint checkpoint, ConfigNode c, NDManager manager, CompileOptions options) {
    AutoencoderTiny.Config config = AutoencoderTiny.Config.of(c);
    ScriptBuilder encoder = new ScriptBuilder("AutoencoderTinyEncoder", options);
    ScriptBuilder decoder = new ScriptBuilder("AutoencoderTinyDecoder", options);
    return new LatentCodec(
        config,
        checkpoint.weights("vae"),
        manager,
        encoder,
        new AutoencoderTiny.Encoder(config, encoder.weights())::forward,
        decoder,
        new AutoencoderTiny.Decoder(config, decoder.weights())::forward);
  }

  private LatentCodec(
      CodecConfig config,
      TensorSource weights,
      NDManager manager,
      ScriptBuilder encoder,
      BiFunction<Graph, Value, Value> encode,
      ScriptBuilder decoder,
      BiFunction<Graph, Value, Value> decode) {
    this.config = config;
    this.encoder =
        ScriptModule.load(
            manager,
            encoderScript(encoder, encode),
            new PrefixedSource(weights, "encoder.", "quant_conv."));
    this.decoder =
        ScriptModule.load(
            manager,
            decoderScript(decoder, decode),
            new PrefixedSource(weights, "decoder.", "post_quant_conv."));
  }

  private Script encoderScript(ScriptBuilder builder, BiFunction<Graph, Value, Value> network) {
    network(builder, network);
    Graph g = builder.method("encode");
    Value padded = g.pick(g.input("x"), g.input("rows"), g.input("columns"));
    g.returns(
        g.mul(
            g.add(g.self("forward", List.of(padded)), -config.shiftFactor()),
            config.scalingFactor()));
    return builder.build();
  }

  private Script decoderScript(ScriptBuilder builder, BiFunction<Graph, Value, Value> network) {
    network(builder, network);
    Graph g = builder.method("decode");
    Value z = g.add(g.mul(g.input("z"), 1 / config.scalingFactor()), config.shiftFactor());
    g.returns(g.pick(g.self("forward", List.of(z)), g.input("rows"), g.input("columns")));
    return builder.build();
  }

  /** The network alone, which the other method calls. */
  private static void network(ScriptBuilder builder, BiFunction<Graph, Value, Value> network) {
    Graph g = builder.method("forward");
    g.returns(g.toFloat32(network.apply(g, g.toCompute(g.input("x"), true))));
  }

  /** Of a picture. */
  int channels() {
    return config.inChannels();
  }

  int latentChannels() {
    return config.latentChannels();
  }

  /** Pixels per latent along an axis. */
  int stride() {
    return config.stride();
  }

  ScriptModule encoder() {
    return encoder;
  }

  ScriptModule decoder() {
    return decoder;
  }

  @Override
  public void close() {
    encoder.close();
    decoder.close();
  }
}
