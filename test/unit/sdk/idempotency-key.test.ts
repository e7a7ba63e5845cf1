// Different parts, different key; and what would make different requests alike is refused.
import fc from "fast-check";
import { expect, test } from "vitest";
import { idempotencyKey, type KeyPart } from "../../../src/sdk/index.ts";
import { canonicalJson } from "../../../src/sdk/json/canonical.ts";

test("parts don't run into one another, and kinds are not mixed up", () => {
  const different: KeyPart[][] = [
    ["a|b", "c"],
    ["a", "b|c"],
    ["a|b|c"],
    ["a", "b", "c"],
    ["a", "b", "c", ""],
    ["", "a", "b", "c"],
    ["s1:a", "b"],
    ["as1:b"],
    [""],
    ["", ""],
    [null],
    ["null"],
    [true],
    ["true"],
    [1],
    [1n],
    ["1"],
    [Buffer.from("1")],
    ["ä"],
    ["a\u0308"],
  ];
  const keys = different.map((parts) => idempotencyKey(...parts));
  expect(new Set(keys).size).toBe(different.length);
  expect(keys.every((key) => /^[0-9a-f]{64}$/.test(key))).toBe(true);
});

// As sha256sum computes them. A key names stored results: another encoding would let every request of the last hour have its effect again.
test("the encoding never changes", () => {
  expect(idempotencyKey("a|b", "c")).toBe("1829aa0fab6db82473403b5a9a36db3d94253129b9153ff59f244d5b0cbcfdfb");
  expect(idempotencyKey("payment", 7, 9n, true, null, new Uint8Array([0, 255]))).toBe(
    "571bfdb8aaebeb3620a951de557ea3d13d7883a7ad1c550d38aed3f64ab34372",
  );
});

const part = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
  fc.bigInt(),
  fc.boolean(),
  fc.constant(null),
);

test("equal keys exactly when equal parts", () => {
  const parts = fc.array(part, { minLength: 1, maxLength: 4 });
  const shown = (values: unknown[]) =>
    values
      .map((value) => `${typeof value} ${JSON.stringify(typeof value === "bigint" ? String(value) : value)}`)
      .join();
  fc.assert(
    fc.property(parts, parts, (a, b) => (idempotencyKey(...a) === idempotencyKey(...b)) === (shown(a) === shown(b))),
  );
});

test.each([
  [[]],
  [[undefined]],
  [["a", undefined]],
  [[Number.NaN]],
  [[Number.POSITIVE_INFINITY]],
  [["\ud800"]],
  [[{}]],
  [[new Date(0)]],
  [[["a"]]],
])("%j is refused", (parts) => {
  expect(() => idempotencyKey(...(parts as KeyPart[]))).toThrow(expect.objectContaining({ code: "KEY_PART_INVALID" }));
});

test("JSON has one text for equal values", () => {
  const text = (value: unknown) => canonicalJson(value, "It");
  expect(text({ b: [1, -0, 1e21], a: { y: "\u0000\ud800", x: undefined }, "": null })).toBe(
    '{"":null,"a":{"y":"\\u0000\\ud800"},"b":[1,0,1e+21]}',
  );
  expect(text(JSON.parse('{"__proto__":1,"a":2}'))).toBe('{"__proto__":1,"a":2}');
  fc.assert(fc.property(fc.jsonValue(), (value) => text(JSON.parse(text(value))) === text(value)));
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
      return text(Object.fromEntries(Object.entries(object).reverse())) === text(object);
    }),
  );
});

const circle: unknown[] = [];
circle.push({ again: circle });

test.each([
  ["undefined", undefined],
  ["undefined in an array", [undefined]],
  ["NaN", { a: Number.NaN }],
  ["bigint", 1n],
  ["Date", [new Date(0)]],
  ["Map", new Map()],
  ["function", () => 1],
  ["symbol", Symbol("a")],
  ["toJSON", { toJSON: () => 1 }],
  ["a circle", circle],
])("%s is refused, since JSON would change it", (_, value) => {
  expect(() => canonicalJson(value, "It")).toThrow(expect.objectContaining({ code: "VALUE_NOT_JSON" }));
});
