// Generated code for names that are anybody's text: it compiles, keeps every name, and has a fingerprint of its own.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { TableDefinitions } from "../../../src/sdk/index.ts";
import type { CatalogAttribute, CatalogType } from "../../../src/source/type-catalog.ts";
import { fingerprintOf, generateTypes } from "../../../src/typegen/generate.ts";
import type { TypedCatalog } from "../../../src/typegen/read-tables.ts";

const column = (name: string, typeOid: number, dimensions = 0): CatalogAttribute => ({
  ...{ name, typeOid, dimensions, generated: false },
});
const base = (oid: number, name: string, extension: string | null = null): CatalogType => ({
  ...{ oid, name, kind: "base", extension, bareName: name.replace(/^.*\./, "") },
});
const HOSTILE = 'a"; process.exit(1); //\n\u2028`$(x)*/';

const types: CatalogType[] = [
  ...[base(23, "int4"), base(25, "text"), base(603, "box"), base(70_000, "public.hstore", "hstore")],
  ...[base(70_001, "public.vector", "vector"), base(70_002, "public.geometry", "postgis"), base(70_003, "public.int4")],
  { oid: 1020, name: "_box", kind: "array", element: 603, delimiter: ";" },
  { oid: 1007, name: "_int4", kind: "array", element: 23, delimiter: "," },
  { oid: 70_010, name: `public."${HOSTILE}"`, kind: "enum", labels: [HOSTILE, "b"] },
  {
    oid: 70_011,
    name: "public.class",
    kind: "composite",
    attributes: [column("__proto__", 23), column(HOSTILE, 70_010)],
  },
  { oid: 70_012, name: "public.d", kind: "domain", base: 1007, dimensions: 2 },
  { oid: 70_013, name: "public.r", kind: "multirange", bound: 70_012 },
];
const catalog: TypedCatalog = {
  types: new Map(types.map((type) => [type.oid, type])),
  tables: [
    {
      name: "public.tables",
      key: ["__proto__"],
      columns: [column("__proto__", 23), column("1", 25), column(HOSTILE, 70_011)],
    },
    { name: 'public."Tables"', key: [], columns: [column("b", 1020), column("n", 1007, 3), column("m", 70_013)] },
    { name: `public."${HOSTILE}"`, key: [], columns: [column("h", 70_000), column("v", 70_001), column("g", 70_002)] },
    { name: "other.int4", key: [], columns: [column("own", 70_003), column("gone", 99_999)] },
  ],
};

const SDK = fileURLToPath(new URL("../../../src/sdk/index.ts", import.meta.url));

async function load(code: string): Promise<TableDefinitions> {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-typegen-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "tables.ts"), code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
  return (await import(join(folder, "tables.ts"))).tables;
}

test("names of any kind are kept, and types that share a name with built-in ones are not taken for them", async () => {
  const code = generateTypes(catalog, "shop", []);
  const tables = await load(code);
  expect(Object.keys(tables)).toEqual(catalog.tables.map(({ name }) => name));
  const [first, second, third, last] = Object.values(tables);
  expect(Object.keys(first!.columns).toSorted()).toEqual(["1", "__proto__", HOSTILE].toSorted());
  expect(first!.columns[HOSTILE]![1].decode('(5,"a""; process.exit(1); //\n\u2028`$(x)*/")')).toEqual(
    Object.fromEntries([
      ["__proto__", 5],
      [HOSTILE, HOSTILE],
    ]),
  );
  expect(second!.columns.b![1].decode("{(1,1),(0,0);(3,3),(2,2)}")).toHaveLength(2);
  expect(second!.columns.n![1].decode("{{{1}}}")).toEqual([[[1]]]);
  expect(second!.columns.m![1].decode('{["{{1,2}}",)}')).toMatchObject([{ lower: [[1, 2]], upper: null }]);
  expect(third!.columns.h![1].decode('"a"=>NULL')).toEqual({ a: null });
  expect(third!.columns.v![1].decode("[1,2.5]")).toEqual([1, 2.5]);
  expect(third!.columns.g![1].decode("0101")).toBe("0101");
  expect(last!.columns.own).toMatchObject(["public.int4", { decode: expect.any(Function) }]);
  expect(last!.columns.own![1].decode("x")).toBe("x");
  expect(last!.columns.gone![0]).toBe("oid 99999");
});

test("the exported types have names of their own", () => {
  const names = [...generateTypes(catalog, "shop", []).matchAll(/^export type (\S+) =/gm)].map(([, name]) => name);
  expect(names).toEqual(["Tables", "Tables2", expect.stringMatching(/^AProcessExit/), "OtherInt4"]);
});

test("asText names types, with their arrays, and columns", async () => {
  const tables = await load(generateTypes(catalog, "shop", ["box", 'public."Tables".m']));
  const { b, n, m } = tables['public."Tables"']!.columns;
  expect([b![1].decode("{"), m![1].decode("{")]).toEqual(["{", "{"]);
  expect(() => n![1].decode("{")).toThrow();
});

test("the fingerprint is the content's, whatever a formatter does to the rest", () => {
  const code = generateTypes(catalog, "shop", []);
  expect(fingerprintOf(code.replaceAll("  ", "\t").replaceAll(",\n", "\n"))).toBe(fingerprintOf(code));
  expect(fingerprintOf(generateTypes(catalog, "shop", ["box"]))).not.toBe(fingerprintOf(code));
  expect(fingerprintOf("export const tables = {};\n")).toBeNull();
});
