package io.priorart.models.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Graph;
import io.priorart.models.engine.Precision;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptBuilder;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.engine.TensorSpec;
import io.priorart.models.engine.Value;
import io.priorart.models.engine.WeightNames.Weight;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.ClipTextModel;
import io.priorart.models.network.ConfigNode;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.network.UNet2DConditionModel;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.TensorScope;
import io.priorart.solver.schedule.BetaSchedule;
import io.priorart.solver.schedule.VariancePreservingSchedule;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * A whole training step (drawing the batch, forward, loss, gradients, AdamW, moving average)
 * against nothing but its convolutions: the same shapes forward and their three gradients, bfloat16
 * channels-last, in turns, in one process. Figures, no judgement:
 *
 * <pre>
 * taskset -c 0 mvn -pl models -am test -Dtest=TrainingRateBenchmark -Dbenchmarks.excluded=none -Dsurefire.failIfNoSpecifiedTests=false
 * </pre>
 */
@Tag("benchmark")
class TrainingRateBenchmark {
  private static final int ROUNDS = 7;
  private static final double ROUND_SECONDS = 0.7;
  private static final CompileOptions COMPILE = new CompileOptions(Precision.BFLOAT16, true);
  private static final Pattern CONVOLUTION =
      Pattern.compile("= torch\\.conv2d\\((\\w+), (\\w+), \\w+, \\[(\\d), \\d], \\[(\\d), \\d],");

  @Test
  void denoiser() {
    DenoisingUNet.Config config =
        new DenoisingUNet.Config(3, 2, new int[] {64, 128, 192, 256}, 2, 128, 0.5, 0.01, 8, true);
    NoiseSource random = new NoiseSource(1);
    PatchSampler sampler = new PatchSampler(pictures(), 96, random);
    measure(
        "denoiser 64,128,192,256, 8 x 96x96",
        8,
        DenoiserTraining.script(config, COMPILE),
        m -> DenoiserTraining.batch(config, sampler, 8, random, m));
  }

  @Test
  void autoencoder() {
    AutoencoderKL.Config config =
        new AutoencoderKL.Config(3, 3, new int[] {32, 64, 128}, 1, 8, 8, false, true, true, 1, 0);
    AutoencoderTraining.Options options =
        new AutoencoderTraining.Options(
            64,
            16,
            1e-3,
            AutoencoderObjective.plain(1e-4, 0.5, 1, false),
            false,
            0,
            Duration.ofMinutes(1),
            1);
    NoiseSource random = new NoiseSource(1);
    PatchSampler sampler = new PatchSampler(pictures(), 64, random);
    measure(
        "auto-encoder 32,64,128, 16 x 64x64",
        16,
        AutoencoderTraining.script(config, options, COMPILE),
        m -> new NDArray[] {sampler.batch(16).to(m), random.normal(m, new Shape(16, 8, 16, 16))});
  }

  @Test
  void diffusion() throws Exception {
    UNet2DConditionModel.Config unet =
        UNet2DConditionModel.Config.of(
            new ConfigNode(
                "default",
                new ObjectMapper()
                    .readTree(
                        """
                        {"attention_head_dim": 4, "block_out_channels": [64, 128, 256],
                         "cross_attention_dim": 128, "in_channels": 8, "out_channels": 8,
                         "down_block_types":
                           ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                         "up_block_types":
                           ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                         "layers_per_block": 1, "norm_num_groups": 16, "use_linear_projection": true}
                        """)));
    ClipTextModel.Config text = new ClipTextModel.Config(2048, 128, 512, 2, 4, 32, 1e-5, true, 0);
    DiffusionTraining.Options options =
        new DiffusionTraining.Options(
            new int[] {64, 128, 256},
            1,
            4,
            128,
            2,
            2048,
            32,
            16,
            5e-4,
            0.15,
            DiffusionObjective.of(DiffusionTarget.V),
            Duration.ofMinutes(1),
            1);
    NoiseSource random = new NoiseSource(1);
    float[] latent = random.normal(new Shape(8, 64, 64)).values();
    LatentSampler latents =
        new LatentSampler(
            List.of(new DiffusionTraining.Latent(8, 64, 64, latent, new long[32])), 32, 4);
    VariancePreservingSchedule schedule =
        new VariancePreservingSchedule(BetaSchedule.SCALED_LINEAR, 1000, 0.00085, 0.012, false, 0);
    measure(
        "latent U-Net 64,128,256, 16 x 32x32",
        16,
        DiffusionStep.script(unet, text, options.objective(), COMPILE),
        m -> DiffusionStep.batch(options, latents, new long[32], schedule, random, m));
  }

