// Every type that the server knows, with the values that others get wrong: what a snapshot reads of rows that are older than
// the stream, and what is streamed of the same rows, before and after, is what an independent client reads as text; and what
// the SDK decodes of it is the same value, or refused by name.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ReadEvent, UpdateEvent, WireValue } from "../../src/event/change-event.ts";
import type { TableDefinitions } from "../../src/sdk/index.ts";
import { BUILT_IN } from "../../src/sdk/values/built-in.ts";
import type { Decoder } from "../../src/sdk/values/decoder.ts";
import { CapturedStream, type StoredEvent } from "../support/captured-stream.ts";
import { type TypeColumn, typeColumns, UNWRITABLE } from "../support/type-columns.ts";
import { EXTENSIONS, HOSTILE, PINNED, USER_TYPES } from "../support/type-database.ts";
import { waitFor } from "../support/wait-for.ts";

const COLUMNS_A_TABLE = 40;
const SDK = fileURLToPath(new URL("../../src/sdk/index.ts", import.meta.url));

interface TableOfTypes {
  readonly name: string;
  readonly columns: readonly TypeColumn[];
  readonly rows: number;
}

const seed = Math.floor(Math.random() * 2 ** 31);
let stream: CapturedStream;
let tables: TableOfTypes[];
/** As an ordinary client reads them under the pinned settings, by table, row and column. */
let printed: Map<string, (string | null)[][]>;
/** Of every row the record of its snapshot, and that of its update. */
let stored: { read: StoredEvent[]; update: StoredEvent[] };
let generated: TableDefinitions;

beforeAll(async () => {
  stream = await CapturedStream.prepare("", { AFTERIMAGE_TABLES: "public.t*", AFTERIMAGE_SNAPSHOT: "initial" });
  const { client } = stream.database;
  for (const [name, value] of Object.entries(HOSTILE)) {
    await client.query(`ALTER DATABASE ${stream.database.name} SET ${name} = ${pg.escapeLiteral(value)}`);
  }
  const { rows } = await client.query("SELECT name FROM pg_available_extensions WHERE name = ANY ($1)", [EXTENSIONS]);
  for (const { name } of rows) {
    await client.query(`CREATE EXTENSION ${name}`);
  }
  await client.query(USER_TYPES);
  await client.query(PINNED.replace("search_path = ''", "search_path = public"));
  const columns = await typeColumns(client, seed);
  tables = [];
  for (let at = 0; at < columns.length; at += COLUMNS_A_TABLE) {
    tables.push(await createTable(`t${tables.length}`, columns.slice(at, at + COLUMNS_A_TABLE)));
  }
  for (const table of tables) {
    await fill(table, (column, row) => column.texts[row] ?? null);
  }
  await stream.start();
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, {
    what: "the end of the snapshots",
    timeout: 120_000,
  });
  await stream.sql(tables.map(({ name }) => `UPDATE ${name} SET id = id`).join(";"));
  printed = await readBack(tables);
  await stream.published();
  const all = await stream.stored();
  const those = (operation: string) => all.filter(({ event }) => event.operation === operation);
  stored = { read: those("read"), update: those("update") };
  generated = await generate();
});

afterAll(() => stream.drop());

