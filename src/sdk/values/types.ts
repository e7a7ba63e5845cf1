// `types`: what the code that `afterimage types` writes is made of, by the names that it uses.
import { array } from "./array.ts";
import { bytes } from "./bytes.ts";
import { text } from "./decoder.ts";
import { circle, line, path, point, polygon, twoPoints } from "./geometric.ts";
import { interval } from "./interval.ts";
import { json, jsonb } from "./json.ts";
import { bigInteger, bool, float, integer, lsn, vector } from "./numbers.ts";
import { multirange, range } from "./range.ts";
import { timestamptz } from "./timestamp.ts";
import { composite, enumeration, hstore, numberList } from "./user-types.ts";

/** Decoders without parameters. */
export const SIMPLE_TYPES = {
  ...{ bool, integer, bigInteger, float, text, bytes, json, jsonb, timestamptz, interval, lsn, vector },
  ...{ point, line, twoPoints, path, polygon, circle, hstore, numberList },
} as const;

export const types = { ...SIMPLE_TYPES, array, range, multirange, enumeration, composite } as const;
