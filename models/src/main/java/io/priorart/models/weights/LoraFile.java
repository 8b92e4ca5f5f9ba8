package io.priorart.models.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.priorart.models.engine.Staging;
import io.priorart.models.engine.TensorSource;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.HostTensor;
import io.priorart.solver.PriorArtException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Low-rank changes of a checkpoint's weights, {@code W + scale (alpha / r) B A} with {@code A}
 * {@code [r, in]} and {@code B} {@code [out, r]} (Hu et al., "LoRA: Low-Rank Adaptation of Large
 * Language Models", ICLR 2022, arXiv 2106.09685); convolutions by their kernels laid flat.
 *
 * <p>Read in the key styles of diffusers ({@code lora_A}/{@code lora_B}, {@code lora.down}/{@code
 * lora.up}, attention processors) and of kohya ({@code lora_unet_...}, over diffusers' names or
 * over the original U-Net's). Where a file gives no {@code alpha} it is the rank.
 */
public final class LoraFile {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** A side's ending, and whether it is the down side. */
  private static final Map<String, Boolean> SIDES =
      Map.of(
          ".lora_A.weight", true,
          ".lora_B.weight", false,
          ".lora.down.weight", true,
          ".lora.up.weight", false,
          ".lora_down.weight", true,
          ".lora_up.weight", false,
          ".lora_linear_layer.down.weight", true,
          ".lora_linear_layer.up.weight", false,
          "_lora.down.weight", true,
          "_lora.up.weight", false);

  private static final String ALPHA = ".alpha";

  /** How a key begins, and the part it changes; kohya's names have no dots. */
  private static final String[][] PARTS = {
    {"lora_unet_", "unet"},
    {"lora_te1_", "text_encoder"},
    {"lora_te2_", "text_encoder_2"},
    {"lora_te_", "text_encoder"},
    {"unet.", "unet"},
    {"transformer.", "transformer"},
    {"text_encoder.", "text_encoder"},
    {"text_encoder_2.", "text_encoder_2"},
    {"down_blocks.", "unet"},
    {"mid_block.", "unet"},
    {"up_blocks.", "unet"},
  };

  private static final Pattern PROCESSOR = Pattern.compile("(.+)\\.processor\\.(to_[a-z]+)");

  /** The two factors of a change, by their names in the file, and {@code scale alpha / r}. */
  private record Change(String down, String up, double factor) {}

  private final SafetensorsFile file;
  private final Map<String, Map<String, Change>> parts = new TreeMap<>();

  /**
   * @param scale 1 is as trained, 0 nothing
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT naming the file and all keys that are
   *     no LoRA's, or without their other half
   */
  public LoraFile(Path path, double scale) {
    file = SafetensorsFile.open(path);
    Map<String, String> down = new TreeMap<>();
    Map<String, String> up = new TreeMap<>();
    Map<String, String> alphas = new TreeMap<>();
    List<String> strange = new ArrayList<>();
    for (String key : file.shapes().keySet()) {
      if (key.endsWith(ALPHA)) {
        alphas.put(module(key, ALPHA), key);
        continue;
      }
      String side = SIDES.keySet().stream().filter(key::endsWith).findFirst().orElse(null);
      if (side == null || part(key) == null) {
        strange.add(key);
      } else {
        (SIDES.get(side) ? down : up).put(module(key, side), key);
      }
    }
    down.keySet().stream().filter(m -> !up.containsKey(m)).map(down::get).forEach(strange::add);
    up.keySet().stream().filter(m -> !down.containsKey(m)).map(up::get).forEach(strange::add);
    if (!strange.isEmpty() || down.isEmpty()) {
      throw bad("is no LoRA that can be merged; it holds " + TensorSource.like("keys", strange));
    }
    JsonNode adapters = adapters();
    down.forEach(
        (module, key) -> {
          long rank = file.shapes().get(key).get(0);
          double alpha =
              alphas.containsKey(module)
                  ? file.read(alphas.get(module)).values()[0]
                  : alpha(adapters, module, rank);
          String part = part(key);
          parts
              .computeIfAbsent(part, p -> new LinkedHashMap<>())
              .put(
                  module.substring(prefix(key).length()),
                  new Change(key, up.get(module), scale * alpha / rank));
        });
  }

  /** The key without its ending, processors' projections under their modules' names. */
  private static String module(String key, String ending) {
    String module = key.substring(0, key.length() - ending.length());
    Matcher m = PROCESSOR.matcher(module);
    if (m.matches()) {
      return m.group(1) + "." + (m.group(2).equals("to_out") ? "to_out.0" : m.group(2));
    }
    return module;
  }

  private static String part(String key) {
    for (String[] line : PARTS) {
      if (key.startsWith(line[0])) {
        return line[1];
      }
    }
    return null;
  }

  /** What precedes a module's name. */
  private static String prefix(String key) {
    for (String[] line : PARTS) {
      if (key.startsWith(line[0])) {
        return line[0].endsWith("blocks.") || line[0].equals("mid_block.") ? "" : line[0];
      }
    }
    throw new AssertionError(key);
  }

  /** What newer diffusers keep of a training, {@code null} where the file has nothing of it. */
  private JsonNode adapters() {
    String text = file.metadata().get("lora_adapter_metadata");
    try {
      return text == null ? JSON.createObjectNode() : JSON.readTree(text);
    } catch (JsonProcessingException e) {
      throw bad("has lora_adapter_metadata that is no JSON: " + e.getOriginalMessage());
    }
  }

  private static double alpha(JsonNode adapters, String module, long rank) {
    String part = module.substring(0, module.indexOf('.') + 1);
    String inner = module.substring(part.length());
    JsonNode own = adapters.path(part + "alpha_pattern").path(inner);
    double alpha = own.asDouble(adapters.path(part + "lora_alpha").asDouble(rank));
    // rsLoRA (Kalajdzievski 2023) divides by the root of the rank
    return adapters.path(part + "use_rslora").asBoolean() ? alpha * Math.sqrt(rank) : alpha;
  }

  /** Names of the parts that this changes. */
  public Set<String> parts() {
    return parts.keySet();
  }

  /**
   * A part's weights with this merged, in the type they are stored in.
   *
   * @param part {@code unet}, {@code transformer}, {@code text_encoder}, {@code text_encoder_2}
   * @throws PriorArtException INVALID_ARGUMENT naming all changes that find no weight, or one of
   *     another shape
   */
  public TensorSource merged(String part, TensorSource weights) {
    Map<String, Change> changes = parts.getOrDefault(part, Map.of());
    Map<String, Shape> shapes = weights.shapes();
    Map<String, String> byModule = new LinkedHashMap<>();
    for (String name : shapes.keySet()) {
      if (name.endsWith(".weight")) {
        String module = name.substring(0, name.length() - ".weight".length());
        String bare = module.startsWith("text_model.") ? module.substring(11) : module;
        for (String spelling : new String[] {bare, "text_model." + bare}) {
          byModule.put(spelling, name);
          byModule.put(spelling.replace('.', '_'), name);
        }
      }
    }
    if (part.equals("unet")) {
      OriginalLayout.unetModules(shapes.keySet())
          .forEach((original, name) -> byModule.put(original.replace('.', '_'), name + ".weight"));
    }
    Map<String, Change> byName = new LinkedHashMap<>();
    List<String> strange = new ArrayList<>();
    changes.forEach(
        (module, change) -> {
          String name = byModule.get(module);
          if (name == null || !fits(shapes.get(name), change) || byName.put(name, change) != null) {
            strange.add(change.down());
          }
        });
    if (!strange.isEmpty()) {
      throw bad("does not fit " + weights.name() + ": " + TensorSource.like("keys", strange));
    }
    return new Merged(weights, byName);
  }

  private boolean fits(Shape weight, Change change) {
    Shape down = file.shapes().get(change.down());
    Shape up = file.shapes().get(change.up());
    long rank = down.dimension() > 1 ? down.get(0) : 0;
    return rank > 0
        && weight.dimension() > 1
        && up.get(0) == weight.get(0)
        && up.size() == weight.get(0) * rank
        && down.size() / rank == weight.size() / weight.get(0);
  }

  private PriorArtException bad(String problem) {
    return new PriorArtException(
        ErrorKind.INVALID_ARGUMENT, "lora: " + file.name() + " " + problem);
  }

  private final class Merged implements TensorSource {
    private final TensorSource weights;
    private final Map<String, Change> changes;

    Merged(TensorSource weights, Map<String, Change> changes) {
      this.weights = weights;
      this.changes = changes;
    }

    @Override
    public String name() {
      return weights.name();
    }

    @Override
    public Map<String, Shape> shapes() {
      return weights.shapes();
    }

    @Override
    public String type(String name) {
      return weights.type(name);
    }

    @Override
    public NDArray map(NDManager manager, String name, Staging staging) {
      NDArray mapped = weights.map(manager, name, staging);
      Change change = changes.get(name);
      if (change == null) {
        return mapped;
      }
      HostTensor down = file.read(change.down());
      HostTensor up = file.read(change.up());
      long rank = down.shape().get(0);
      try (NDManager scratch = manager.newSubManager()) {
        NDArray product =
            scratch
                .create(up.values(), new Shape(up.values().length / rank, rank))
                .matMul(scratch.create(down.values(), new Shape(rank, down.values().length / rank)))
                .mul((float) change.factor());
        NDArray result =
            switch (mapped.getDataType()) {
              case FLOAT32 -> mapped.add(product.reshape(mapped.getShape()));
              case FLOAT16 ->
                  mapped
                      .toType(DataType.FLOAT32, true)
                      .add(product.reshape(mapped.getShape()))
                      .toType(DataType.FLOAT16, true);
              default -> brainFloats(manager, mapped, product.toFloatArray());
            };
        mapped.close();
        return result;
      }
    }

    /** The sum in bfloat16, as the bytes that it is mapped as, rounded to the nearest even. */
    private static NDArray brainFloats(NDManager manager, NDArray mapped, float[] change) {
      ByteBuffer bytes = mapped.toByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
      byte[] sum = new byte[2 * change.length];
      for (int i = 0; i < change.length; i++) {
        float value = Float.intBitsToFloat(bytes.getShort(2 * i) << 16) + change[i];
        int bits = Float.floatToIntBits(value);
        int rounded = Float.isNaN(value) ? bits : bits + 0x7fff + (bits >> 16 & 1);
        sum[2 * i] = (byte) (rounded >> 16);
        sum[2 * i + 1] = (byte) (rounded >> 24);
      }
      NDArray result = manager.create(mapped.getShape(), DataType.UINT8);
      result.set(ByteBuffer.wrap(sum));
      return result;
    }
  }
}
