// From what a person types to an FTS5 query that can't be a syntax error. https://www.sqlite.org/fts5.html#full_text_query_syntax

const LONGEST_QUERY = 200;
const MOST_TERMS = 12;
const WORD = /[\p{L}\p{N}\p{M}\p{Co}]+/gu;

/**
 * The queries to try in turn, narrow before wide: every word has to occur, first with only the last one as a prefix,
 * then with each. Only letters, digits and marks get through, inside quotes, so operators and punctuation are nothing
 * special. Empty when no word is left.
 */
export function toFtsQueries(typed: string): readonly string[] {
  const text = typed.slice(0, LONGEST_QUERY).normalize("NFC");
  const words = (text.match(WORD) ?? []).filter((word) => /[\p{L}\p{N}\p{Co}]/u.test(word)).slice(0, MOST_TERMS);
  const quoted = words.map((word) => `"${word}"`);
  switch (quoted.length) {
    case 0:
      return [];
    case 1:
      return [`${quoted[0]}*`];
    default:
      return [`${quoted.join(" ")}*`, `${quoted.join("* ")}*`];
  }
}
