package io.priorart.models.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/**
 * CLIP's lower-casing byte-pair tokenizer, from {@code vocab.json} and {@code merges.txt}: a {@code
 * tokenizer.json} is composed in memory for Hugging Face's tokenizers library. Prompts come out as
 * start token, text, end token, padding.
 */
public final class ClipTokenizer implements AutoCloseable {
  static final String START = "<|startoftext|>";
  public static final String END = "<|endoftext|>";

  /** CLIP's pre-tokenisation; what no alternative matches (white space) separates words. */
  static final String WORDS = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

  private static final String WORD_END = "</w>";
  private static final String MERGES = "clip-merges.txt.gz";

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long MAX_FILE_BYTES = 64L << 20;

  /** What {@link #open} reads of a folder. */
  public static final List<String> FILES =
      List.of(
          "vocab.json",
          "merges.txt",
          "tokenizer.json",
          "special_tokens_map.json",
          "tokenizer_config.json");

  private final HuggingFaceTokenizer tokenizer;
  private final int maxLength;
  private final long start;
  private final long end;
  private final long pad;

  private ClipTokenizer(
      HuggingFaceTokenizer tokenizer, int maxLength, long start, long end, long pad) {
    this.tokenizer = tokenizer;
    this.maxLength = maxLength;
    this.start = start;
    this.end = end;
    this.pad = pad;
  }

  /**
   * Opens a {@code tokenizer} folder of a checkpoint: {@code vocab.json} and {@code merges.txt}, or
   * the vocabulary and merges of {@code tokenizer.json}. What fills a text up is the {@code
   * pad_token} of {@code special_tokens_map.json} or {@code tokenizer_config.json}, else the end
   * token.
   *
   * @param maxLength length of every encoded prompt: the text encoder's positions
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT naming the file
   */
  public static ClipTokenizer open(Path folder, int maxLength) {
    JsonNode vocabulary;
    List<String> merges = new ArrayList<>();
    Path file = folder.resolve("vocab.json");
    Path whole = folder.resolve("tokenizer.json");
    if (Files.isRegularFile(file) || !Files.isRegularFile(whole)) {
      vocabulary = json(file);
      text(folder.resolve("merges.txt"))
          .lines()
          .filter(line -> !line.isBlank() && !line.startsWith("#version"))
          .forEach(merges::add);
    } else {
      file = whole;
      JsonNode model = json(whole).path("model");
      vocabulary = model.path("vocab");
      // a merge is "a b", or ["a", "b"] in newer files
      model
          .path("merges")
          .forEach(
              m ->
                  merges.add(
                      m.isArray() ? m.path(0).asText() + " " + m.path(1).asText() : m.asText()));
    }
    String padToken =
        Stream.of("special_tokens_map.json", "tokenizer_config.json")
            .map(folder::resolve)
            .filter(Files::isRegularFile)
            .map(f -> json(f).path("pad_token"))
            .map(node -> node.isObject() ? node.path("content").asText(END) : node.asText(END))
            .findFirst()
            .orElse(END);
    return of(file.toString(), vocabulary, merges, padToken, maxLength);
  }

