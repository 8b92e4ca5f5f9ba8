package io.priorart.models.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.priorart.models.ModelFamilies;
import io.priorart.models.Prior;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.engine.Script;
import io.priorart.models.engine.ScriptModule;
import io.priorart.models.network.AutoencoderKL;
import io.priorart.models.network.DenoisingUNet;
import io.priorart.models.weights.PrefixedSource;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The trainer on a network small enough to watch. */
class TrainingTest {
  private static final AutoencoderKL.Config TINY = TinyTraining.CODEC;

  @TempDir private Path dir;

  private static AutoencoderTraining.Options options() {
    return TinyTraining.codecOptions();
  }

  private static List<TrainingPicture> pictures() {
    return TinyTraining.pictures(4, "stripes number");
  }

  @Test
  void everyWeightLearnsAndTheLossFalls() {
    NoiseSource random = new NoiseSource(1);
    Script script = AutoencoderTraining.script(TINY, options(), CompileOptions.REFERENCE);
    PatchSampler sampler = new PatchSampler(pictures(), 16, random);
    Path state = dir.resolve("state.safetensors");
    try (Trainer trainer = new Trainer(script, state, random)) {
      trainer.save(state);
      SafetensorsFile before = SafetensorsFile.open(state);
      float first = 0;
      float last = 0;
      for (int i = 0; i < 60; i++) {
        last =
            trainer
                .step(
                    5e-3,
                    sampler.batch(4).to(trainer.manager()),
                    random.normal(trainer.manager(), new ai.djl.ndarray.types.Shape(4, 4, 8, 8)))[
                0];
        first = i == 0 ? last : first;
      }
      assertTrue(last < 0.85 * first, first + " to " + last);
      Path after = dir.resolve("after.safetensors");
      trainer.save(after);
      SafetensorsFile changed = SafetensorsFile.open(after);
      for (var spec : script.weights()) {
        HostTensor was = before.read("ws/" + spec.name());
        assertNotEquals(was, changed.read("ws/" + spec.name()), spec.name() + " never moved");
        assertNotEquals(was, changed.read("ema/" + spec.name()), "average of " + spec.name());
      }
      try (Trainer resumed = new Trainer(script, after, random)) {
        assertEquals(60, resumed.step());
        Path again = dir.resolve("again.safetensors");
        resumed.save(again);
        assertEquals(
            changed.read("m/encoder.conv_in.weight"),
            SafetensorsFile.open(again).read("m/encoder.conv_in.weight"));
      }
    }
  }

  @Test
  void normalisedLatentsReconstructTheSame() {
    NoiseSource random = new NoiseSource(2);
    Path weights = dir.resolve("weights.safetensors");
    Script script = AutoencoderTraining.script(TINY, options(), CompileOptions.REFERENCE);
    try (Trainer trainer = new Trainer(script, dir.resolve("none.safetensors"), random);
        NDManager manager = ScriptModule.newManager()) {
      trainer.export(weights, "", name -> true);
      HostTensor crops = new PatchSampler(pictures(), 16, random).batch(8);
      float[] before = reconstruct(weights, crops, manager);
      LatentNormalization found = LatentNormalization.measure(TINY, weights, () -> crops, manager);
      found.fold(weights);
      assertArrayEquals(before, reconstruct(weights, crops, manager), 5e-3f);
      LatentNormalization again = LatentNormalization.measure(TINY, weights, () -> crops, manager);
      for (int c = 0; c < 4; c++) {
        assertEquals(0, again.mean()[c], 0.02, "mean of channel " + c);
        assertEquals(1, again.deviation()[c], 0.02, "deviation of channel " + c);
      }
    }
  }

