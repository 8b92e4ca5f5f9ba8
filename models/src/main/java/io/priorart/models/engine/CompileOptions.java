package io.priorart.models.engine;

/**
 * How a network is compiled; its declaration knows nothing of it.
 *
 * @param precision arithmetic inside the script
 * @param channelsLast memory layout of feature maps and convolution weights
 */
public record CompileOptions(Precision precision, boolean channelsLast) {
  public static final CompileOptions AUTO = new CompileOptions(Precision.AUTO, true);

  /** float32 in NCHW: the plainest arithmetic there is, for comparisons. */
  public static final CompileOptions REFERENCE = new CompileOptions(Precision.FLOAT32, false);

  public CompileOptions {
    precision = precision.resolve();
  }

  public CompileOptions withPrecision(Precision other) {
    return new CompileOptions(other, channelsLast);
  }
}
