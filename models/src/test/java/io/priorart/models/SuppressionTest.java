package io.priorart.models;

import static io.priorart.models.Fixtures.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
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
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import io.priorart.solver.Prompt;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Words taken out of a prompt: weights by closed form, attention and its loss against diffusers.
 */
class SuppressionTest {
  private static DiffusionPipeline open(String name) {
    return (DiffusionPipeline)
        ModelFamilies.load(Fixtures.HOME.resolve(name), CompileOptions.REFERENCE);
  }

  /** Rows at right angles are their own singular vectors, their lengths the values. */
  @Test
  void rowsAtRightAnglesAreWeightedByTheirLengths() {
    float[][] rows = {{0, 3, 0, 0}, {2, 0, 0, 0}, {0, 0, 0.3f, 0.4f}};
    float[][] weighted = SoftWeighting.apply(rows);
    double[] lengths = {3, 2, 0.5};
    for (int i = 0; i < 3; i++) {
      for (int j = 0; j < 4; j++) {
        assertEquals(rows[i][j] * Math.exp(-lengths[i]), weighted[i][j], 1e-6);
      }
    }
  }

  @Test
  void attentionAndLossAreDiffusers() {
    SafetensorsFile io =
        SafetensorsFile.open(Fixtures.HOME.resolve("attention").resolve("io.safetensors"));
    try (DiffusionPipeline pipeline = open("sd-odd-channels");
        NDManager manager = pipeline.manager().newSubManager()) {
      NDArray z = io.read("sample").to(manager);
      NDArray rates = manager.create(new float[] {1, 0, 0, 1});
      NDArray timestep = io.read("timestep").to(manager);
      NDArray[] maps =
          pipeline.attention().call("maps", z, rates, timestep, io.read("context").to(manager));
      assertClose(io, "to_text", HostTensor.of(maps[0]), 1e-4);
      assertClose(io, "to_itself", HostTensor.of(maps[1]), 1e-4);
      try (Linearization loss =
          pipeline
              .attention()
              .linearize(
                  "loss",
                  pipeline.contextIndex(),
                  z,
                  rates,
                  timestep,
                  io.read("other").to(manager),
                  maps[0],
                  maps[1],
                  io.read("retain").to(manager),
                  io.read("suppress").to(manager))) {
        assertClose(io, "loss", HostTensor.of(loss.value().reshape(1)), 1e-3);
        assertClose(io, "gradient", HostTensor.of(loss.pullback(loss.value().onesLike())), 1e-3);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "a photo of a cat, cat, a photo of a cat",
    "a photo, cat, a photo without cat",
    "'', 'cat, tree', without cat without tree",
    "the tree, 'the tree', the tree"
  })
  void promptsNameWhatIsSuppressed(String prompt, String words, String named) {
    try (DiffusionPipeline pipeline = open("sd-two-level");
        NDManager manager = pipeline.manager().newSubManager()) {
      Conditioning with = pipeline.condition(manager, new Prompt(prompt, "", 1, words, 0));
      Conditioning plain = pipeline.condition(manager, new Prompt(named, "", 1));
      assertNull(plain.suppression());
      assertEquals(HostTensor.of(plain.positive()), HostTensor.of(with.positive()));
    }
  }

  @Test
  void onlySuppressedAndEndTokensAreWeighted() {
    try (DiffusionPipeline pipeline = open("sd-two-level");
        NDManager manager = pipeline.manager().newSubManager()) {
      Conditioning c =
          pipeline.condition(manager, new Prompt("a cat of the tree", "", 1, "cat", 4));
      // start, a, cat, of, the, tree, end: every word is one token of the fixture's vocabulary
      assertArrayEquals(
          new float[] {0, 1, 0, 1, 1, 1, 0},
          Arrays.copyOf(c.suppression().retain().toFloatArray(), 7));
      float[] suppress = c.suppression().suppress().toFloatArray();
      assertEquals(1, suppress[2]);
      assertEquals(4, c.suppression().iterations());
      HostTensor before = HostTensor.of(c.positive());
      HostTensor after = HostTensor.of(c.suppression().embedding());
      int width = (int) before.shape().get(2);
      for (int i = 0; i < before.shape().get(1); i++) {
        float[] a = Arrays.copyOfRange(before.values(), i * width, (i + 1) * width);
        float[] b = Arrays.copyOfRange(after.values(), i * width, (i + 1) * width);
        boolean kept = i == 0 || c.suppression().retain().toFloatArray()[i] == 1;
        assertEquals(kept, Arrays.equals(a, b), "token " + i);
      }
    }
  }

  /** The noisiest fifth sees the prompt itself, the next is optimised, the rest is weighted. */
  @Test
  void whatIsSeenDependsOnTheTimestep() {
    try (DiffusionPipeline pipeline = open("sd-two-level");
        NDManager manager = pipeline.manager().newSubManager()) {
      LatentDiffusionModel model = pipeline.bind(16, 16);
      Conditioning plain = model.condition(manager, new Prompt("a cat", "the tree", 2));
      Conditioning weighted =
          model.condition(manager, new Prompt("a cat", "the tree", 2, "cat", 0));
      Conditioning optimised =
          model.condition(manager, new Prompt("a cat", "the tree", 2, "cat", 3));
      Conditioning replaced =
          new Conditioning(weighted.suppression().embedding(), plain.negative(), 2);
      NDArray z = new NoiseSource(3).normal(manager, new Shape(2, 4, 8, 8)).mul(2);
      for (int timestep : new int[] {900, 700, 300}) {
        double sigma = model.schedule().sigma(timestep);
        HostTensor byWeights = HostTensor.of(model.denoise(z, sigma, weighted));
        assertEquals(
            HostTensor.of(model.denoise(z, sigma, timestep > 800 ? plain : replaced)), byWeights);
        long before = model.counts().denoise();
        HostTensor byBoth = HostTensor.of(model.denoise(z, sigma, optimised));
        long evaluations = model.counts().denoise() - before;
        if (timestep == 700) {
          assertNotEquals(byWeights, byBoth);
          assertEquals(2 + 1 + 3, evaluations);
          assertEquals(3, model.counts().denoisePullback());
        } else {
          assertEquals(byWeights, byBoth);
          assertEquals(2, evaluations);
        }
      }
    }
  }

  @Test
  void whatCannotBeSuppressedIsSaid() {
    try (DiffusionPipeline pipeline = open("sd3");
        NDManager manager = pipeline.manager().newSubManager()) {
      Prompt cat = new Prompt("a cat", "", 1, "cat", 0);
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> pipeline.condition(manager, cat));
      assertTrue(e.getMessage().contains("negative prompt"), e.getMessage());
    }
    try (DiffusionPipeline pipeline = open("sd-two-level");
        NDManager manager = pipeline.manager().newSubManager()) {
      Prompt cut = new Prompt("tree ".repeat(40), "", 1, "cat", 0);
      PriorArtException e =
          assertThrows(PriorArtException.class, () -> pipeline.condition(manager, cut));
      assertTrue(e.getMessage().contains("shorten"), e.getMessage());
      Prompt many = new Prompt("a cat", "", 1, "cat", 101);
      e = assertThrows(PriorArtException.class, () -> pipeline.condition(manager, many));
      assertTrue(e.getMessage().contains("suppress-iterations"), e.getMessage());
    }
  }
}
