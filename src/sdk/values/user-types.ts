// Types that somebody made: enums and composites, whose decoders hold what they look like, and those of extensions.
import { type Decoded, type Decoder, outdated, unreadable } from "./decoder.ts";
import { readField } from "./fields.ts";
import { float } from "./numbers.ts";

/** @throws TYPES_OUTDATED on a label that was added since */
export function enumeration<const Label extends string>(type: string, labels: readonly Label[]): Decoder<Label> {
  const known = new Map(labels.map((label) => [label as string, label]));
  return {
    decode(text) {
      const label = known.get(text);
      if (label === undefined) {
        throw outdated(`${type} has a label that the generated types don't know.`);
      }
      return label;
    },
  };
}

export type CompositeOf<Fields> = { readonly [Name in keyof Fields]: Decoded<Fields[Name]> | null };

/** @throws TYPES_OUTDATED on another number of attributes */
export function composite<const Fields extends Readonly<Record<string, Decoder<unknown>>>>(
  type: string,
  fields: readonly (keyof Fields & string)[],
  decoders: Fields,
): Decoder<CompositeOf<Fields>> {
  return {
    decode(text) {
      const texts = splitComposite(text);
      if (texts.length !== fields.length) {
        throw outdated(`${type} has ${texts.length} attributes; the generated types know ${fields.length}.`);
      }
      // fromEntries defines properties: an attribute may be named __proto__.
      return Object.fromEntries(
        fields.map((name, at) => [name, texts[at] == null ? null : decoders[name]!.decode(texts[at])]),
      ) as CompositeOf<Fields>;
    },
  };
}

function splitComposite(text: string): (string | null)[] {
  if (!text.startsWith("(")) {
    throw unreadable("a composite type");
  }
  if (text === "()") {
    return [null]; // or no attribute at all, which no column has a use for
  }
  const fields: (string | null)[] = [];
  let at = 0;
  do {
    const { field, end } = readField(text, at + 1, ",)", "a composite type");
    fields.push(field);
    at = end;
  } while (text[at] === ",");
  if (at !== text.length - 1) {
    throw unreadable("a composite type");
  }
  return fields;
}

const PAIR = /"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)/gsy;

/** hstore: a member's value may be null. */
export const hstore: Decoder<Readonly<Record<string, string | null>>> = {
  decode(text) {
    const members: [string, string | null][] = [];
    for (let at = 0; at < text.length; ) {
      PAIR.lastIndex = at;
      const pair = PAIR.exec(text);
      if (pair === null) {
        throw unreadable("hstore");
      }
      members.push([unescaped(pair[1]!), pair[2] === undefined ? null : unescaped(pair[2])]);
      at = PAIR.lastIndex;
      if (at < text.length) {
        if (!text.startsWith(", ", at)) {
          throw unreadable("hstore");
        }
        at += 2;
      }
    }
    return Object.fromEntries(members);
  },
};

const unescaped = (text: string): string => text.replaceAll(/\\(.)/gs, "$1");

/** pgvector's vector and halfvec: `[1,2.5]`. */
export const numberList: Decoder<readonly number[]> = {
  decode(text) {
    if (!/^\[.*\]$/.test(text)) {
      throw unreadable("vector");
    }
    return text === "[]" ? [] : text.slice(1, -1).split(",").map(float.decode);
  },
};