  private static float[] reconstruct(Path weights, HostTensor crops, NDManager manager) {
    SafetensorsFile file = SafetensorsFile.open(weights);
    try (ScriptModule encoder =
            ScriptModule.load(
                manager,
                AutoencoderKL.compileEncoder(TINY, CompileOptions.REFERENCE),
                new PrefixedSource(file, "encoder.", "quant_conv."));
        ScriptModule decoder =
            ScriptModule.load(
                manager,
                AutoencoderKL.compileDecoder(TINY, CompileOptions.REFERENCE),
                new PrefixedSource(file, "decoder.", "post_quant_conv."))) {
      NDArray z = encoder.call("forward", crops.to(manager))[0];
      return decoder.call("forward", z)[0].toFloatArray();
    }
  }

  @Test
  void twoTrainingsMakeACheckpointThatOpens() throws Exception {
    Path checkpoint = dir.resolve("checkpoint");
    AutoencoderTraining.run(TINY, options(), pictures(), lap("vae.state", checkpoint, null));
    DiffusionTraining.run(
        TinyTraining.diffusionOptions(DiffusionTarget.V),
        pictures(),
        lap("diffusion.state", checkpoint, null));
    try (Prior pipeline = ModelFamilies.load(checkpoint, CompileOptions.REFERENCE)) {
      assertTrue(pipeline.parameters() > 10_000);
      assertEquals(64, pipeline.hash().length());
    }
  }

  private static final DenoisingUNet.Config TINY_DENOISER =
      new DenoisingUNet.Config(3, 2, new int[] {8, 12}, 1, 8, 0.5, 0.01, 8, false);

  private static DenoiserTraining.Options denoiserOptions(int patch) {
    return new DenoiserTraining.Options(patch, 4, 5e-3, Duration.ofMinutes(5), 1);
  }

  @Test
  void theDenoiserLearnsWithEveryWeight() {
    NoiseSource random = new NoiseSource(4);
    Script script = DenoiserTraining.script(TINY_DENOISER, CompileOptions.REFERENCE);
    PatchSampler sampler = new PatchSampler(pictures(), 16, random);
    Path state = dir.resolve("denoiser.safetensors");
    try (Trainer trainer = new Trainer(script, state, random)) {
      trainer.save(state);
      SafetensorsFile before = SafetensorsFile.open(state);
      double first = 0;
      double last = 0;
      for (int i = 0; i < 300; i++) {
        float loss =
            trainer
                .step(
                    5e-3,
                    DenoiserTraining.batch(TINY_DENOISER, sampler, 4, random, trainer.manager()))[
                0];
        first += i < 10 ? loss / 10 : 0;
        last += i >= 290 ? loss / 10 : 0;
      }
      // a network that says 0 has a loss of about 1 by the preconditioning
      assertEquals(1, first, 0.3);
      assertTrue(last < 0.85 * first, first + " to " + last);
      Path after = dir.resolve("after.safetensors");
      trainer.save(after);
      for (var spec : script.weights()) {
        String name = "ws/" + spec.name();
        assertNotEquals(before.read(name), SafetensorsFile.open(after).read(name), name);
      }
    }
  }

