package io.priorart.models.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.priorart.solver.ErrorKind;
import io.priorart.solver.PriorArtException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * T5's unigram tokenizer (Kudo, ACL 2018, arXiv 1804.10959), from {@code tokenizer.json}, or from
 * SentencePiece's {@code spiece.model}, whose pieces, scores and character map a {@code
 * tokenizer.json} is composed of in memory ({@link SentencePieceModel}).
 */
public final class T5Tokenizer implements AutoCloseable {
  private static final String WHOLE = "tokenizer.json";
  private static final String PIECES = "spiece.model";
  private static final long MAX_FILE_BYTES = 64L << 20;

  // T5's own, in every vocabulary of it
  private static final long PAD = 0;
  private static final long END = 1;

  /** What {@link #open} reads of a folder. */
  public static final List<String> FILES = List.of(WHOLE, PIECES);

  private final HuggingFaceTokenizer tokenizer;

  private T5Tokenizer(HuggingFaceTokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /**
   * Opens a {@code tokenizer_3} folder of a checkpoint.
   *
   * @throws PriorArtException NOT_FOUND or INVALID_ARGUMENT naming the file
   */
  public static T5Tokenizer open(Path folder) {
    Path whole = folder.resolve(WHOLE);
    Path file = Files.isRegularFile(whole) ? whole : folder.resolve(PIECES);
    if (!Files.isRegularFile(file)) {
      throw new PriorArtException(
          ErrorKind.NOT_FOUND, folder + " holds neither " + WHOLE + " nor " + PIECES);
    }
    try {
      if (Files.size(file) > MAX_FILE_BYTES) {
        throw PriorArtException.badField(file.toString(), "is too large");
      }
      byte[] bytes = Files.readAllBytes(file);
      byte[] json = file.equals(whole) ? bytes : SentencePieceModel.parse(bytes).tokenizerJson();
      return new T5Tokenizer(
          HuggingFaceTokenizer.newInstance(
              new ByteArrayInputStream(json),
              Map.of("truncation", "false", "padding", "false", "addSpecialTokens", "false")));
    } catch (IOException | RuntimeException e) {
      throw new PriorArtException(
          ErrorKind.INVALID_ARGUMENT, file + " is no usable tokenizer: " + e.getMessage(), e);
    }
  }

  /** Text cut to fit, end token, padding: {@code length} ids. */
  public ClipTokenizer.Encoded encode(String prompt, int length) {
    long[] text = prompt.isEmpty() ? new long[0] : tokenizer.encode(prompt, false, false).getIds();
    long[] ids = new long[length];
    Arrays.fill(ids, PAD);
    int kept = Math.min(text.length, length - 1);
    System.arraycopy(text, 0, ids, 0, kept);
    ids[kept] = END;
    return new ClipTokenizer.Encoded(ids, kept < text.length);
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
