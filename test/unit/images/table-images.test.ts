// The rows that an event finds are those that the stream told last, before and after they are stored, and nothing else.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { ImageFile, type StreamIdentity } from "../../../src/images/image-file.ts";
import { TableImages } from "../../../src/images/table-images.ts";
import { lsn, tableSchema } from "../event/tables.ts";

const SHAPE = {
  ...tableSchema(
    [
      ["id", "int4"],
      ["v", "text"],
    ],
    { id: 1 },
  ),
  readAt: lsn(0),
};
const IDENTITY: StreamIdentity = { stream: "shop", systemId: "7", database: 5, epoch: 1 };

let folder: string;
let file: ImageFile;
const path = () => join(folder, "a.images");
const open = (sequence = 1_000_000, identity = IDENTITY) => ImageFile.open(path(), identity, sequence);
const table = () =>
  new TableImages({ table: "public.t", topic: "shop.public.t" }, path(), file.table("public.t", "topic"));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "images-"));
  file = open();
});
afterEach(() => {
  file.close();
  rmSync(folder, { recursive: true });
});

function store(images: TableImages, sequence: number): void {
  file.transaction(() => images.store(sequence, new Map()), sequence);
}

function reopen(sequence?: number, identity?: StreamIdentity): TableImages {
  file.close();
  file = open(sequence, identity);
  return table();
}

function put(
  images: TableImages,
  sequence: number,
  key: string,
  row: Parameters<TableImages["put"]>[1],
  shape = SHAPE,
) {
  images.begin(shape, sequence, lsn(sequence));
  images.put(key, row);
}

/** What an event of the table at this place finds. */
function known(images: TableImages, sequence: number, key: string, shape = SHAPE) {
  images.begin(shape, sequence, lsn(sequence));
  return images.known(key);
}

test("a row is known from its event on; a kill takes back what was not stored", () => {
  let images = table();
  put(images, 1, "a", ["1", "one"]);
  put(images, 2, "a", ["1", "two"]);
  put(images, 3, "b", ["2", null]);
  put(images, 4, "a", ["1", "four"]);
  expect(known(images, 5, "a")).toEqual(["1", "four"]);
  store(images, 3);
  expect(known(images, 5, "a")).toEqual(["1", "four"]);
  images = reopen();
  expect(images.sequence).toBe(3);
  expect(known(images, 4, "a")).toEqual(["1", "two"]);
  expect(known(images, 4, "b")).toEqual(["2", null]);
  expect(known(images, 4, "c")).toBeNull();
});

test("a row that leaves a value out, and one that was deleted, are not known", () => {
  const images = table();
  put(images, 1, "a", ["1", "one"]);
  put(images, 2, "a", ["1", UNCHANGED]);
  expect(known(images, 3, "a")).toBeNull();
  put(images, 3, "a", ["1", "three"]);
  store(images, 3);
  images.begin(SHAPE, 4, lsn(4));
  images.remove("a", null);
  expect(known(images, 5, "a")).toBeNull();
  store(images, 4);
  expect(known(reopen(), 5, "a")).toBeNull();
});

test.each([
  ["truncate", (images: TableImages) => images.truncated(), true],
  ["gap", (images: TableImages) => images.gap(4), false],
])("after a %s nothing of before is known, stored or not, and what follows is", (_, strike, whole) => {
  const images = table();
  put(images, 1, "a", ["1", "one"]);
  store(images, 1);
  put(images, 2, "b", ["2", "two"]);
  images.begin(SHAPE, 4, lsn(4));
  strike(images);
  put(images, 5, "b", ["2", "five"]);
  const expectOnlyNew = (after: TableImages) => {
    expect(["a", "b"].map((key) => known(after, 6, key))).toEqual([null, ["2", "five"]]);
    expect(after.whole).toBe(whole);
  };
  expectOnlyNew(images);
  store(images, 5);
  expectOnlyNew(images);
  expectOnlyNew(reopen());
});

test("one that is stored up to before a truncate forgets nothing yet", () => {
  let images = table();
  put(images, 1, "a", ["1", "one"]);
  images.begin(SHAPE, 2, lsn(2));
  images.truncated();
  store(images, 1);
  expect(known(images, 3, "a")).toBeNull();
  images = reopen();
  expect(known(images, 2, "a")).toEqual(["1", "one"]);
});

test("another shape ends all images; the catalogue may be later than it, so none is kept up to there", () => {
  const later = { ...SHAPE, schema: 2, readAt: lsn(5) };
  let images = table();
  put(images, 1, "a", ["1", "one"]);
  put(images, 3, "a", ["1", "three"], later);
  expect(known(images, 4, "a", later)).toBeNull();
  put(images, 5, "a", ["1", "five"], later);
  expect(known(images, 6, "a", later)).toEqual(["1", "five"]);
  store(images, 3);
  images = reopen();
  expect(known(images, 4, "a", later)).toBeNull();
  put(images, 4, "a", ["1", "four"], later);
  expect(known(images, 5, "a", later)).toBeNull();
});

