package io.priorart.runtime.inversion;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.priorart.runtime.Report;
import java.util.List;

/**
 * How an inversion went, and what was made of it. Its JSON is part of the product; {@code
 * priorart.v1.InversionReport} is the same message.
 *
 * @param input file inverted; {@code null} when it came in a request
 * @param noise file that the noise was written to; {@code null} for none
 * @param outputs pictures written
 * @param method with every parameter used
 * @param conditioning of the inversion
 * @param edit what the picture was made to show instead; {@code null} for its inversion alone
 * @param steps in the order they were made; empty when an earlier inversion was used
 * @param reconstruction how near the way back comes; {@code null} as for {@code steps}
 * @param seconds wall time
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record InversionReport(
    String input,
    String noise,
    List<String> outputs,
    Report.Model model,
    Report.Solver method,
    Report.Conditioning conditioning,
    Report.Conditioning edit,
    List<Step> steps,
    Reconstruction reconstruction,
    Report.Evaluations evaluations,
    Seconds seconds) {
  /**
   * One step of an inversion.
   *
   * @param sigma the higher of its noise levels, of a latent of deviation 1
   * @param iterations evaluations of the denoiser, or for null-text updates
   * @param residual RMS of what its equation lacks; {@code null} for a method that does not look
   */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  public record Step(double sigma, int iterations, Double residual) {}

  /**
   * The way back, by the inversion's own prompt.
   *
   * @param psnr of the picture as it would be written, dB
   * @param autoencoderPsnr of the auto-encoder's alone, which bounds it, dB
   * @param latentErrorDb {@code 10 log10} of the latents' mean squared difference; lower is nearer
   */
  public record Reconstruction(double psnr, double autoencoderPsnr, double latentErrorDb) {}

  /** Wall time in seconds: the inversion, and all ways back. */
  public record Seconds(double invert, double sample) {}

  /** An inversion's report with that of what was then sampled from it. */
  public InversionReport then(InversionReport sampled) {
    return new InversionReport(
        input,
        noise,
        sampled.outputs,
        model,
        method,
        conditioning,
        sampled.edit,
        steps,
        reconstruction,
        evaluations.plus(sampled.evaluations),
        new Seconds(seconds.invert, seconds.sample + sampled.seconds.sample));
  }

  /** The same with the names of its files. */
  public InversionReport withFiles(String inputFile, String noiseFile, List<String> outputFiles) {
    return new InversionReport(
        inputFile,
        noiseFile,
        outputFiles,
        model,
        method,
        conditioning,
        edit,
        steps,
        reconstruction,
        evaluations,
        seconds);
  }
}
