package io.priorart.models.tokenizer;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Learns a byte-pair vocabulary from captions (Sennrich et al. 2016, arXiv 1508.07909) in CLIP's
 * format: 256 bytes, 256 bytes that end a word, one entry per merge, the two special tokens.
 */
public final class BpeTrainer {
  /**
   * A vocabulary.
   *
   * @param vocabulary token to id
   * @param merges lines of {@code merges.txt} after the version line
   */
  public record Vocabulary(Map<String, Integer> vocabulary, List<String> merges) {}

  private static final Pattern WORDS =
      Pattern.compile(ClipTokenizer.WORDS, Pattern.UNICODE_CHARACTER_CLASS);
  private static final int BYTES = 256;

  private BpeTrainer() {}

  /**
   * @param size entries at most, special tokens included; at least 514
   */
  public static Vocabulary train(List<String> captions, int size) {
    Map<String, Integer> words = new LinkedHashMap<>();
    for (String caption : captions) {
      Matcher m = WORDS.matcher(caption.toLowerCase(Locale.ROOT));
      while (m.find()) {
        words.merge(m.group(), 1, Integer::sum);
      }
    }
    String[] byteSymbols = byteSymbols();
    List<List<String>> spelled = new ArrayList<>();
    List<Integer> counts = new ArrayList<>();
    words.forEach(
        (word, count) -> {
          List<String> symbols = new ArrayList<>();
          for (byte b : word.getBytes(StandardCharsets.UTF_8)) {
            symbols.add(byteSymbols[b & 0xff]);
          }
          int last = symbols.size() - 1;
          symbols.set(last, symbols.get(last) + "</w>");
          spelled.add(symbols);
          counts.add(count);
        });
    Map<String, Integer> vocabulary = new LinkedHashMap<>();
    List<String> ordered = orderedByteSymbols();
    ordered.forEach(s -> vocabulary.put(s, vocabulary.size()));
    ordered.forEach(s -> vocabulary.put(s + "</w>", vocabulary.size()));
    List<String> merges = new ArrayList<>();
    while (vocabulary.size() < size - 2) {
      Map<String, Integer> pairs = new HashMap<>();
      for (int i = 0; i < spelled.size(); i++) {
        List<String> symbols = spelled.get(i);
        for (int j = 0; j + 1 < symbols.size(); j++) {
          pairs.merge(symbols.get(j) + " " + symbols.get(j + 1), counts.get(i), Integer::sum);
        }
      }
      // ties by spelling, so that the same captions give the same vocabulary
      String best =
          pairs.entrySet().stream()
              .filter(e -> e.getValue() > 1)
              .max(
                  Map.Entry.<String, Integer>comparingByValue()
                      .thenComparing(Map.Entry.comparingByKey(Comparator.reverseOrder())))
              .map(Map.Entry::getKey)
              .orElse(null);
      if (best == null) {
        break;
      }
      int space = best.indexOf(' ');
      String left = best.substring(0, space);
      String right = best.substring(space + 1);
      merges.add(best);
      vocabulary.putIfAbsent(left + right, vocabulary.size());
      for (List<String> symbols : spelled) {
        for (int j = 0; j + 1 < symbols.size(); j++) {
          if (symbols.get(j).equals(left) && symbols.get(j + 1).equals(right)) {
            symbols.set(j, left + right);
            symbols.remove(j + 1);
          }
        }
      }
    }
    vocabulary.put(ClipTokenizer.START, vocabulary.size());
    vocabulary.put(ClipTokenizer.END, vocabulary.size());
    return new Vocabulary(vocabulary, merges);
  }

  /**
   * GPT-2's printable stand-ins: printable Latin-1 bytes stand for themselves, the others follow
   * from U+0100.
   */
  private static String[] byteSymbols() {
    String[] symbols = new String[BYTES];
    int next = BYTES;
    for (int b = 0; b < BYTES; b++) {
      boolean printable = b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae;
      symbols[b] = Character.toString(printable ? b : next++);
    }
    return symbols;
  }

  /** In CLIP's order: printable bytes first. */
  private static List<String> orderedByteSymbols() {
    return java.util.Arrays.stream(byteSymbols())
        .sorted(Comparator.comparingInt(s -> s.charAt(0)))
        .toList();
  }
}
