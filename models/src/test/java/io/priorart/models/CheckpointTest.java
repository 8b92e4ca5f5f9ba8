package io.priorart.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.models.engine.CompileOptions;
import io.priorart.models.weights.OriginalFile;
import io.priorart.models.weights.SafetensorsFile;
import io.priorart.models.weights.SafetensorsWriter;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.NoiseSource;
import io.priorart.solver.PriorArtException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The files that a checkpoint may consist of, and those it may not. */
class CheckpointTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String STEM = "diffusion_pytorch_model";

  @TempDir private Path dir;
  private Path folder;
  private Path unet;

  @BeforeEach
  void copy() throws IOException {
    folder = dir.resolve("model");
    unet = folder.resolve("unet");
    Path original = Fixtures.HOME.resolve("sd-two-level");
    try (Stream<Path> files = Files.walk(original)) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(original.relativize(file).toString()));
      }
    }
  }

  private static HostTensor unetOutput(ModelSource source) {
    SafetensorsFile io = SafetensorsFile.open(Fixtures.HOME.resolve("sd-two-level/io.safetensors"));
    Map<String, HostTensor> inputs = new LinkedHashMap<>();
    for (String name : new String[] {"sample", "timestep", "encoder_hidden_states"}) {
      inputs.put(name, io.read("unet/" + name));
    }
    try (Prior prior = ModelFamilies.load(source, CompileOptions.REFERENCE)) {
      return prior.trace("unet", inputs);
    }
  }

  private static PriorArtException refused(ModelSource source, String... reasons) {
    PriorArtException e =
        assertThrows(
            PriorArtException.class,
            () -> ModelFamilies.load(source, CompileOptions.REFERENCE).close());
    for (String reason : reasons) {
      assertTrue(e.getMessage().contains(reason), e.getMessage());
    }
    return e;
  }

  private ModelSource model() {
    return ModelSource.of(folder);
  }

  /** Splits the U-Net's weights into two files. */
  private ObjectNode shard(String kind) throws IOException {
    Path whole = unet.resolve(STEM + ".safetensors");
    SafetensorsFile file = SafetensorsFile.open(whole);
    ObjectNode index = JSON.createObjectNode();
    ObjectNode map = index.putObject("weight_map");
    List<Map<String, HostTensor>> shards = List.of(new LinkedHashMap<>(), new LinkedHashMap<>());
    for (String name : file.shapes().keySet()) {
      int shard = map.size() % 2;
      shards.get(shard).put(name, file.read(name));
      map.put(name, shardName(shard, kind));
    }
    for (int i = 0; i < 2; i++) {
      SafetensorsWriter.write(unet.resolve(shardName(i, kind)), shards.get(i), Map.of(), false);
    }
    Files.delete(whole);
    writeIndex(index, kind);
    return index;
  }

  private static String shardName(int i, String kind) {
    return STEM + kind + "-0000" + (i + 1) + "-of-00002.safetensors";
  }

  private void writeIndex(ObjectNode index, String kind) throws IOException {
    JSON.writeValue(unet.resolve(STEM + ".safetensors.index" + kind + ".json").toFile(), index);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", ".fp16"})
  void shardsAreOneSetOfWeights(String kind) throws IOException {
    HostTensor expected = unetOutput(model());
    shard(kind);
    String variant = kind.isEmpty() ? null : kind.substring(1);
    assertEquals(expected, unetOutput(new ModelSource(folder, variant, null, List.of())));
  }

  @Test
  void anIndexThatDoesNotAgreeIsRefused() throws IOException {
    ObjectNode index = shard("");
    ObjectNode map = (ObjectNode) index.path("weight_map");
    String tensor = map.fieldNames().next();
    String shard = map.path(tensor).textValue();
    for (String outside : new String[] {"../" + shard, "/etc/x.safetensors", "a\\b.safetensors"}) {
      map.put(tensor, outside);
      writeIndex(index, "");
      refused(model(), "no file beside it");
    }
    map.put(tensor, "none.safetensors");
    writeIndex(index, "");
    assertEquals(ErrorKind.NOT_FOUND, refused(model(), "none.safetensors").kind());
    map.remove(tensor);
    map.put("strange.weight", shard);
    writeIndex(index, "");
    refused(model(), "lacks strange.weight", "also holds " + tensor);
    writeIndex(JSON.createObjectNode(), "");
    refused(model(), "weight_map");
  }

  @Test
  void aVariantIsTakenWhereAPartHasIt() throws IOException {
    HostTensor expected = unetOutput(model());
    Path plain = unet.resolve(STEM + ".safetensors");
    Files.move(plain, unet.resolve(STEM + ".fp16.safetensors"));
    assertEquals(expected, unetOutput(new ModelSource(folder, "fp16", null, List.of())));
    refused(model(), "variant fp16");
    assertThrows(PriorArtException.class, () -> new ModelSource(folder, "../x", null, List.of()));
  }

  /**
   * Another variant beside it, or a whole checkpoint in one file, does not change what a model is.
   */
  @Test
  void theHashIsOfWhatIsRead() throws IOException {
    Path plain = unet.resolve(STEM + ".safetensors");
    String before = Checkpoint.open(model()).hash();
    ModelSource half = new ModelSource(folder, "fp16", null, List.of());
    assertEquals(before, Checkpoint.open(half).hash());
    Files.write(unet.resolve(STEM + ".fp16.safetensors"), new byte[] {1, 2, 3});
    Files.write(folder.resolve("all-in-one.safetensors"), new byte[] {1, 2, 3});
    assertEquals(before, Checkpoint.open(model()).hash());
    String ofHalf = Checkpoint.open(half).hash();
    assertNotEquals(before, ofHalf);
    Files.write(plain, new byte[] {4});
    assertEquals(ofHalf, Checkpoint.open(half).hash());
    assertNotEquals(before, Checkpoint.open(model()).hash());
  }

  @Test
  void pickledFilesAreRefusedWithTheWayOut() throws IOException {
    Files.move(unet.resolve(STEM + ".safetensors"), unet.resolve(STEM + ".bin"));
    refused(model(), "diffusion_pytorch_model.bin", "pickled", ".safetensors");
    Path file = Files.writeString(dir.resolve("model.ckpt"), "x");
    refused(ModelSource.of(file), "model.ckpt", "pickled");
    refused(new ModelSource(folder, null, file, List.of()), "pickled");
  }

  @Test
  void linksMayNotLeaveTheFolder() throws IOException {
    Path outside = dir.resolve("weights.safetensors");
    Path weights = unet.resolve(STEM + ".safetensors");
    Files.move(weights, outside);
    Files.createSymbolicLink(weights, outside);
    refused(model(), "link");
    Files.delete(weights);
    Path inside = folder.resolve("w.safetensors");
    Files.move(outside, inside);
    Files.createSymbolicLink(weights, inside);
    unetOutput(model());
    Path vocabulary = folder.resolve("tokenizer/vocab.json");
    Files.move(vocabulary, dir.resolve("vocab.json"));
    Files.createSymbolicLink(vocabulary, dir.resolve("vocab.json"));
    refused(model(), "vocab.json", "link");
  }

  /** {@code snapshots/REVISION} with links to {@code blobs}. */
  @Test
  void huggingFacesCacheOpens() throws IOException {
    HostTensor expected = unetOutput(model());
    Path cache = Files.createDirectories(dir.resolve("models--a--b"));
    Path blobs = Files.createDirectories(cache.resolve("blobs"));
    Path snapshot = cache.resolve("snapshots/0123abcd");
    try (Stream<Path> files = Files.walk(folder)) {
      int n = 0;
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path link = snapshot.resolve(folder.relativize(file).toString());
        Files.createDirectories(link.getParent());
        Path blob = blobs.resolve("blob" + n++);
        Files.move(file, blob);
        Files.createSymbolicLink(link, link.getParent().relativize(blob));
      }
    }
    assertEquals(expected, unetOutput(ModelSource.of(snapshot)));
    assertEquals(64, Checkpoint.open(ModelSource.of(snapshot)).hash().length());
  }

  @Test
  void complaintsAreAllListedUpToFifty() throws IOException {
    Path weights = unet.resolve(STEM + ".safetensors");
    SafetensorsFile file = SafetensorsFile.open(weights);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    String last = null;
    for (String name : file.shapes().keySet()) {
      tensors.put(name, file.read(name));
      last = name;
    }
    HostTensor removed = tensors.remove(last);
    tensors.put("strange", removed);
    tensors.put("conv_in.bias", new HostTensor(new Shape(1), new float[1]));
    SafetensorsWriter.write(weights, tensors, Map.of(), false);
    refused(model(), "missing " + last, "unknown strange", "conv_in.bias is (1)");
    for (int i = 0; i < 60; i++) {
      tensors.put("strange" + i, new HostTensor(new Shape(1), new float[1]));
    }
    SafetensorsWriter.write(weights, tensors, Map.of(), false);
    refused(model(), "; and 13 more");
  }

  // ---- changes

  @Test
  void anotherAutoencoderIsTaken() throws IOException {
    Path vae = Fixtures.HOME.resolve("sd-two-level/vae");
    ModelSource with = new ModelSource(folder, null, vae, List.of());
    assertNotEquals(Checkpoint.open(model()).hash(), Checkpoint.open(with).hash());
    JSON.writeValue(
        folder.resolve("vae/config.json").toFile(), JSON.createObjectNode().put("bad", 1));
    try (Prior prior = ModelFamilies.load(with, CompileOptions.REFERENCE)) {
      assertTrue(
          ModelVerification.run(prior, 32).stream().allMatch(ModelVerification.Check::passed));
      assertEquals("model vae vae", prior.name());
    }
    refused(
        new ModelSource(folder, null, Fixtures.HOME.resolve("tiny-autoencoder"), List.of()),
        "channels");
  }

  @Test
  void lorasAreMerged() {
    Path lora = dir.resolve("style.safetensors");
    String query = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    Shape shape =
        SafetensorsFile.open(unet.resolve(STEM + ".safetensors"))
            .shapes()
            .get(query.substring(5) + ".weight");
    NoiseSource noise = new NoiseSource(1);
    SafetensorsWriter.write(
        lora,
        Map.of(
            query + ".lora_A.weight", noise.normal(new Shape(2, shape.get(1))),
            query + ".lora_B.weight", noise.normal(new Shape(shape.get(0), 2))),
        Map.of(),
        false);
    HostTensor plain = unetOutput(model());
    assertEquals(plain, unetOutput(changed(lora, 0)));
    HostTensor once = unetOutput(changed(lora, 1));
    assertNotEquals(plain, once);
    ModelSource halves =
        new ModelSource(
            folder,
            null,
            null,
            List.of(ModelSource.Lora.parse(lora + ":0.5"), ModelSource.Lora.parse(lora + ":0.5")));
    assertTrue(Fixtures.relativeError(once, unetOutput(halves)) < 1e-5);
    assertNotEquals(
        Checkpoint.open(changed(lora, 1)).hash(), Checkpoint.open(changed(lora, 0.5)).hash());
    Path other = dir.resolve("other.safetensors");
    SafetensorsWriter.write(
        other,
        Map.of(
            "lora_te2_x.lora_down.weight", noise.normal(new Shape(2, 2)),
            "lora_te2_x.lora_up.weight", noise.normal(new Shape(2, 2))),
        Map.of(),
        false);
    refused(changed(other, 1), "text_encoder_2");
  }

  private ModelSource changed(Path lora, double scale) {
    return new ModelSource(folder, null, null, List.of(new ModelSource.Lora(lora, scale)));
  }

  @ParameterizedTest
  @CsvSource({"a.safetensors, 1", "a.safetensors:0.25, 0.25", "c:b.safetensors:-1, -1"})
  void loraOptionsAreParsed(String text, double scale) {
    assertEquals(scale, ModelSource.Lora.parse(text).scale());
  }

  @ParameterizedTest
  @ValueSource(strings = {"a.safetensors:x", "a.safetensors:11", "a.safetensors:NaN"})
  void otherLoraScalesAreRefused(String text) {
    assertThrows(PriorArtException.class, () -> ModelSource.Lora.parse(text));
  }

  // ---- one file

  /**
   * The full-size file's tensors with the widths of U-Net and auto-encoder a tenth, and one layer
   * of text.
   */
  private Path single() throws IOException {
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    NoiseSource noise = new NoiseSource(3);
    for (Map.Entry<String, Shape> tensor :
        OriginalFile.shapes(OriginalFile.fixture("sd-1").path("file")).entrySet()) {
      String name = tensor.getKey();
      if (name.matches(".*encoder\\.layers\\.(\\d\\d|[1-9])\\..*")) {
        continue;
      }
      boolean text = name.startsWith("cond_stage_model.");
      long[] dims = tensor.getValue().getShape().clone();
      for (int i = 0; i < dims.length; i++) {
        dims[i] = shrunk(dims[i], text, name);
      }
      tensors.put(name, small(noise, new Shape(dims)));
    }
    Path file = dir.resolve("single.safetensors");
    SafetensorsWriter.write(file, tensors, Map.of("modelspec.license", "CreativeML"), true);
    return file;
  }

  private static long shrunk(long size, boolean text, String name) {
    if (text || size < 64 || size == 768 || size == 49408) {
      return size;
    }
    return name.startsWith("first_stage_model.") ? size / 4 : size / 10;
  }

  private static HostTensor small(NoiseSource noise, Shape shape) {
    if (shape.size() > 10_000_000) {
      return new HostTensor(shape, new float[(int) shape.size()]);
    }
    HostTensor drawn = noise.normal(shape);
    for (int i = 0; i < drawn.values().length; i++) {
      drawn.values()[i] *= 0.02f;
    }
    return drawn;
  }

  @Test
  void oneFileOpens() throws IOException {
    Path file = single();
    ModelInspection found = ModelInspection.of(ModelSource.of(file));
    assertEquals("StableDiffusionPipeline", found.family());
    assertEquals("CreativeML", found.license());
    assertEquals(
        List.of("unet", "vae", "text_encoder"),
        found.parts().stream().map(ModelInspection.Part::name).toList());
    assertEquals(2 * found.parameters(), found.bytes());
    try (Prior prior = ModelFamilies.load(file, CompileOptions.REFERENCE)) {
      assertEquals(found.parameters(), prior.parameters() + notParameters(file));
      List<ModelVerification.Check> checks = ModelVerification.run(prior, 64);
      assertEquals(6, checks.size());
      assertTrue(checks.stream().allMatch(ModelVerification.Check::passed), checks.toString());
      assertTrue(prior.truncates("word ".repeat(80)));
    }
    ModelSource vae = new ModelSource(folder, null, file, List.of());
    try (Prior prior = ModelFamilies.load(vae, CompileOptions.REFERENCE)) {
      assertEquals("model vae single", prior.name());
    }
    Path noVae = unet.resolve(STEM + ".safetensors");
    refused(new ModelSource(folder, null, noVae, List.of()), "no auto-encoder", "conv_in.weight");
  }

  /** Positions that old exporters keep beside the weights. */
  private static long notParameters(Path file) {
    return SafetensorsFile.open(file).shapes().entrySet().stream()
        .filter(e -> e.getKey().endsWith("position_ids"))
        .mapToLong(e -> e.getValue().size())
        .sum();
  }

  /** A few-step folder beside its base: a LoRA of the base's U-Net, a scheduler of its own. */
  private Path derived(String base) throws IOException {
    Path few = Files.createDirectories(dir.resolve("few"));
    Files.createDirectories(few.resolve("scheduler"));
    Files.writeString(
        few.resolve("model_index.json"),
        "{\"_class_name\": \"StableDiffusionPipeline\", \"_base\": \""
            + base
            + "\", \"_lora\": \"pytorch_lora_weights.safetensors\"}");
    Path config = Path.of("scheduler", "scheduler_config.json");
    String scheduler = Files.readString(folder.resolve(config));
    Files.writeString(few.resolve(config), scheduler.replace("DDIMScheduler", "LCMScheduler"));
    return few;
  }

  @Test
  void aDerivedFolderIsItsBaseWithALora() throws IOException {
    Path changed = dir.resolve("changed");
    Files.move(folder, changed);
    copy();
    Path weights = changed.resolve("unet").resolve(STEM + ".safetensors");
    SafetensorsFile file = SafetensorsFile.open(weights);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    for (String name : file.shapes().keySet()) {
      HostTensor tensor = file.read(name);
      boolean matrix = tensor.shape().dimension() > 1;
      float[] values = tensor.values().clone();
      for (int i = 0; i < values.length; i++) {
        values[i] *= matrix ? 1.1f : 1;
      }
      tensors.put(name, new HostTensor(tensor.shape(), values));
    }
    SafetensorsWriter.write(weights, tensors, Map.of(), false);
    HostTensor expected = unetOutput(ModelSource.of(changed));
    Path few = derived("model");
    Path lora = few.resolve("pytorch_lora_weights.safetensors");
    LoraExport.Result result =
        LoraExport.write(model(), ModelSource.of(changed), 1024, lora, false);
    assertEquals(1, result.kept(), 1e-9);
    HostTensor found = unetOutput(ModelSource.of(few));
    HostTensor plain = unetOutput(model());
    double error = 0;
    double change = 0;
    for (int i = 0; i < found.values().length; i++) {
      error += Math.pow(found.values()[i] - expected.values()[i], 2);
      change += Math.pow(plain.values()[i] - expected.values()[i], 2);
    }
    // the factors are stored in half precision
    assertTrue(error < 1e-4 * change, error + " of " + change);
    assertTrue(ModelFamilies.traits(ModelSource.of(few)).fewStep());
    assertFalse(ModelFamilies.traits(model()).fewStep());
    try (Prior derived = ModelFamilies.load(ModelSource.of(few), CompileOptions.REFERENCE);
        Prior base = ModelFamilies.load(model(), CompileOptions.REFERENCE)) {
      assertEquals("few", derived.name());
      assertNotEquals(base.hash(), derived.hash());
    }
    LoraExport.Result less = LoraExport.write(model(), ModelSource.of(changed), 1, lora, true);
    assertTrue(less.kept() > 0 && less.kept() < 0.9, "" + less.kept());
    assertThrows(
        PriorArtException.class,
        () -> LoraExport.write(model(), ModelSource.of(changed), 1, lora, false));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../model", "/etc", "", "few"})
  void aDerivedFolderNamesOneBesideIt(String base) throws IOException {
    refused(ModelSource.of(derived(base)), base.equals("few") ? "derived itself" : "plain name");
  }
}
