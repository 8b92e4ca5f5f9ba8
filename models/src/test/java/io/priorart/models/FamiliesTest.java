package io.priorart.models;

import static io.priorart.models.Fixtures.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.solver.Conditioning;
import io.priorart.solver.HostTensor;
import io.priorart.solver.LatentDiffusionModel;
import io.priorart.solver.Linearization;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the families with a U-Net add to Stable Diffusion 1, as a solver sees them, against
 * diffusers' pipelines (testdata/fixtures/make_families.py) and against their own networks.
 */
class FamiliesTest {
  private static DiffusionPipeline open(String name) {
    return (DiffusionPipeline)
        ModelFamilies.load(Fixtures.HOME.resolve(name), CompileOptions.REFERENCE);
  }

  private static SafetensorsFile io(String name) {
    return SafetensorsFile.open(Fixtures.HOME.resolve(name).resolve("io.safetensors"));
  }

  @ParameterizedTest
  @CsvSource({"prompt, the tree", "empty, ''"})
  void promptsAreEmbeddedAsThePipelineEmbedsThem(String key, String negative) {
    SafetensorsFile io = io("sdxl");
    try (DiffusionPipeline pipeline = open("sdxl");
        NDManager manager = pipeline.manager().newSubManager()) {
      Conditioning c = pipeline.condition(manager, new Prompt("a photo of a cat", negative, 3));
      assertClose(io, key + "/positive", HostTensor.of(c.positive()), 1e-4);
      assertClose(io, key + "/positive_pooled", HostTensor.of(c.positivePooled()), 1e-4);
      if (key.equals("empty")) {
        // all zeros there, so that no relative error could be told
        assertEquals(io.read("empty/negative"), HostTensor.of(c.negative()));
        assertEquals(io.read("empty/negative_pooled"), HostTensor.of(c.negativePooled()));
      } else {
        assertClose(io, key + "/negative", HostTensor.of(c.negative()), 1e-4);
        assertClose(io, key + "/negative_pooled", HostTensor.of(c.negativePooled()), 1e-4);
      }
    }
  }

  /** Five guided DDIM steps in the solver's form end where diffusers' pipeline ends. */
  @Test
  void samplesOfXlAreThePipelines() {
    SafetensorsFile io = io("sdxl");
    try (DiffusionPipeline pipeline = open("sdxl");
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning c = model.condition(manager, new Prompt("a photo of a cat", "the tree", 3));
      double[] sigma = new double[6];
      for (int i = 0; i < 5; i++) {
        sigma[i] = model.schedule().sigma(999 - 200 * i);
      }
      NDArray z = io.read("sample/noise").to(manager).mul(Math.sqrt(1 + sigma[0] * sigma[0]));
      for (int i = 0; i < 5; i++) {
        NDArray clean = model.denoise(z, sigma[i], c);
        z = clean.add(z.sub(clean).mul(sigma[i + 1] / sigma[i]));
      }
      // diffusers' last step goes to the first timestep's alphaBar or to 1: set_alpha_to_one says 1
      assertClose(io, "sample/latents", HostTensor.of(z), 1e-3);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sd3", "sd35"})
  void promptsOf3AreEmbeddedAsThePipelineEmbedsThem(String name) {
    SafetensorsFile io = io(name);
    try (DiffusionPipeline pipeline = open(name);
        NDManager manager = pipeline.manager().newSubManager()) {
      Conditioning c = pipeline.condition(manager, new Prompt("a photo of a cat", "the tree", 3));
      assertClose(io, "prompt/positive", HostTensor.of(c.positive()), 1e-4);
      assertClose(io, "prompt/positive_pooled", HostTensor.of(c.positivePooled()), 1e-4);
      assertClose(io, "prompt/negative_pooled", HostTensor.of(c.negativePooled()), 1e-4);
      assertEquals(c.positive().getShape(), c.negative().getShape());
    }
  }

  /** Five guided Euler steps in the solver's form end where diffusers' pipeline ends. */
  @ParameterizedTest
  @ValueSource(strings = {"sd3", "sd35"})
  void samplesOf3AreThePipelines(String name) {
    SafetensorsFile io = io(name);
    try (DiffusionPipeline pipeline = open(name);
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning c = model.condition(manager, new Prompt("a photo of a cat", "the tree", 3));
      // shares of noise that diffusers' scheduler gives for five steps at shift 3, from one on
      double[] share = new double[6];
      for (int i = 0; i < 5; i++) {
        double plain = 1 - i * (1 - shifted(0.001)) / 4;
        share[i] = shifted(plain);
      }
      NDArray x = io.read("sample/noise").to(manager);
      for (int i = 0; i < 5; i++) {
        // x = (1 - share) z0 + share eps; the first is all noise, which has no level of its own
        double at = Math.min(share[i], 1 - 1e-6);
        NDArray clean = model.denoise(x.div(1 - at), at / (1 - at), c);
        NDArray velocity = x.sub(clean).div(at);
        x = x.add(velocity.mul(share[i + 1] - share[i]));
      }
      assertClose(io, "sample/latents", HostTensor.of(x), 1e-3);
    }
  }

  private static double shifted(double share) {
    return 3 * share / (1 + 2 * share);
  }

  @Test
  void picturesLargerThanThePositionsAreRefused() {
    try (DiffusionPipeline pipeline = open("sd3")) {
      // 7 patches of 2 latents of 2 pixels
      assertEquals(28, pipeline.bind(28, 13).imageShape().get(1));
      PriorArtException e = assertThrows(PriorArtException.class, () -> pipeline.bind(13, 29));
      assertTrue(e.getMessage().contains("28 pixels"), e.getMessage());
    }
  }

  @Test
  void promptsOf3AreCutByT5WhereThereIsOne() {
    String longer = "tree ".repeat(40);
    try (DiffusionPipeline with = open("sd3");
        DiffusionPipeline without = open("sd35")) {
      assertFalse(with.truncates(longer));
      assertTrue(with.truncates("tree ".repeat(400)));
      assertTrue(without.truncates(longer));
    }
  }

  /** What a bound model's {@code denoise} gives, by the U-Net's own output. */
  private static HostTensor expected(
      DiffusionPipeline pipeline, HostTensor z, double sigma, Map<String, HostTensor> inputs) {
    PredictionType prediction = pipeline.prediction();
    HostTensor output = pipeline.trace("unet", inputs);
    float[] clean = new float[z.values().length];
    for (int i = 0; i < clean.length; i++) {
      clean[i] =
          (float)
              (prediction.skip(sigma) * z.values()[i] + prediction.out(sigma) * output.values()[i]);
    }
    return new HostTensor(z.shape(), clean);
  }

  private static HostTensor scaled(HostTensor z, double factor) {
    float[] values = z.values().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] *= (float) factor;
    }
    return new HostTensor(z.shape(), values);
  }

