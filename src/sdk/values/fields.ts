// The quoting that composite types and ranges share: fields apart by commas, quoted where they need to be, "" for a quote.
// https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX
import { unreadable } from "./decoder.ts";

/** Reads one field from `start` on, up to a character of `ends`; null where nothing stands there at all. */
export function readField(
  text: string,
  start: number,
  ends: string,
  type: string,
): { readonly field: string | null; readonly end: number } {
  let field = "";
  let isQuoted = false;
  let at = start;
  for (; isQuoted || !ends.includes(text[at] ?? ""); at++) {
    const character = text[at];
    if (character === undefined) {
      throw unreadable(type);
    }
    if (character === "\\") {
      field += text[++at] ?? "";
    } else if (character !== '"') {
      field += character;
    } else if (isQuoted && text[at + 1] === '"') {
      field += '"';
      at++;
    } else {
      isQuoted = !isQuoted;
    }
  }
  if (at >= text.length) {
    throw unreadable(type);
  }
  return { field: at === start ? null : field, end: at };
}
