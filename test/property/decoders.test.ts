// Any value, printed as Postgres prints it and decoded, is that value again; and what can't be decoded without loss is
// refused by name. The texts here are checked against a server's own in test/integration/types.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { array, nestedArray } from "../../src/sdk/values/array.ts";
import { bytes } from "../../src/sdk/values/bytes.ts";
import { type Decoder, text } from "../../src/sdk/values/decoder.ts";
import { circle, line, path, point, polygon, twoPoints } from "../../src/sdk/values/geometric.ts";
import { interval } from "../../src/sdk/values/interval.ts";
import { json, jsonb, jsonNull } from "../../src/sdk/values/json.ts";
import { bigInteger, bool, float, integer, lsn, vector } from "../../src/sdk/values/numbers.ts";
import { multirange, range } from "../../src/sdk/values/range.ts";
import { Timestamp, timestamptz } from "../../src/sdk/values/timestamp.ts";
import { composite, enumeration, hstore, numberList } from "../../src/sdk/values/user-types.ts";
import {
  asIs,
  type Print,
  printArray,
  printBool,
  printBytes,
  printComposite,
  printFloat,
  printGeometric,
  printHstore,
  printInterval,
  printLsn,
  printMultirange,
  printRange,
  printTimestamp,
} from "../support/postgres-text.ts";

const int4 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const string = fc.string({ unit: "binary" }).filter((one) => !one.includes("\0"));
const tricky = fc.oneof(string, fc.string({ unit: fc.constantFrom(..."\"\\{}(),;[] \tNUL'=>é") }), fc.constant("NULL"));
const double = fc.double();
const pointOf = fc.record({ x: double, y: double });
const timestamp = fc
  .tuple(fc.integer({ min: -210_866_803_200_000, max: 8_640_000_000_000_000 - 1 }), fc.integer({ min: 0, max: 999 }))
  .map(([milliseconds, microseconds]) => new Timestamp(milliseconds, microseconds));
const nullable = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: null });
const boundedBy = <T>(bound: fc.Arbitrary<T>) =>
  fc.record({
    empty: fc.constant(false as const),
    lower: nullable(bound),
    upper: nullable(bound),
    lowerInclusive: fc.boolean(),
    upperInclusive: fc.boolean(),
  });
const rangeOf = <T>(bound: fc.Arbitrary<T>) => fc.oneof(fc.constant({ empty: true as const }), boundedBy(bound));
// JSON.stringify writes 0 for -0.
const jsonOf = fc
  .json()
  .map((given) => JSON.parse(given))
  .filter((value) => value !== null);
const intervalOf = fc
  .record({ months: int4, days: int4, microseconds: int8 })
  .filter(({ microseconds }) => microseconds !== -(2n ** 63n));

const all: readonly [string, fc.Arbitrary<unknown>, Print, Decoder<unknown>][] = [
  ["bool", fc.boolean(), printBool, bool],
  ["int4", int4, asIs, integer],
  ["int8", int8, asIs, bigInteger],
  ["float8", double, printFloat, float],
  ["text", tricky, asIs, text],
  ["bytea", fc.uint8Array(), printBytes, bytes],
  ["pg_lsn", fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), printLsn, lsn],
  ["int2vector", fc.array(int4), (value) => value.join(" "), vector],
  ["timestamptz", timestamp, printTimestamp, timestamptz],
  ["interval", intervalOf, printInterval, interval],
  ["point", pointOf, printGeometric.point!, point],
  ["line", fc.record({ a: double, b: double, c: double }), printGeometric.line!, line],
  ["lseg", fc.tuple(pointOf, pointOf), printGeometric.lseg!, twoPoints],
  ["box", fc.tuple(pointOf, pointOf), printGeometric.box!, twoPoints],
  [
    "path",
    fc.record({ closed: fc.boolean(), points: fc.array(pointOf, { minLength: 1 }) }),
    printGeometric.path!,
    path,
  ],
  ["polygon", fc.array(pointOf, { minLength: 1 }), printGeometric.polygon!, polygon],
  ["circle", fc.record({ center: pointOf, radius: double }), printGeometric.circle!, circle],
  ["text[]", fc.array(nullable(tricky)), printArray(asIs), array(text)],
  ["bool[]", fc.array(nullable(fc.boolean())), printArray(printBool), array(bool)],
  ["bytea[]", fc.array(nullable(fc.uint8Array())), printArray(printBytes), nestedArray(bytes)],
  [
    "box[]",
    fc.array(nullable(fc.tuple(pointOf, pointOf))),
    printArray(printGeometric.box!, ";"),
    nestedArray(twoPoints, ";"),
  ],
  [
    "text[][]",
    fc.array(fc.array(nullable(tricky), { minLength: 2, maxLength: 2 }), { minLength: 1 }),
    printArray(asIs, ",", 2),
    array(text, 2),
  ],
  ["textrange", rangeOf(tricky), printRange(asIs), range(text)],
  ["tstzrange", rangeOf(timestamp), printRange(printTimestamp), range(timestamptz)],
  ["int8multirange", fc.array(boundedBy(int8)), printMultirange(asIs), multirange(bigInteger)],
  [
    "composite",
    fc.record({ a: nullable(tricky), b: nullable(int4), c: nullable(fc.array(nullable(tricky))) }),
    printComposite([asIs, asIs, printArray(asIs)]),
    composite("public.c", ["a", "b", "c"], { a: text, b: integer, c: array(text) }),
  ],
  ["hstore", fc.dictionary(tricky, nullable(tricky), { noNullPrototype: true }), printHstore, hstore],
  ["vector", fc.array(double), (value) => `[${value.map(printFloat).join(",")}]`, numberList],
  ["json", jsonOf, (value) => JSON.stringify(value), json],
  ["jsonb", jsonOf, (value) => JSON.stringify(value), jsonb],
];