  @Test
  void aDenoiserTrainingMakesACheckpointThatOpens() throws Exception {
    Path checkpoint = dir.resolve("pixel");
    DenoiserTraining.run(
        TINY_DENOISER, denoiserOptions(16), pictures(), lap("denoiser.state", checkpoint, null));
    try (Prior prior = ModelFamilies.load(checkpoint, CompileOptions.REFERENCE)) {
      assertEquals("pixel", prior.name());
      assertTrue(prior.bind(5, 7).pixelSpace());
      assertEquals(0.01, prior.schedule().sigma(0), 1e-9);
      assertEquals(8, prior.schedule().sigma(999), 1e-6);
    }
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                DenoiserTraining.run(
                    TINY_DENOISER,
                    denoiserOptions(18),
                    pictures(),
                    lap("none", dir.resolve("none"), null)));
    assertTrue(e.getMessage().contains("patch: must be a multiple of 4"), e.getMessage());
  }

  private Lap lap(String state, Path checkpoint, Path from) {
    return TinyTraining.lap(dir.resolve(state), checkpoint, from, 3);
  }

  @Test
  void resumingGoesOnBitForBit() throws Exception {
    Script script = DenoiserTraining.script(TINY_DENOISER, CompileOptions.REFERENCE);
    Path whole = steps(script, "whole", 6);
    steps(script, "halves", 3);
    Path halves = steps(script, "halves", 3);
    SafetensorsFile expected = SafetensorsFile.open(whole);
    SafetensorsFile found = SafetensorsFile.open(halves);
    assertEquals("6", found.metadata().get("step"));
    assertEquals(expected.shapes(), found.shapes());
    for (String name : expected.shapes().keySet()) {
      assertEquals(expected.read(name), found.read(name), name);
    }
  }

  private Path steps(Script script, String name, int count) {
    NoiseSource random = new NoiseSource(7);
    Path state = dir.resolve(name);
    PatchSampler sampler = new PatchSampler(pictures(), 16, random);
    TrainingRun run =
        new TrainingRun(lap(name, dir, null), Duration.ofMinutes(5), 1e-3, 4, 7, random, List.of());
    try (Trainer trainer = new Trainer(script, state, random)) {
      for (int i = 0; i < count; i++) {
        run.step(
            trainer,
            5e-3,
            () -> DenoiserTraining.batch(TINY_DENOISER, sampler, 4, random, trainer.manager()));
      }
      trainer.save(state);
    }
    return state;
  }

  @Test
  void aCheckpointsWeightsBeginWithZeroMoments() throws Exception {
    Path checkpoint = dir.resolve("first");
    DenoiserTraining.run(
        TINY_DENOISER, denoiserOptions(16), pictures(), lap("first.state", checkpoint, null));
    Lap next =
        new Lap(
            dir.resolve("second.state"),
            dir.resolve("second"),
            checkpoint,
            Duration.ofMinutes(5),
            () -> true,
            TinyTraining.SILENT);
    DenoiserTraining.run(TINY_DENOISER, denoiserOptions(16), pictures(), next);
    SafetensorsFile weights =
        SafetensorsFile.open(checkpoint.resolve("denoiser/diffusion_pytorch_model.safetensors"));
    SafetensorsFile state = SafetensorsFile.open(next.state());
    assertEquals("0", state.metadata().get("step"));
    for (String name : weights.shapes().keySet()) {
      assertEquals(weights.read(name), state.read("ws/" + name), name);
      for (float moment : state.read("m/" + name).values()) {
        assertEquals(0, moment, name);
      }
    }
    DenoisingUNet.Config wider =
        new DenoisingUNet.Config(3, 2, new int[] {8, 16}, 1, 8, 0.5, 0.01, 8, false);
    Lap misfit = lap("third.state", dir.resolve("third"), checkpoint);
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> DenoiserTraining.run(wider, denoiserOptions(16), pictures(), misfit));
    assertTrue(e.getMessage().contains("checkpoint of the same configuration"), e.getMessage());
    Lap otherState = lap("second.state", dir.resolve("third"), null);
    e =
        assertThrows(
            PriorArtException.class,
            () -> DenoiserTraining.run(wider, denoiserOptions(16), pictures(), otherState));
    assertTrue(e.getMessage().contains("belongs to another configuration"), e.getMessage());
  }

  @Test
  void lossesAreWrittenWithTheirTermsAndKeptWhenColumnsChange() throws Exception {
    Path csv = Files.writeString(dir.resolve("vae.state.csv"), "step,loss,learning_rate\n");
    AutoencoderTraining.run(TINY, options(), pictures(), lap("vae.state", dir.resolve("a"), null));
    AutoencoderTraining.run(TINY, options(), pictures(), lap("vae.state", dir.resolve("b"), null));
    List<String> lines = Files.readAllLines(csv);
    assertEquals(
        "step,loss,learning_rate,distance,gradient,kl,samples_per_second,seconds", lines.get(0));
    assertEquals(3, lines.size());
    double seconds = 0;
    for (int lap = 1; lap <= 2; lap++) {
      String[] row = lines.get(lap).split(",");
      assertEquals(3L * lap, Long.parseLong(row[0]));
      assertTrue(Double.parseDouble(row[1]) > Double.parseDouble(row[3]), "loss holds its term");
      assertTrue(Double.parseDouble(row[7]) >= seconds, "seconds are those of all laps");
      seconds = Double.parseDouble(row[7]);
    }
    try (var files = Files.list(dir)) {
      assertEquals(1, files.filter(f -> f.toString().contains("vae.state.csv.")).count());
    }
  }

  @Test
  void aDecoderAloneLeavesLatentsAsTheyAre() throws Exception {
    Path first = dir.resolve("first");
    AutoencoderTraining.run(TINY, options(), pictures(), lap("first.state", first, null));
    AutoencoderTraining.Options given = options();
    AutoencoderTraining.Options alone = decoderAlone(given, 0.1);
    Path second = dir.resolve("second");
    AutoencoderTraining.run(TINY, alone, pictures(), lap("second.state", second, first));
    String file = "vae/diffusion_pytorch_model.safetensors";
    SafetensorsFile before = SafetensorsFile.open(first.resolve(file));
    SafetensorsFile after = SafetensorsFile.open(second.resolve(file));
    SafetensorsFile state = SafetensorsFile.open(dir.resolve("second.state"));
    for (String name : before.shapes().keySet()) {
      boolean ofDecoder = name.startsWith("decoder.") || name.startsWith("post_quant_conv.");
      assertEquals(!ofDecoder, before.read(name).equals(state.read("ws/" + name)), name);
      assertTrue(ofDecoder || before.read(name).equals(after.read(name)), name);
    }
    for (float moment : state.read("v/encoder.conv_in.weight").values()) {
      assertEquals(0, moment);
    }
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () ->
                AutoencoderTraining.run(
                    TINY, alone, pictures(), lap("third.state", dir.resolve("third"), null)));
    assertTrue(e.getMessage().contains("needs an encoder"), e.getMessage());
  }

  @Test
  void aDecoderAloneLearnsFromNoisyLatents() {
    AutoencoderTraining.Options given = options();
    NoiseSource random = new NoiseSource(4);
    PatchSampler sampler = new PatchSampler(pictures(), given.patch(), random);
    for (double noise : new double[] {0, 0.5}) {
      AutoencoderTraining.Options alone = decoderAlone(given, noise);
      Script script = AutoencoderTraining.script(TINY, alone, CompileOptions.REFERENCE);
      try (Trainer trainer = new Trainer(script, dir.resolve("noise-" + noise), random)) {
        NDArray[] inputs = AutoencoderTraining.batch(TINY, alone, sampler, random, trainer);
        double[] deviations = new double[given.batch()];
        for (int i = 0; i < deviations.length; i++) {
          deviations[i] = inputs[1].get(i).square().mean().sqrt().getFloat();
          assertTrue(deviations[i] <= 1.2 * noise, "no more than asked for");
        }
        double spread = Arrays.stream(deviations).max().getAsDouble();
        spread -= Arrays.stream(deviations).min().getAsDouble();
        assertEquals(noise > 0, spread > 0.05, "each picture's own level");
        float with = trainer.step(0, inputs)[1];
        inputs[1] = inputs[1].mul(0);
        float without = trainer.step(0, inputs)[1];
        assertEquals(noise > 0, Math.abs(with - without) > 1e-4, "and the decoder sees it");
      }
    }
    assertTrue(
        assertThrows(
                PriorArtException.class,
                () ->
                    new AutoencoderTraining.Options(
                        16, 4, 1e-3, given.objective(), false, 0.1, Duration.ZERO, 1))
            .getMessage()
            .contains("latent-noise"));
  }

  private static AutoencoderTraining.Options decoderAlone(
      AutoencoderTraining.Options given, double latentNoise) {
    return new AutoencoderTraining.Options(
        given.patch(),
        given.batch(),
        given.learningRate(),
        given.objective(),
        true,
        latentNoise,
        given.duration(),
        given.seed());
  }
}