  private static void assertNear(HostTensor expected, HostTensor actual) {
    assertEquals(expected.shape(), actual.shape());
    for (int i = 0; i < expected.values().length; i++) {
      float e = expected.values()[i];
      assertEquals(e, actual.values()[i], 1e-4 * Math.max(1, Math.abs(e)), "element " + i);
    }
  }

  @Test
  void anInpaintingVariantIsShownThatAllIsMissing() {
    HostTensor z = scaled(new HostTensor(new Shape(1, 4, 8, 8), ramp(256)), 2);
    double sigma = 1.5;
    try (DiffusionPipeline pipeline = open("inpainting");
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning c = model.condition(manager, new Prompt("a photo of a cat", "", 1));
      NDArray grey = model.encode(manager.zeros(new Shape(1, 3, 16, 16)));
      NDArray scaled = z.to(manager).mul(pipeline.prediction().inputScale(sigma));
      NDArray sample = scaled.concat(manager.ones(new Shape(1, 1, 8, 8)), 1).concat(grey, 1);
      Map<String, HostTensor> inputs = new LinkedHashMap<>();
      inputs.put("sample", HostTensor.of(sample));
      inputs.put("timestep", timestep(pipeline, sigma));
      inputs.put("encoder_hidden_states", HostTensor.of(c.positive()));
      assertNear(
          expected(pipeline, z, sigma, inputs),
          HostTensor.of(model.denoise(z.to(manager), sigma, c)));
    }
  }

  private static HostTensor timestep(DiffusionPipeline pipeline, double sigma) {
    return new HostTensor(
        new Shape(1),
        new float[] {(float) pipeline.prediction().timestep(pipeline.schedule(), sigma)});
  }