async function createTable(name: string, columns: readonly TypeColumn[]): Promise<TableOfTypes> {
  const list = columns.map(({ declaration }, at) => `c${at} ${declaration}`);
  await stream.sql(`CREATE TABLE ${name} (id int PRIMARY KEY, ${list.join(", ")})`);
  await stream.sql(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
  return { name, columns, rows: Math.max(...columns.map(({ texts }) => texts.length)) + 1 };
}

/** Values go in as text of no type, which the column's own input function reads. */
async function fill(
  { name, columns, rows }: TableOfTypes,
  textOf: (column: TypeColumn, row: number) => string | null,
): Promise<void> {
  const parameters = columns.map((_, at) => `$${at + 1}`).join(", ");
  for (let row = 0; row < rows; row++) {
    const values = columns.map((column) => textOf(column, row));
    await stream.sql(`INSERT INTO ${name} VALUES (${row}, ${parameters})`, values).catch((cause) => {
      const shown = columns.map(({ declaration }, at) => `${declaration}: ${values[at]?.slice(0, 200)}`).join("\n");
      throw new Error(`Row ${row} of ${name}, seed ${seed}: ${cause.message}\n${shown}`);
    });
  }
}

/** Everything as text, whatever its type: the text protocol, and no parser of the driver. */
async function readBack(these: readonly TableOfTypes[]): Promise<Map<string, (string | null)[][]>> {
  const types = { getTypeParser: () => (text: string) => text };
  const client = new pg.Client({ connectionString: stream.database.url, types: types as never });
  await client.connect();
  try {
    await client.query(PINNED);
    const read = new Map<string, (string | null)[][]>();
    for (const { name } of these) {
      const { rows } = await client.query({ text: `SELECT * FROM public.${name} ORDER BY id`, rowMode: "array" });
      read.set(
        name,
        rows.map((row: (string | null)[]) => row.slice(1)),
      );
    }
    return read;
  } finally {
    await client.end();
  }
}

/** The decoders that `afterimage types` makes for these tables. */
async function generate(): Promise<TableDefinitions> {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-types-"));
  try {
    const file = join(folder, "tables.ts");
    const command = stream.ask("types", {}, ["--out", file]);
    expect(await command.exited(), command.output()).toMatchObject({ code: 0 });
    const code = readFileSync(file, "utf8");
    writeFileSync(file, code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
    return (await import(file)).tables;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether a value on the wire stands for this text; of a finite float, for any text of the same number. */
function standsFor(value: WireValue | undefined, text: string | null, type: string): boolean {
  switch (typeof value) {
    case "number":
      return text !== null && (/^float\d$/.test(type) ? Object.is(value, Number(text)) : String(value) === text);
    case "boolean":
      return text === (value ? "t" : "f");
    default:
      return value === text;
  }
}

type Image = "read" | "before" | "after";

/** Every value of every column: its place, its text, and what the stream holds of it. */
function* streamed(image: Image) {
  for (const { event } of stored[image === "read" ? "read" : "update"]) {
    const table = tables.find(({ name }) => `public.${name}` === event.table)!;
    const held = image === "before" ? (event as UpdateEvent).before : (event as UpdateEvent | ReadEvent).after;
    const row = Number((event as UpdateEvent | ReadEvent).key!.id);
    for (const [at, column] of table.columns.entries()) {
      const text = printed.get(table.name)![row]![at]!;
      yield { table, row, column, name: `c${at}`, text, value: held?.[`c${at}`] };
    }
  }
}

test("every type of the server has a column, or none can have one", async () => {
  const { rows } = await stream.sql("SELECT count(*)::int AS types FROM pg_type WHERE typtype <> 'p' AND typrelid = 0");
  const builtIn = tables.flatMap(({ columns }) => columns);
  expect(builtIn.length).toBeGreaterThan(Number(rows[0]!.types) * 0.5);
  for (const [, { name }] of BUILT_IN) {
    expect(builtIn.map(({ type }) => type)).toContain(name);
  }
});

test.each(UNWRITABLE.filter((name) => !name.includes(".")))("no column can hold a value of type %s", async (name) => {
  const made = stream.sql(
    `CREATE TEMP TABLE refused_${name} (c pg_catalog.${name} DEFAULT ''); INSERT INTO refused_${name} DEFAULT VALUES`,
  );
  // feature_not_supported, or invalid_table_definition for what is no column's type.
  await expect(made).rejects.toMatchObject({ code: expect.stringMatching(/^(0A000|42P16)$/) });
});

describe.each(["read", "before", "after"] as const)("the %s image", (image) => {
  test("holds every value as an independent client reads it", () => {
    const wrong = [];
    let count = 0;
    for (const { column, row, text, value } of streamed(image)) {
      count++;
      if (!standsFor(value, text, column.type)) {
        wrong.push({ type: column.declaration, row, text: text?.slice(0, 200), value });
      }
    }
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect(count).toBe(tables.reduce((sum, { rows, columns }) => sum + rows * columns.length, 0));
  });
});

test("a snapshot's image of a row is, byte for byte, what the stream has of it", () => {
  /** The JSON as it stands in the record; quotes inside strings have a backslash. */
  const between = (json: string, from: string, to: string) =>
    json.slice(json.indexOf(from) + from.length, json.indexOf(to));
  const place = ({ event }: StoredEvent) => `${event.table} ${JSON.stringify(event.key)}`;
  const read = new Map(stored.read.map((each) => [place(each), between(each.value!, ',"after":', ',"timestamp":')]));
  expect(stored.update).toHaveLength(read.size);
  for (const update of stored.update) {
    const both = [
      between(update.value!, ',"before":', ',"after":'),
      between(update.value!, ',"after":', ',"timestamp":'),
    ];
    const snapshot = read.get(place(update));
    expect(
      both.map((image) => image === snapshot),
      place(update),
    ).toEqual([true, true]);
  }
});

test("boolean, int2, int4, oid and finite floats are JSON's own, all else is a string", () => {
  const native: Record<string, string> = { bool: "boolean" };
  for (const name of ["int2", "int4", "oid", "float4", "float8"]) {
    native[name] = "number";
  }
  for (const { column, text, value } of streamed("after")) {
    if (value !== null && !/^(NaN|-?Infinity)$/.test(text ?? "")) {
      expect([column.type, typeof value]).toEqual([column.type, native[column.type] ?? "string"]);
    }
  }
});

test("generated decoders: each value is decoded to what prints as the same value, or refused by name", async () => {
  const back = new Map<string, (string | null)[][]>();
  const problems = [];
  for (const { table, row, column, name, text, value } of streamed("after")) {
    const [type, decoder] = generated[`public.${table.name}`]!.columns[name]!;
    expect(type).toBe(column.type);
    const rows = back.get(table.name) ?? Array.from({ length: table.rows }, () => []);
    back.set(table.name, rows);
    const result = text === null ? null : decode(decoder, value!, text);
    const refused = result instanceof Refused ? result.code : null;
    if (text !== null && !isRight(column, text, refused)) {
      problems.push({ type: column.declaration, text: text?.slice(0, 200), refused });
    }
    rows[row]!.push(refused !== null || result === null ? text : column.print(result, text!));
  }
  expect(problems, `seed ${seed}`).toEqual([]);
  // What was printed goes back to the server, which prints it once more.
  const copies = tables.map((table) => ({ ...table, name: `${table.name}_back` }));
  for (const [at, copy] of copies.entries()) {
    await stream.sql(`CREATE TABLE ${copy.name} (LIKE ${tables[at]!.name})`);
    const rows = back.get(tables[at]!.name)!;
    await fill(copy, (column, row) => rows[row]![copy.columns.indexOf(column)]!);
    const { rows: differ } = await stream.sql(
      copy.columns
        .map(({ declaration, type }, column) => {
          const compared = /^_?jsonb?$/.test(type) ? `::text::jsonb${type.startsWith("_") ? "[]" : ""}` : "::text";
          return `SELECT ${pg.escapeLiteral(declaration)} AS type, count(*)::int AS rows FROM ${tables[at]!.name} a
                    JOIN ${copy.name} b USING (id)
                   WHERE num_nulls(a.c${column}, b.c${column}) = 1
                      OR a.c${column}::text <> b.c${column}::text${compared === "::text" ? "" : ` AND a.c${column}${compared} <> b.c${column}${compared}`}`;
        })
        .join(" HAVING count(*) > 0 UNION ALL ")
        .concat(" HAVING count(*) > 0"),
    );
    expect(differ, `seed ${seed}`).toEqual([]);
  }
});

test('what `values: "decoded"` makes of built-in types is the same, and arrays of any depth besides', () => {
  for (const { table, column, name, text, value } of streamed("after")) {
    const own = [...BUILT_IN.values()].find(({ name }) => name === column.type)?.decoder;
    if (text !== null && own !== undefined) {
      const result = decode(own, value!, text);
      const other = decode(generated[`public.${table.name}`]!.columns[name]![1], value!, text);
      const isNested = isDeeper(column, text) && column.unrepresentable?.test(text) !== true;
      expect([column.type, result]).toEqual([column.type, isNested ? expect.any(Array) : other]);
    }
  }
});

function isRight(column: TypeColumn, text: string, refused: string | null): boolean {
  const hasNone = column.unrepresentable?.test(text) === true;
  if (column.isExact) {
    return refused === (hasNone || isDeeper(column, text) ? "VALUE_UNREPRESENTABLE" : null);
  }
  return refused === null || (refused === "VALUE_UNREPRESENTABLE" && (hasNone || text.includes("{{")));
}

/** Arrays are declared with one dimension, unless they are not. */
const isDeeper = ({ declaration, isArray }: TypeColumn, text: string): boolean =>
  isArray === true && text.startsWith("{{") && !declaration.endsWith("[][]");

function decode(decoder: Decoder<unknown>, value: WireValue, text: string): unknown {
  try {
    return typeof value === decoder.native ? value : decoder.decode(text);
  } catch (error) {
    return new Refused((error as { code: string }).code);
  }
}

class Refused {
  readonly code: string;
  constructor(code: string) {
    this.code = code;
  }
}
