// Ranges and multiranges over any type. A range without a bound has null there, which is not a bound at infinity.
// https://www.postgresql.org/docs/current/rangetypes.html
import { type Decoder, unreadable } from "./decoder.ts";
import { readField } from "./fields.ts";

export type Range<T> =
  | { readonly empty: true }
  | {
      readonly empty: false;
      /** null: without a lower bound. */
      readonly lower: T | null;
      /** null: without an upper bound. */
      readonly upper: T | null;
      readonly lowerInclusive: boolean;
      readonly upperInclusive: boolean;
    };

export function range<T>(bound: Decoder<T>): Decoder<Range<T>> {
  return {
    decode(text) {
      if (text === "empty") {
        return { empty: true };
      }
      const { value, end } = readRange(text, 0, bound);
      if (end !== text.length) {
        throw unreadable("a range");
      }
      return value;
    },
  };
}

export function multirange<T>(bound: Decoder<T>): Decoder<readonly Range<T>[]> {
  return {
    decode(text) {
      const ranges: Range<T>[] = [];
      let at = 1;
      while (text.startsWith("{") && text[at] !== "}") {
        const { value, end } = readRange(text, at, bound);
        ranges.push(value);
        at = text[end] === "," ? end + 1 : end;
      }
      if (at !== text.length - 1) {
        throw unreadable("a multirange");
      }
      return ranges;
    },
  };
}

function readRange<T>(text: string, start: number, bound: Decoder<T>): { value: Range<T>; end: number } {
  const opening = text[start];
  const lower = readField(text, start + 1, ",", "a range");
  const upper = readField(text, lower.end + 1, ")]", "a range");
  if (opening !== "[" && opening !== "(") {
    throw unreadable("a range");
  }
  const value: Range<T> = {
    empty: false,
    lower: lower.field === null ? null : bound.decode(lower.field),
    upper: upper.field === null ? null : bound.decode(upper.field),
    lowerInclusive: opening === "[",
    upperInclusive: text[upper.end] === "]",
  };
  return { value, end: upper.end + 1 };
}
