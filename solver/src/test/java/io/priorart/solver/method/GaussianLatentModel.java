package io.priorart.solver.method;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.EvaluationCounts;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.LearnedProximal;
import io.priorart.solver.Linearization;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.Prompt;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/**
 * The exact denoiser of latents {@code z ~ N(mean, S)} behind the linear codec {@code D(z) = B z},
 * {@code E = B^-1}, with exact pullbacks: {@code E[z0 | z] = mean + S (S + sigma^2 I)^-1 (z -
 * mean)}. A prompt's embedding {@code c}, where one is given, moves the mean by {@code W c}.
 */
class GaussianLatentModel implements LatentDiffusionModel {
  static final Shape LATENT = new Shape(4, 2, 2);
  static final Shape IMAGE = new Shape(1, 4, 4);
  static final int TOKENS = 6;
  static final int WIDTH = 2;

  private final NDManager manager;
  private final double[] mean;
  private final double[][] covariance;
  private final double[][] codec;
  private final double[][] inverseCodec;
  private final Shape latent;
  private final long[] counts = new long[6];

  /** How a prompt's embedding moves the mean, {@code [16, 12]}; always the same. */
  static double[][] ofText(int latents) {
    SplittableRandom random = new SplittableRandom(12);
    double[][] shift = new double[latents][];
    for (int i = 0; i < latents; i++) {
      shift[i] = Matrices.scaled(Matrices.normal(random, TOKENS * WIDTH), 0.3);
    }
    return shift;
  }

  /** {@link #ofText} of this prior. */
  double[][] text() {
    return ofText(mean.length);
  }

  /** An embedding that moves nothing. */
  static Conditioning text(NDManager manager) {
    return new Conditioning(manager.zeros(new Shape(1, TOKENS, WIDTH)), null, 1);
  }

  GaussianLatentModel(NDManager manager, double[] mean, double[][] covariance, double[][] codec) {
    this(manager, mean, covariance, codec, false);
  }

  /**
   * @param pixels whether the same prior is to be said of the pictures themselves: {@code x ~ N(B
   *     mean, B S B^T)} behind the identity
   */
  GaussianLatentModel(
      NDManager manager, double[] mean, double[][] covariance, double[][] codec, boolean pixels) {
    this.manager = manager;
    this.mean = pixels ? Matrices.times(codec, mean) : mean;
    this.covariance =
        pixels
            ? Matrices.times(codec, Matrices.times(covariance, Matrices.transpose(codec)))
            : covariance;
    this.codec = pixels ? Matrices.diagonal(mean.length, i -> 1) : codec;
    latent = pixels ? IMAGE : LATENT;
    inverseCodec = Matrices.inverse(this.codec);
  }

  /** {@code S (S + sigma^2 I)^-1}. */
  static double[][] gain(double[][] covariance, double sigma) {
    double[][] noise = Matrices.diagonal(covariance.length, i -> sigma * sigma);
    return Matrices.times(covariance, Matrices.inverse(Matrices.plus(covariance, 1, noise)));
  }

  @Override
  public NDManager manager() {
    return manager;
  }

  @Override
  public Shape imageShape() {
    return IMAGE;
  }

  @Override
  public Shape latentShape() {
    return latent;
  }

  @Override
  public boolean pixelSpace() {
    return latent.equals(IMAGE);
  }

  @Override
  public boolean noiseMap() {
    return pixelSpace();
  }

  /** {@code mean + S (S + diag(sigma^2))^-1 (z - mean)}, one map for all or one for each. */
  @Override
  public NDArray denoise(NDArray z, NDArray sigma, Conditioning conditioning) {
    counts[0]++;
    float[] levels = sigma.toFloatArray();
    NDArray centre = z.getManager().create(Matrices.floats(mean), new Shape(1).addAll(latent));
    if (levels.length == mean.length) {
      return DenseOperator.Maps.linear(z.sub(centre), gain(levels, 0), latent).add(centre);
    }
    NDList samples = new NDList();
    for (int n = 0; n < z.getShape().get(0); n++) {
      NDArray one = z.get(n + ":" + (n + 1)).sub(centre);
      double[][] gain = gain(levels, n * mean.length);
      samples.add(DenseOperator.Maps.linear(one, gain, latent).add(centre));
    }
    return NDArrays.concat(samples, 0);
  }