  /**
   * The tokenizer that CLIP was published with, 49,408 tokens (Radford et al., "Learning
   * Transferable Visual Models From Natural Language Supervision", ICML 2021, arXiv 2103.00020),
   * which all published Stable Diffusion checkpoints share.
   *
   * @param padToken what fills a text up
   */
  public static ClipTokenizer published(String padToken, int maxLength) {
    ObjectNode vocabulary = JSON.createObjectNode();
    List<String> merges;
    try (BufferedReader lines =
        new BufferedReader(
            new InputStreamReader(
                new GZIPInputStream(ClipTokenizer.class.getResourceAsStream(MERGES)),
                StandardCharsets.UTF_8))) {
      merges = lines.lines().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    for (String ending : new String[] {"", WORD_END}) {
      letters().forEach(letter -> vocabulary.put(letter + ending, vocabulary.size()));
    }
    merges.forEach(merge -> vocabulary.put(merge.replace(" ", ""), vocabulary.size()));
    vocabulary.put(START, vocabulary.size());
    vocabulary.put(END, vocabulary.size());
    return of(MERGES, vocabulary, merges, padToken, maxLength);
  }

  /**
   * The letters that stand for the 256 bytes, in the order of the vocabulary: bytes that are
   * printable in Latin-1 stand for themselves, then the others for the letters from 256 on.
   */
  private static List<String> letters() {
    List<String> printable = new ArrayList<>();
    List<String> others = new ArrayList<>();
    for (int b = 0; b < 256; b++) {
      if (b > 32 && b < 127 || b > 160 && b != 173) {
        printable.add(Character.toString(b));
      } else {
        others.add(Character.toString(256 + others.size()));
      }
    }
    printable.addAll(others);
    return printable;
  }

  private static ClipTokenizer of(
      String source, JsonNode vocabulary, List<String> merges, String padToken, int maxLength) {
    if (!vocabulary.path(START).isInt() || !vocabulary.path(END).isInt()) {
      throw PriorArtException.badField(source, "lacks " + START + " or " + END);
    }
    long start = vocabulary.path(START).longValue();
    long end = vocabulary.path(END).longValue();
    long pad = vocabulary.path(padToken).asLong(end);
    try {
      byte[] tokenizerJson = JSON.writeValueAsBytes(tokenizerJson(vocabulary, merges, start, end));
      HuggingFaceTokenizer tokenizer =
          HuggingFaceTokenizer.newInstance(
              new ByteArrayInputStream(tokenizerJson),
              Map.of("truncation", "false", "padding", "false", "addSpecialTokens", "false"));
      return new ClipTokenizer(tokenizer, maxLength, start, end, pad);
    } catch (IOException | RuntimeException e) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT,
          source + " is no usable CLIP tokenizer: " + e.getMessage(),
          e);
    }
  }

  private static ObjectNode tokenizerJson(
      JsonNode vocabulary, List<String> merges, long start, long end) {
    ObjectNode root = JSON.createObjectNode();
    root.put("version", "1.0");
    ArrayNode added = root.putArray("added_tokens");
    for (Map.Entry<String, Long> token : List.of(Map.entry(START, start), Map.entry(END, end))) {
      added
          .addObject()
          .put("id", token.getValue())
          .put("content", token.getKey())
          .put("single_word", false)
          .put("lstrip", false)
          .put("rstrip", false)
          .put("normalized", true)
          .put("special", true);
    }
    ObjectNode normalizer = root.putObject("normalizer").put("type", "Sequence");
    ArrayNode normalizers = normalizer.putArray("normalizers");
    normalizers.addObject().put("type", "NFC");
    normalizers
        .addObject()
        .put("type", "Replace")
        .put("content", " ")
        .putObject("pattern")
        .put("Regex", "\\s+");
    normalizers.addObject().put("type", "Lowercase");
    ObjectNode pre = root.putObject("pre_tokenizer").put("type", "Sequence");
    ArrayNode pretokenizers = pre.putArray("pretokenizers");
    pretokenizers
        .addObject()
        .put("type", "Split")
        .put("behavior", "Removed")
        .put("invert", true)
        .putObject("pattern")
        .put("Regex", WORDS);
    pretokenizers
        .addObject()
        .put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", true);
    ObjectNode model = root.putObject("model").put("type", "BPE");
    model.put("unk_token", END);
    model.put("continuing_subword_prefix", "");
    model.put("end_of_word_suffix", WORD_END);
    model.put("fuse_unk", false);
    model.set("vocab", vocabulary);
    ArrayNode mergeList = model.putArray("merges");
    merges.forEach(mergeList::add);
    return root;
  }

  private static JsonNode json(Path file) {
    try {
      JsonNode node = JSON.readTree(text(file));
      if (node == null || !node.isObject()) {
        throw PriorArtException.badField(file.toString(), "is not a JSON object");
      }
      return node;
    } catch (JsonProcessingException e) {
      throw PriorArtException.badField(file.toString(), "is not JSON: " + e.getOriginalMessage());
    }
  }

  private static String text(Path file) {
    try {
      if (!Files.isRegularFile(file)) {
        throw new PriorArtException(ErrorKind.NOT_FOUND, file + ": no such file");
      }
      if (Files.size(file) > MAX_FILE_BYTES) {
        throw PriorArtException.badField(file.toString(), "is too large");
      }
      return Files.readString(file, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The token that ends every text, and by default fills it up. */
  public long end() {
    return end;
  }

  /** Length of every encoded prompt. */
  public int maxLength() {
    return maxLength;
  }

  /**
   * A prompt's token ids.
   *
   * @param ids exactly {@link #maxLength} of them
   * @param truncated whether the prompt was too long
   */
  public record Encoded(long[] ids, boolean truncated) {}

  /** Start token, text cut to fit, end token, padding. */
  public Encoded encode(String prompt) {
    long[] text = prompt.isEmpty() ? new long[0] : tokenizer.encode(prompt, false, false).getIds();
    long[] ids = new long[maxLength];
    Arrays.fill(ids, pad);
    int kept = Math.min(text.length, maxLength - 2);
    ids[0] = start;
    System.arraycopy(text, 0, ids, 1, kept);
    ids[kept + 1] = end;
    return new Encoded(ids, kept < text.length);
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