test.each(all)("%s: decoded is what was printed", (_, values, print, decoder) => {
  fc.assert(
    fc.property(values, (value) => {
      const decoded = decoder.decode(print(value));
      expect(decoded).toEqual(value);
      // Two dates are equal to `expect` whatever their microseconds are.
      expect(print(decoded)).toBe(print(value));
    }),
  );
});

test.each(all.filter(([name]) => name !== "text" && !name.startsWith("json")))(
  "%s: other text is read as some value or refused by name, never another error",
  (_, values, print, decoder) => {
    const broken = fc.tuple(values, fc.nat(), fc.constantFrom("", "x", '"', "{", ")", ",")).map(([value, at, put]) => {
      const printed = print(value);
      const place = at % (printed.length + 1);
      return printed.slice(0, place) + put + printed.slice(place + 1);
    });
    fc.assert(
      fc.property(fc.oneof(broken, tricky), (given) => {
        try {
          decoder.decode(given);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(
            /^(VALUE_UNREADABLE|VALUE_UNREPRESENTABLE|TYPES_OUTDATED)$/,
          );
        }
      }),
    );
  },
);

const code = (decoder: Decoder<unknown>, given: string): unknown => {
  try {
    return decoder.decode(given);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("what JavaScript has no value for", () => {
  test.each([
    ["a moment without end", timestamptz, "infinity"],
    ["a moment without beginning", timestamptz, "-infinity"],
    ["a moment beyond Date", timestamptz, "294276-12-31 23:59:59.999999+00"],
    ["an interval without end", interval, "infinity"],
    ["an array that begins elsewhere", nestedArray(integer), "[0:1]={1,2}"],
    ["an array of other dimensions", array(integer), "{{1},{2}}"],
    ["a JSON number that would be rounded", json, '{"a":[9007199254740993]}'],
    ["a JSON number that would be infinite", json, "1e131071"],
    ["a JSON fraction with too many digits", json, "0.1000000000000000055"],
    ["a number in jsonb that would be rounded", jsonb, '{"a": [9007199254740993]}'],
    ["a fraction in jsonb that would be rounded", jsonb, "[-0.1000000000000000055]"],
    ["a number in jsonb that would be infinite", jsonb, "1e131071"],
    ["a JSON object with a name twice", json, '{"a":1, "b":{"a":2}, "\\u0061" : 3}'],
  ])("%s", (_, decoder, given) => {
    expect(code(decoder, given)).toBe("VALUE_UNREPRESENTABLE");
  });
});

test("JSON that loses nothing is decoded: equal numbers however they are written, names of different objects", () => {
  expect(
    json.decode('[1.10, 1e2, 100000000000000000000000, -0.0, 1E-7, 5e-324, {"a":{"a":[{"a":"{\\":1"}]}}]'),
  ).toEqual([...[1.1, 100, 1e23, -0, 1e-7, 5e-324], { a: { a: [{ a: '{":1' }] } }]);
  expect(Object.keys(json.decode('{"__proto__":1}') as object)).toEqual(["__proto__"]);
  expect(json.decode('"\\ud800\\u0000"')).toBe("\ud800\0");
});

test("SQL's NULL and the JSON value null are two things, also after JSON.stringify", () => {
  expect(json.decode("null")).toBe(jsonNull);
  expect(JSON.stringify([jsonNull, array(json).decode("{null,NULL}")])).toBe("[null,[null,null]]");
  expect(array(json).decode('{"null",NULL}')).toEqual([jsonNull, null]);
});

test("a moment keeps its microseconds, is a Date, and is written with all of them", () => {
  const moment = timestamptz.decode("2026-11-22 18:00:00.123456+00");
  expect(moment).toBeInstanceOf(Date);
  expect([moment.getTime(), moment.microseconds]).toEqual([Date.parse("2026-11-22T18:00:00.123Z"), 456]);
  expect(JSON.stringify({ moment })).toBe('{"moment":"2026-11-22T18:00:00.123456Z"}');
  expect(timestamptz.decode("4714-11-24 00:00:00+00 BC").toISOString()).toBe("-004713-11-24T00:00:00.000000Z");
  expect(timestamptz.decode("0001-12-31 23:59:59.5+00 BC").getUTCFullYear()).toBe(0);
});

test("a label or an attribute that came later is named as such, and no value is shown", () => {
  expect(code(enumeration("public.mood", ["calm"]), "new")).toBe("TYPES_OUTDATED");
  expect(code(composite("public.pair", ["x"], { x: text }), "(1,2)")).toBe("TYPES_OUTDATED");
  expect(() => integer.decode("secret")).toThrow(expect.not.stringContaining("secret"));
  expect(() => json.decode("secret")).toThrow(expect.not.stringContaining("secret"));
});