  /** {@code S (S + diag(level^2))^-1} of the levels from {@code at} on. */
  private double[][] gain(float[] levels, int at) {
    double[][] noise =
        Matrices.diagonal(mean.length, i -> (double) levels[at + i] * levels[at + i]);
    return Matrices.times(covariance, Matrices.inverse(Matrices.plus(covariance, 1, noise)));
  }

  /** Noise of {@link #proximal}. */
  static final double PROXIMAL_SIGMA = 0.3;

  /**
   * The proximal operator of {@code s^2 (x - mean)^T S^-1 (x - mean) / 2}, {@code s} {@link
   * #PROXIMAL_SIGMA}: {@code mean + G (x - mean)}, {@code G = S (S + s^2 I)^-1}, the gradient of
   * {@code <mean, x> + (x - mean)^T G (x - mean) / 2}. Of pictures only.
   */
  @Override
  public LearnedProximal proximal() {
    return pixelSpace() ? new Proximal() : null;
  }

  private final class Proximal implements LearnedProximal {
    @Override
    public double sigma() {
      return PROXIMAL_SIGMA;
    }

    @Override
    public NDArray apply(NDArray x) {
      return denoise(x, PROXIMAL_SIGMA, Conditioning.NONE);
    }

    @Override
    public NDArray potential(NDArray x) {
      NDArray centre = x.getManager().create(Matrices.floats(mean), new Shape(1).addAll(latent));
      NDArray from = x.sub(centre);
      NDArray mapped = DenseOperator.Maps.linear(from, gain(covariance, PROXIMAL_SIGMA), latent);
      return centre
          .mul(x)
          .add(from.mul(mapped).mul(0.5))
          .reshape(x.getShape().get(0), -1)
          .sum(new int[] {1});
    }
  }

  @Override
  public NoiseSchedule schedule() {
    return new VariancePreservingSchedule(
        BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, false, 1);
  }

  @Override
  public NDArray encode(NDArray x) {
    counts[2]++;
    return DenseOperator.Maps.linear(x, inverseCodec, latent);
  }

  @Override
  public NDArray decode(NDArray z) {
    counts[4]++;
    return DenseOperator.Maps.linear(z, codec, IMAGE);
  }

  @Override
  public NDArray denoise(NDArray z, double sigma, Conditioning conditioning) {
    counts[0]++;
    NDArray centre = centre(z, conditioning);
    NDArray shrunk = DenseOperator.Maps.linear(z.sub(centre), gain(covariance, sigma), latent);
    return shrunk.add(centre);
  }

  /** The prior's mean, of the prompt where there is one. */
  private NDArray centre(NDArray z, Conditioning conditioning) {
    NDArray own = z.getManager().create(Matrices.floats(mean), new Shape(1).addAll(latent));
    return conditioning.positive() == null
        ? own
        : own.add(DenseOperator.Maps.linear(conditioning.positive(), text(), latent));
  }

  /** {@code d z0/dc = (I - gain) W}. */
  @Override
  public Linearization denoiseAtText(NDArray z, double sigma, Conditioning conditioning) {
    double[][] rest =
        Matrices.plus(Matrices.diagonal(mean.length, i -> 1), -1, gain(covariance, sigma));
    return linear(
        () -> denoise(z, sigma, conditioning),
        Matrices.times(rest, text()),
        new Shape(TOKENS, WIDTH),
        1);
  }

  @Override
  public Linearization encodeAt(NDArray x) {
    return linear(() -> encode(x), inverseCodec, IMAGE, 3);
  }

  @Override
  public Linearization decodeAt(NDArray z) {
    return linear(() -> decode(z), codec, latent, 5);
  }

  @Override
  public Linearization denoiseAt(NDArray z, double sigma, Conditioning conditioning) {
    return linear(() -> denoise(z, sigma, conditioning), gain(covariance, sigma), latent, 1);
  }

  private Linearization linear(Supplier<NDArray> map, double[][] matrix, Shape in, int slot) {
    NDArray value = map.get();
    double[][] transposed = Matrices.transpose(matrix);
    return Linearization.linear(
        value,
        cotangent -> {
          counts[slot]++;
          return DenseOperator.Maps.linear(cotangent, transposed, in);
        });
  }

  @Override
  public Conditioning condition(NDManager manager, Prompt prompt) {
    return Conditioning.NONE;
  }

  @Override
  public EvaluationCounts counts() {
    return new EvaluationCounts(
        counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], 0);
  }
}