  private static float[] ramp(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) Math.sin(0.37 * i);
    }
    return values;
  }

  @ParameterizedTest
  @ValueSource(doubles = {1, 4.5})
  void aDistilledGuidanceScaleIsAnInput(double scale) {
    HostTensor z = new HostTensor(new Shape(1, 4, 8, 8), ramp(256));
    double sigma = 2;
    try (DiffusionPipeline pipeline = open("lcm");
        NDManager manager = pipeline.manager().newSubManager()) {
      assertTrue(pipeline.traits().fewStep());
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning c = model.condition(manager, new Prompt("the tree", "a cat", scale));
      assertNull(c.negative());
      assertFalse(c.guided());
      Map<String, HostTensor> inputs = new LinkedHashMap<>();
      inputs.put("sample", scaled(z, pipeline.prediction().inputScale(sigma)));
      inputs.put("timestep", timestep(pipeline, sigma));
      inputs.put("encoder_hidden_states", HostTensor.of(c.positive()));
      inputs.put("timestep_cond", io("lcm").read("guidance/" + scale));
      assertNear(
          expected(pipeline, z, sigma, inputs),
          HostTensor.of(model.denoise(z.to(manager), sigma, c)));
      assertEquals(1, model.counts().denoise());
    }
  }

  /**
   * The derivative in the text, along a direction, is that of two evaluations near each other; the
   * embeddings are each sample's own.
   */
  @ParameterizedTest
  @ValueSource(
      strings = {"sd-two-level", "sd-odd-channels", "inpainting", "lcm", "sdxl", "sd3", "sd35"})
  void textPullsBackToItsEmbedding(String name) {
    double sigma = 1.5;
    double h = 2e-2;
    try (DiffusionPipeline pipeline = open(name);
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning cat = model.condition(manager, new Prompt("a photo of a cat", "", 1));
      Conditioning tree = model.condition(manager, new Prompt("the tree", "", 1));
      Shape latents = new Shape(2).addAll(model.latentShape());
      NDArray z = manager.create(ramp((int) latents.size()), latents);
      NDArray text = cat.positive().concat(tree.positive(), 0);
      NDArray direction = manager.create(ramp((int) text.size()), text.getShape()).flip(0);
      NDArray cotangent = z.flip(3).add(0.1);
      long before = model.counts().denoisePullback();
      try (Linearization at = model.denoiseAtText(z, sigma, cat.withPositive(text))) {
        assertNear(
            HostTensor.of(model.denoise(z, sigma, cat.withPositive(text))),
            HostTensor.of(at.value()));
        NDArray gradient = at.pullback(cotangent);
        assertEquals(text.getShape(), gradient.getShape());
        assertEquals(before + 1, model.counts().denoisePullback());
        for (int k = 0; k < 2; k++) {
          String sample = k + ":" + (k + 1);
          NDArray one = z.get(sample);
          NDArray on = text.get(sample);
          NDArray step = direction.get(sample).mul(h);
          NDArray difference =
              model
                  .denoise(one, sigma, cat.withPositive(on.add(step)))
                  .sub(model.denoise(one, sigma, cat.withPositive(on.sub(step))))
                  .div(2 * h);
          double expected = dot(difference, cotangent.get(sample));
          double scale = Math.sqrt(dot(difference, difference) * dot(one, one));
          assertTrue(scale > 1e-6, "the text is of effect");
          assertEquals(
              expected, dot(gradient.get(sample), direction.get(sample)), 0.01 * scale, name + k);
        }
      }
    }
  }

  private static double dot(NDArray a, NDArray b) {
    float[] x = a.toFloatArray();
    float[] y = b.toFloatArray();
    double sum = 0;
    for (int i = 0; i < x.length; i++) {
      sum += (double) x[i] * y[i];
    }
    return sum;
  }

  @Test
  void textThatIsGuidedOrSuppressedHasNoGradient() {
    try (DiffusionPipeline pipeline = open("sd-two-level");
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      NDArray z = manager.zeros(new Shape(1).addAll(model.latentShape()));
      Conditioning guided = model.condition(manager, new Prompt("a cat", "", 3));
      assertThrows(IllegalArgumentException.class, () -> model.denoiseAtText(z, 1, guided));
      Conditioning suppressed = model.condition(manager, new Prompt("a cat", "", 1, "cat", 1));
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> model.denoiseAtText(z, 1, suppressed));
      assertTrue(e.getMessage().startsWith("suppress"), e.getMessage());
      assertEquals(0, model.counts().total());
    }
  }

  @Test
  void guidanceOfXlIsTheFormulaOverTwoBranches() {
    HostTensor z = new HostTensor(new Shape(2, 4, 8, 8), ramp(512));
    try (DiffusionPipeline pipeline = open("sdxl");
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(15, 13);
      Conditioning c = model.condition(manager, new Prompt("a photo of a cat", "the tree", 2.5));
      NDArray x = z.to(manager);
      NDArray positive =
          model.denoise(x, 3, new Conditioning(c.positive(), null, 1, c.positivePooled(), null));
      NDArray negative =
          model.denoise(x, 3, new Conditioning(c.negative(), null, 1, c.negativePooled(), null));
      NDArray expected = negative.add(positive.sub(negative).mul(2.5));
      assertNear(HostTensor.of(expected), HostTensor.of(model.denoise(x, 3, c)));
    }
  }

  @Test
  void unknownInputsAndPartsAreNamed() {
    try (DiffusionPipeline pipeline = open("sdxl")) {
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> pipeline.trace("text_encoder_3", Map.of()));
      assertTrue(e.getMessage().contains("text_encoder_2"), e.getMessage());
      Map<String, HostTensor> inputs = new LinkedHashMap<>();
      SafetensorsFile io = io("sdxl");
      for (String name : new String[] {"sample", "timestep", "encoder_hidden_states"}) {
        inputs.put(name, io.read("unet/" + name));
      }
      e = assertThrows(PriorArtException.class, () -> pipeline.trace("unet", inputs));
      assertTrue(e.getMessage().contains("text_embeds"), e.getMessage());
    }
  }
}
