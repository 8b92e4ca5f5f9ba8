package io.priorart.solver;

import java.util.Locale;

/**
 * A paper that a method is from.
 *
 * @param key of its BibTeX entry
 * @param authors as BibTeX has them, {@code Surname, Given and Surname, Given}
 * @param kind what BibTeX calls it
 * @param venue short, without the year: {@code ICLR}; {@code arXiv} for a preprint; a book's
 *     publisher
 * @param arxiv its number there; empty for none
 */
public record Citation(
    String key, String authors, String title, Kind kind, String venue, int year, String arxiv) {
  private static final String PREPRINT = "arXiv";

  /** An entry's type, with the field that names the venue. */
  public enum Kind {
    PROCEEDINGS("inproceedings", "booktitle"),
    JOURNAL("article", "journal"),
    BOOK("book", "publisher"),
    PREPRINT("misc", "");

    private final String type;
    private final String venueField;

    Kind(String type, String venueField) {
      this.type = type;
      this.venueField = venueField;
    }
  }

  /** A paper of a conference, or a preprint. */
  public Citation(String key, String authors, String title, String venue, int year, String arxiv) {
    this(
        key,
        authors,
        title,
        venue.equals(PREPRINT) ? Kind.PREPRINT : Kind.PROCEEDINGS,
        venue,
        year,
        arxiv);
  }

  /** {@code Surname et al., Title, Venue year, arXiv id}. */
  public String text() {
    String[] people = authors.split(" and ");
    String first = people[0].split(",")[0];
    String who =
        switch (people.length) {
          case 1 -> first;
          case 2 -> first + " and " + people[1].split(",")[0];
          default -> first + " et al.";
        };
    String where = kind == Kind.PREPRINT ? "" : ", " + venue;
    String preprint = arxiv.isEmpty() ? "" : ", arXiv " + arxiv;
    return who + ", " + title + where + (where.isEmpty() ? ", " : " ") + year + preprint;
  }

  /** A BibTeX entry, with a line break at its end. */
  public String bibtex() {
    StringBuilder out = new StringBuilder();
    out.append('@').append(kind.type).append('{').append(key).append(",\n");
    field(out, "author", authors);
    // braces keep capitals as they are
    field(out, "title", "{" + title + "}");
    if (!kind.venueField.isEmpty()) {
      field(out, kind.venueField, venue);
    }
    field(out, "year", String.format(Locale.ROOT, "%d", year));
    if (!arxiv.isEmpty()) {
      field(out, "eprint", arxiv);
      field(out, "archiveprefix", PREPRINT);
    }
    return out.append("}\n").toString();
  }

  private static void field(StringBuilder out, String name, String value) {
    out.append("  ").append(name).append(" = {").append(value).append("},\n");
  }
}