test("all rows are known after the sweep of a snapshot in which none was passed over", () => {
  const images = table();
  images.gap(1);
  put(images, 2, "a", ["1", UNCHANGED]);
  put(images, 3, "a", ["1", "read"]);
  images.sweep(4, 1);
  expect(images.whole).toBe(true);
  images.gap(5);
  put(images, 7, "a", ["1", "x"], { ...SHAPE, schema: 2, readAt: lsn(9) });
  images.sweep(8, 5);
  expect(images.whole).toBe(false);
});

test("the row of a key change is there for the very next event, also after a kill in between", () => {
  let images = table();
  put(images, 1, "a", ["1", "one"]);
  images.begin(SHAPE, 2, lsn(2));
  images.remove("a", ["1", "one"]);
  store(images, 2);
  images = reopen();
  images.begin(SHAPE, 3, lsn(3));
  expect(images.moved()).toEqual(["1", "one"]);
  images.put("b", ["2", "one"]);
  images.begin(SHAPE, 4, lsn(4));
  expect(images.moved()).toBeNull();
});

test("what is another server's, database's or epoch's, or beyond the stream's end, is thrown away", () => {
  const others = [{ systemId: "8" }, { database: 6 }, { epoch: 2 }];
  for (const other of others) {
    let images = table();
    put(images, 3, "a", ["1", "one"]);
    store(images, 3);
    images = reopen(3);
    expect(known(images, 4, "a")).toEqual(["1", "one"]);
    expect(known(reopen(3, { ...IDENTITY, ...other }), 4, "a")).toBeNull();
    images = reopen(3);
    put(images, 4, "a", ["1", "one"]);
    store(images, 4);
    expect(known(reopen(3), 4, "a")).toBeNull();
  }
});

test("others may not read the rows", () => {
  put(table(), 1, "a", ["1", "secret"]);
  const modes = readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o077]);
  expect(modes).toEqual([
    ["a.images", 0],
    ["a.images-wal", 0],
  ]);
});

test("a second process, another stream's file and another program's are refused by name, and left as they are", () => {
  expect(() => open()).toThrow(expect.objectContaining({ code: "IMAGES_LOCKED" }));
  table();
  file.close();
  const foreign = expect.objectContaining({ code: "IMAGES_FILE_FOREIGN" });
  expect(() => open(0, { ...IDENTITY, stream: "other" })).toThrow(foreign);
  const theirs = join(folder, "theirs.db");
  const database = new DatabaseSync(theirs);
  database.exec("CREATE TABLE precious (v); INSERT INTO precious VALUES (1)");
  database.close();
  expect(() => ImageFile.open(theirs, IDENTITY, 0)).toThrow(foreign);
  const again = new DatabaseSync(theirs);
  expect(again.prepare("SELECT * FROM precious").all()).toEqual([{ v: 1 }]);
  again.close();
  file = open();
});

test("a file that can't be used is named with a remedy, and without anything of its rows", () => {
  const broken = join(folder, "broken.images");
  writeFileSync(broken, "no database, secret");
  const failed = expect.objectContaining({ code: "IMAGES_FAILED", message: expect.not.stringContaining("secret") });
  expect(() => ImageFile.open(broken, IDENTITY, 0)).toThrow(failed);
  expect(() => ImageFile.open(join(folder, "none", "a"), IDENTITY, 0)).toThrow(failed);
  expect(() => ImageFile.open(folder, IDENTITY, 0)).toThrow(failed);
});

test("a record that tells only of another file, as after VACUUM FULL, keeps the rows, also when they are opened anew", () => {
  const rows = {
    file: 1,
    toast: 2,
    columns: "c",
    filled: [],
    types: {},
    place: "own",
    parts: "",
    composites: {},
    enums: {},
  };
  const shapes = [
    { ...SHAPE, rows },
    { ...SHAPE, schema: 2, rows: { ...rows, file: 9, toast: 8 } },
    { ...SHAPE, schema: 3, rows: { ...rows, file: 10, columns: "d" } },
  ] as const;
  const recorded = new Map(shapes.map((shape) => [shape.schema, shape]));
  const opened = () =>
    new TableImages({ table: "public.t", topic: "shop.public.t" }, path(), file.table("public.t", "topic"), recorded);
  let images = opened();
  put(images, 1, "1", ["1", "a"], shapes[0]);
  put(images, 2, "2", ["2", "b"], shapes[1]);
  expect(images.known("1")).toEqual(["1", "a"]);
  store(images, 2);
  images = opened();
  images.begin(shapes[0], 3, lsn(3));
  expect(images.known("2")).toEqual(["2", "b"]);
  images.begin(shapes[2], 4, lsn(4));
  expect(images.known("1")).toBeNull();
});