  private static List<TrainingPicture> pictures() {
    byte[] rgb = new byte[3 * 256 * 256];
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = (byte) (128 + 100 * Math.sin(0.01 * i));
    }
    return List.of(new TrainingPicture(256, 256, rgb, ""));
  }

  private static void measure(
      String name, int batch, Script script, Function<NDManager, NDArray[]> inputs) {
    try (Trainer trainer = new Trainer(script, Path.of("no such state"), new NoiseSource(1), null);
        NDManager manager = ScriptModule.newManager();
        ScriptModule forward = part(manager, script, false);
        ScriptModule gradients = part(manager, script, true)) {
      NDArray[] fixed = inputs.apply(manager);
      List<Convolution> convolutions = convolutions(manager, script, fixed);
      try (ScriptModule stack = stack(manager, convolutions)) {
        String[] names = {"convolutions alone", "whole step", "forward", "forward and gradients"};
        Runnable[] works = {
          () -> stack.call("forward", manager.create(0f)),
          () -> trainer.step(1e-6, inputs.apply(trainer.manager())),
          () -> forward.callWithGradients("step", all(manager, fixed)),
          () -> gradients.callWithGradients("step", all(manager, fixed))
        };
        double[][] seconds = seconds(works);
        double flops = 3 * convolutions.stream().mapToDouble(Convolution::flops).sum();
        System.out.printf(
            Locale.ROOT,
            "%s: %d convolutions, %.1f GFLOP forward and backward, %d thread(s)%n",
            name,
            convolutions.size(),
            flops * 1e-9,
            ScriptModule.threads());
        for (int i = 0; i < works.length; i++) {
          System.out.printf(
              Locale.ROOT,
              "  %-22s %7.1f ms  %6.1f samples/s%n",
              names[i],
              1e3 * median(seconds[i]),
              batch / median(seconds[i]));
        }
        // in each round by itself, since what else the machine does changes from round to round
        double[] ratios = new double[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
          ratios[round] = seconds[0][round] / seconds[1][round];
        }
        System.out.printf(Locale.ROOT, "  ratio %.3f%n", median(ratios));
      }
    }
  }

  private static NDArray[] all(NDManager manager, NDArray... inputs) {
    NDArray[] all = new NDArray[inputs.length + 1];
    all[0] = manager.create(new float[] {1e-6f, 0.9f});
    System.arraycopy(inputs, 0, all, 1, inputs.length);
    return all;
  }

  /** Of a call of each work in each round, works in turns. */
  private static double[][] seconds(Runnable... works) {
    double[][] rounds = new double[works.length][ROUNDS];
    for (int round = -1; round < ROUNDS; round++) {
      for (int i = 0; i < works.length; i++) {
        int calls = 0;
        long begin = System.nanoTime();
        do {
          try (TensorScope scope = new TensorScope()) {
            works[i].run();
          }
          calls++;
        } while ((System.nanoTime() - begin) * 1e-9 < ROUND_SECONDS);
        if (round >= 0) {
          rounds[i][round] = (System.nanoTime() - begin) * 1e-9 / calls;
        }
      }
    }
    return rounds;
  }

  private static double median(double... values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  // ---- parts of a script, cut from its text

  private static ScriptModule load(NDManager manager, Script script, String code) {
    Script part =
        new Script(
            script.className(),
            code,
            script.weights(),
            script.listAttributes(),
            script.precision());
    ScriptModule module = ScriptModule.load(manager, part);
    NoiseSource random = new NoiseSource(1);
    try (NDManager scratch = manager.newSubManager()) {
      NDList weights = new NDList();
      for (TensorSpec spec : script.weights()) {
        weights.add(random.normal(scratch, spec.shape()).mul(0.02));
      }
      module.attach("ws", weights);
    }
    return module;
  }

  /** A script whose step ends before or after its gradients. */
  private static ScriptModule part(NDManager manager, Script script, boolean withGradients) {
    Matcher gradient =
        Pattern.compile("\n    (\\w+) = torch\\.grad\\(\\[(\\w+)],[^\n]*").matcher(script.code());
    gradient.find();
    int cut = withGradients ? gradient.end() : gradient.start();
    String end =
        withGradients
            ? """

                  ones = annotate(List[Tensor], [])
                  for i in range(torch.len(GRADIENTS)):
                    gi = unchecked_cast(Tensor, GRADIENTS[i])
                    one = torch.append(ones, torch.as_strided(gi, [1], [1]))
                  return torch.cat(ones)
              """
                .replace("GRADIENTS", gradient.group(1))
            : "\n    return torch.detach(" + gradient.group(2) + ")\n";
    return load(manager, script, script.code().substring(0, cut) + end + rest(script, cut));
  }

  /** The methods that follow. */
  private static String rest(Script script, int from) {
    return script.code().substring(script.code().indexOf("\n  def ", from) + 1);
  }

  /**
   * @param inputGradient whether the input's gradient is needed: not of the data
   */
  private record Convolution(
      Shape input, Shape weight, int stride, int padding, boolean inputGradient) {
    Shape output() {
      long h = (input.get(2) + 2L * padding - weight.get(2)) / stride + 1;
      long w = (input.get(3) + 2L * padding - weight.get(3)) / stride + 1;
      return new Shape(input.get(0), weight.get(0), h, w);
    }

    /** Of one forward. */
    double flops() {
      return 2.0 * output().size() * weight.size() / weight.get(0);
    }
  }

  /** Asks a step for the shapes that its convolutions meet. */
  private static List<Convolution> convolutions(
      NDManager manager, Script script, NDArray... inputs) {
    int gradient = script.code().indexOf(" = torch.grad(");
    int cut = script.code().lastIndexOf('\n', gradient);
    List<int[]> strides = new ArrayList<>();
    StringBuilder code = new StringBuilder();
    boolean inStep = false;
    for (String line : script.code().substring(0, cut).split("\n")) {
      code.append(line).append('\n');
      if (line.startsWith("  def step(")) {
        code.append("    shapes = annotate(List[int], [])\n");
        inStep = true;
      }
      Matcher m = CONVOLUTION.matcher(line);
      if (inStep && m.find()) {
        strides.add(new int[] {Integer.parseInt(m.group(3)), Integer.parseInt(m.group(4))});
        for (int tensor = 1; tensor <= 2; tensor++) {
          for (int dim = 0; dim < 4; dim++) {
            String size = "torch.size(" + m.group(tensor) + ", " + dim + ")";
            code.append("    shape = torch.append(shapes, ").append(size).append(")\n");
          }
        }
      }
    }
    code.append("    return torch.tensor(shapes, dtype=6)\n").append(rest(script, cut));
    float[] sizes;
    try (ScriptModule probe = load(manager, script, code.toString())) {
      sizes = probe.callWithGradients("step", all(manager, inputs))[0].toFloatArray();
    }
    List<Convolution> found = new ArrayList<>();
    for (int i = 0; i < strides.size(); i++) {
      long[] s = new long[8];
      for (int k = 0; k < 8; k++) {
        s[k] = (long) sizes[8 * i + k];
      }
      found.add(
          new Convolution(
              new Shape(Arrays.copyOf(s, 4)),
              new Shape(Arrays.copyOfRange(s, 4, 8)),
              strides.get(i)[0],
              strides.get(i)[1],
              i > 0));
    }
    return found;
  }

  /** Each convolution by itself: forward, gradients of input, weight and bias. */
  private static ScriptModule stack(NDManager manager, List<Convolution> convolutions) {
    ScriptBuilder builder = new ScriptBuilder("Convolutions", COMPILE);
    Graph g = builder.method("forward");
    g.input("unused");
    List<Value> seen = new ArrayList<>();
    for (int i = 0; i < convolutions.size(); i++) {
      Convolution c = convolutions.get(i);
      Weight w = builder.weights().at(i).tensor("weight", c.weight().getShape());
      Weight bias = builder.weights().at(i).tensor("bias", c.weight().get(0));
      Weight x = builder.weights().at(i).tensor("x", c.input().getShape());
      Weight dy = builder.weights().at(i).tensor("dy", c.output().getShape());
      Value y = g.conv2d(g.weight(x), w, bias, c.stride(), c.padding());
      String two = "[%d, %d]";
      Value all =
          g.call(
              "torch.convolution_backward",
              g.weight(dy),
              g.weight(x),
              g.weight(w),
              Graph.raw("[" + c.weight().get(0) + "]"),
              Graph.raw(two.formatted(c.stride(), c.stride())),
              Graph.raw(two.formatted(c.padding(), c.padding())),
              Graph.raw("[1, 1]"),
              false,
              Graph.raw("[0, 0]"),
              1,
              Graph.raw("[" + (c.inputGradient() ? "True" : "False") + ", True, True]"));
      // one number of each result is kept, or the compiler drops the work
      seen.add(first(g, y));
      for (int k = c.inputGradient() ? 0 : 1; k < 3; k++) {
        seen.add(first(g, g.assign("(" + all + ")[" + k + "]")));
      }
    }
    g.returns(g.call("torch.cat", Graph.list(seen.toArray(Value[]::new))));
    Script script = builder.build();
    return load(manager, script, script.code());
  }

  private static Value first(Graph g, Value x) {
    return g.call("torch.as_strided", x, Graph.raw("[1]"), Graph.raw("[1]"));
  }
}
