package io.priorart.models;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.NoiseSchedule;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.Prompt;
import java.util.ArrayList;
import java.util.List;

/** One evaluation of each network of a loaded checkpoint, on a picture made up. */
public final class ModelVerification {
  /**
   * What a network gave.
   *
   * @param what it was asked
   * @param rms root mean square of the output, not finite where a value is not
   */
  public record Check(String what, double rms) {
    public boolean passed() {
      return Double.isFinite(rms);
    }
  }

  private ModelVerification() {}

  /**
   * Runs text encoders, encoder, decoder and denoiser, this at a low, a middle and the highest
   * noise level, or a proximal operator; what the model has not is left out.
   *
   * @param side of the picture in pixels
   */
  public static List<Check> run(Prior prior, int side) {
    List<Check> checks = new ArrayList<>();
    LatentDiffusionModel model = prior.bind(side, side);
    try (NDManager manager = model.manager().newSubManager()) {
      String prompt = prior.traits().text() ? "a photograph" : "";
      Conditioning text = model.condition(manager, new Prompt(prompt, "", 1));
      if (text.positive() != null) {
        checks.add(check("text", text.positive()));
      }
      NDArray picture = picture(manager, side);
      NDArray z = model.encode(picture);
      z.attach(manager);
      if (!prior.traits().pixelSpace()) {
        checks.add(check("encode", z));
        NDArray decoded = model.decode(z);
        decoded.attach(manager);
        checks.add(check("decode", decoded));
      }
      if (model.proximal() != null) {
        checks.add(check("proximal", model.proximal().apply(picture)));
        return checks;
      }
      NoiseSchedule schedule = prior.schedule();
      NDArray noise = new NoiseSource(0).normal(manager, z.getShape());
      int last = schedule.trainTimesteps() - 1;
      for (int timestep : new int[] {last / 20, last / 2, last}) {
        // pure noise of a schedule with zero signal-to-noise is no level
        double sigma = Math.min(schedule.sigma(timestep), 1e4);
        NDArray clean = model.denoise(z.add(noise.mul(sigma)), sigma, text);
        clean.attach(manager);
        checks.add(check("denoise at timestep " + timestep, clean));
      }
    }
    return checks;
  }

  /** Waves of three lengths, {@code [1, 3, side, side]} in [-1, 1]. */
  private static NDArray picture(NDManager manager, int side) {
    float[] values = new float[3 * side * side];
    for (int i = 0; i < values.length; i++) {
      int channel = i / (side * side);
      int row = i / side % side;
      int column = i % side;
      values[i] = (float) Math.sin((channel + 1) * (row + 0.5 * column) * 4 * Math.PI / side);
    }
    return manager.create(values, new Shape(1, 3, side, side));
  }

  private static Check check(String what, NDArray output) {
    double squares = 0;
    float[] values = HostTensor.of(output).values();
    for (float v : values) {
      squares += (double) v * v;
    }
    return new Check(what, Math.sqrt(squares / values.length));
  }
}
