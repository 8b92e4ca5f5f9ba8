package io.priorart.runtime.dataset;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;

/** What a picture shows, in words: from the text beside it or from its file name. */
final class Captions {
  private static final int MAX_BYTES = 4096;

  private static final Pattern SEPARATORS = Pattern.compile("[^\\p{L}\\p{M}\\p{N}]+");
  private static final Pattern HEX = Pattern.compile("(?=.*\\d)[0-9a-fA-F]{8,}");
  private static final Pattern DIGIT = Pattern.compile("\\p{N}");
  private static final Pattern LAST_DIGITS = Pattern.compile("\\p{N}+$");
  private static final Pattern CAMEL_HUMPS =
      Pattern.compile("(?<=\\p{Ll})(?=\\p{Lu})|(?<=\\p{Lu})(?=\\p{Lu}\\p{Ll})");

  /** What cameras begin their names with. */
  private static final Set<String> CAMERAS =
      Set.of("img", "dsc", "dscn", "dscf", "pxl", "mvi", "pict", "sam");

  private static final Set<String> ARTICLES = Set.of("a", "an", "the");

  private Captions() {}

  /**
   * The text of a regular file of the picture's name with {@code .txt}, at most 4096 bytes of
   * UTF-8, its white space single; without such a file the words of the name. May be empty.
   *
   * @throws IOException the text is there and cannot be read
   */
  static String of(Path picture) throws IOException {
    String stem = stem(picture);
    Path text = picture.resolveSibling(stem + ".txt");
    if (!SourceFolder.isRegular(text)) {
      return words(stem);
    }
    try (InputStream in = Files.newInputStream(text)) {
      return new String(in.readNBytes(MAX_BYTES), StandardCharsets.UTF_8)
          .replaceAll("[\\s\\p{Cntrl}\ufeff]+", " ")
          .strip();
    }
  }

  /**
   * A name as words in lower case: split at separators and at the humps of camel case; final digits
   * of a word, words with other digits in them (numbers, sizes, hashes), a camera's prefix and "by
   * AUTHOR" to the end are dropped. "by" before an article stays: house_by_the_sea.
   */
  static String words(String stem) {
    List<String> words = new ArrayList<>();
    for (String token : SEPARATORS.split(stem)) {
      String bare = HEX.matcher(token).matches() ? "" : LAST_DIGITS.matcher(token).replaceFirst("");
      if (bare.isEmpty() || DIGIT.matcher(bare).find()) {
        continue;
      }
      for (String word : CAMEL_HUMPS.split(bare)) {
        words.add(word.toLowerCase(Locale.ROOT));
      }
    }
    if (!words.isEmpty() && CAMERAS.contains(words.get(0))) {
      words.remove(0);
    }
    for (int i = 1; i + 1 < words.size(); i++) {
      if (words.get(i).equals("by") && !ARTICLES.contains(words.get(i + 1))) {
        return String.join(" ", words.subList(0, i));
      }
    }
    return String.join(" ", words);
  }

  static String stem(Path file) {
    String name = file.getFileName().toString();
    int dot = name.lastIndexOf('.');
    return dot < 0 ? name : name.substring(0, dot);
  }
}
