// json and jsonb as what JSON.parse gives, where that loses nothing: JSON.parse itself rounds numbers and lets the last of
// two equal names win, without a word.
import { type Decoder, unreadable, unrepresentable } from "./decoder.ts";

/** The JSON value `null`, which is not SQL's NULL. Written as JSON it is null again. */
export const jsonNull: JsonNull = Object.freeze({ toJSON: () => null });

export interface JsonNull {
  toJSON(): null;
}

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export const json: Decoder<JsonValue | JsonNull> = {
  decode(text) {
    const value = parse(text);
    checkLossless(text);
    return value;
  },
};

/** A number that a double might round has an exponent, or as many characters as this; a string may look like it. */
const SUSPECT = /[\d.]{16}|\d[eE]/;

/** jsonb holds each name once, so most documents need no second look. */
export const jsonb: Decoder<JsonValue | JsonNull> = {
  decode(text) {
    const value = parse(text);
    if (SUSPECT.test(text)) {
      checkLossless(text);
    }
    return value;
  },
};

function parse(text: string): JsonValue | JsonNull {
  try {
    return JSON.parse(text) ?? jsonNull;
  } catch {
    // The parser's message quotes the value.
    throw unreadable("json");
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}:,]/gs;

/** Walks the tokens of sound JSON. An object's names are those strings that a colon follows. */
function checkLossless(text: string): void {
  const names: Set<string>[] = [];
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") {
      names.push(new Set());
    } else if (token === "}") {
      names.pop();
    } else if (token === ":") {
      const name: string = JSON.parse(last);
      const known = names.at(-1)!;
      if (known.has(name)) {
        throw unrepresentable("A JSON object with two members of one name");
      }
      known.add(name);
    } else if (token !== "," && token[0] !== '"' && !isExact(token)) {
      throw unrepresentable("A JSON number beyond a double's precision");
    }
    last = token;
  }
}

/** Whether a double prints as the same decimal number. */
function isExact(number: string): boolean {
  return (number.length <= 15 && !/[eE]/.test(number)) || canonical(number) === canonical(String(Number(number)));
}

/** Digits without zeros at either end, and the power of ten; a sign that only a zero may lose. */
function canonical(number: string): string {
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  if (whole === undefined) {
    return number; // Infinity
  }
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") {
    return "0";
  }
  return `${sign}${significant}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length)}`;
}
