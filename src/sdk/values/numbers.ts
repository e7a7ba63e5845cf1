// Booleans and numbers: number where a double holds every value of the type, else bigint. numeric is neither: it stays text.
import { type Lsn, parseLsn } from "../../event/lsn.ts";
import { type Decoder, unreadable } from "./decoder.ts";

export const bool: Decoder<boolean> = {
  native: "boolean",
  decode(text) {
    if (text !== "t" && text !== "f") {
      throw unreadable("boolean");
    }
    return text === "t";
  },
};

const WHOLE = /^-?\d+$/;

/** int2, int4, oid, xid, cid: at most 32 bits. */
export const integer: Decoder<number> = {
  native: "number",
  decode(text) {
    if (!WHOLE.test(text)) {
      throw unreadable("a whole number");
    }
    return Number(text);
  },
};

/** int8, xid8. */
export const bigInteger: Decoder<bigint> = {
  decode(text) {
    if (!WHOLE.test(text)) {
      throw unreadable("a whole number");
    }
    return BigInt(text);
  },
};

const FLOAT = /^(-?\d+(\.\d+)?(e[+-]\d+)?|NaN|-?Infinity)$/;

/** With extra_float_digits=3 the text is the shortest that reads back as the same bits. */
export const float: Decoder<number> = {
  native: "number",
  decode(text) {
    if (!FLOAT.test(text)) {
      throw unreadable("a floating-point number");
    }
    return Number(text);
  },
};

export const lsn: Decoder<Lsn> = {
  decode(text) {
    try {
      return parseLsn(text);
    } catch {
      throw unreadable("pg_lsn");
    }
  },
};

/** int2vector and oidvector: numbers apart by blanks. */
export const vector: Decoder<readonly number[]> = {
  decode: (text) => (text === "" ? [] : text.split(" ").map(integer.decode)),
};
