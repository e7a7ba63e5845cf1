// Images are a fold of the topic: whatever happens to a table, and wherever the daemon is killed, a `before` is the
// `after` before it or is not there, nothing that was filled in differs from the database, and a store that is rebuilt
// from the topic knows what the one that lived through it knows.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CapturedTableEvent } from "../../src/capture/captured-event.ts";
import type { CapturedTable } from "../../src/capture/captured-table.ts";
import { rowChanges } from "../../src/capture/row-images.ts";
import { type ColumnValue, UNCHANGED } from "../../src/event/column-value.ts";
import { type Lsn, toLsn } from "../../src/event/lsn.ts";
import { RowEncoder, type RowValues } from "../../src/event/row-encoder.ts";
import { noteStored } from "../../src/images/catch-up.ts";
import type { Images } from "../../src/images/images.ts";
import { parseStored } from "../../src/images/stored-event.ts";
import { encodeEvent } from "../../src/sink/encode-event.ts";
import { encodeGapEvent, encodeSweepEvent, readEventEncoder } from "../../src/sink/encode-own-event.ts";
import { IMAGED, ImageStore } from "../support/image-store.ts";
import { tableSchema } from "../unit/event/tables.ts";

type Step =
  | { do: "write" | "touch" | "delete" | "read"; id: number; value: string }
  | { do: "move"; id: number; to: number }
  | { do: "truncate" | "gap" | "alter" | "store" | "kill" };

const id = fc.nat({ max: 2 });
const value = fc.constantFrom("1e-07", "-0", "0.5", "NaN", "3");
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), id, value }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("touch" as const, "delete" as const, "read" as const), id, value }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), id, to: id }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "truncate" as const,
        "gap" as const,
        "alter" as const,
        "alter" as const,
        "store" as const,
        "kill" as const,
      ),
    }),
  },
);

const COLUMNS = [
  ["id", "int4"],
  ["n", "float8"],
  ["body", "text"],
] as const;
const TIME = "2026-11-22T18:00:00.123456Z";

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "images-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const newStore = () => new ImageStore(join(folder, String(files++)));

/** What is in the topic, and what is captured next. */
class World {
  readonly rows = new Map<number, RowValues>();
  readonly topic: { key: string | null; value: string }[] = [];
  readonly #encoders: RowEncoder[] = [];
  readonly store = newStore();
  /** Where the change stood that the catalogue's last look hides. */
  #alteredAt: number | null = null;
  #unstored: ((images: Images) => void)[] = [];
  #sequence = 0;

  constructor() {
    this.alter();
    this.#alteredAt = null;
  }

  get table(): CapturedTable {
    return { encoder: this.#encoders.at(-1)!, topic: IMAGED.topic, partitions: 1 };
  }

  get shapeOf() {
    return (schema: number) => this.#encoders[schema - 1]!;
  }

  /**
   * The catalogue is read a moment later than the first event of the new shape, and until then the column is dropped and
   * added once more, which nothing in the stream shows.
   */
  alter(): void {
    this.#alteredAt = this.#sequence;
    const readAt = toLsn(BigInt(this.#encoders.length === 0 ? 0 : this.#sequence + 3));
    this.#encoders.push(new RowEncoder({ ...tableSchema(COLUMNS, { id: this.#encoders.length + 1 }), readAt }));
  }

  /** Rows get another value without an event, once. */
  alterUnseen(now = false): void {
    if (this.#alteredAt !== null && (now || this.#sequence > this.#alteredAt)) {
      this.#alteredAt = null;
      for (const [key, row] of this.rows) this.rows.set(key, [row[0]!, row[1]!, "unseen"]);
    }
  }

  row(message: Parameters<typeof rowChanges>[0]): void {
    for (const change of rowChanges(message, this.table.encoder)) this.#event(change);
  }

  truncate(): void {
    this.#event({ operation: "truncate" });
  }

  own(
    build: (place: {
      sequence: number;
      epoch: number;
      lsn: Lsn;
      timestamp: string;
    }) => ReturnType<typeof encodeGapEvent>,
  ): void {
    const sequence = ++this.#sequence;
    const event = build({ sequence, epoch: 1, lsn: toLsn(BigInt(sequence)), timestamp: TIME });
    this.#do((images) => images.placed([event]));
    this.topic.push(event);
  }

  stored(): void {
    this.store.images.published({ sequence: this.#sequence, partitions: new Map() });
    this.#unstored = [];
  }

  /** What was not stored is captured once more, from the same WAL. */
  kill(): void {
    this.store.close();
    this.store.open();
    for (const again of this.#unstored) again(this.store.images);
  }

  #event(change: CapturedTableEvent["change"]): void {
    const sequence = ++this.#sequence;
    const transaction = { id: "7", epoch: 1, commitLsn: toLsn(BigInt(sequence)), timestamp: TIME };
    const event: CapturedTableEvent = {
      table: this.table,
      change,
      transaction,
      sequence,
      index: 1,
      message: 1,
      rest: 0,
      last: true,
    };
    const encode = (images: Images) => encodeEvent(images.complete(event));
    const { key, value: json } = encode(this.store.images);
    this.#unstored.push((images) => expect(encode(images).value).toBe(json));
    this.topic.push({ key, value: json });
  }

  #do(step: (images: Images) => void): void {
    step(this.store.images);
    this.#unstored.push(step);
  }
}

function play(world: World, now: Step): void {
  const { rows } = world;
  switch (now.do) {
    case "write": {
      const row: RowValues = [String(now.id), now.value, `body ${now.value}`];
      const relation = 16_400;
      world.row(
        rows.has(now.id) ? { kind: "update", relation, old: null, new: row } : { kind: "insert", relation, new: row },
      );
      rows.set(now.id, row);
      return;
    }
    case "touch": {
      const old = rows.get(now.id);
      if (old !== undefined) {
        world.row({ kind: "update", relation: 16_400, old: null, new: [old[0]!, now.value, UNCHANGED] });
        rows.set(now.id, [old[0]!, now.value, old[2]!]);
      }
      return;
    }
    case "move": {
      const old = rows.get(now.id);
      if (old !== undefined && !rows.has(now.to)) {
        const key: RowValues = [old[0]!, null, null];
        const moved: ColumnValue[] = [String(now.to), old[1]!, UNCHANGED];
        world.row({ kind: "update", relation: 16_400, old: { form: "key", values: key }, new: moved });
        rows.delete(now.id);
        rows.set(now.to, [moved[0]!, old[1]!, old[2]!]);
      }
      return;
    }
    case "delete": {
      const old = rows.get(now.id);
      if (old !== undefined) {
        world.row({ kind: "delete", relation: 16_400, old: { form: "key", values: [old[0]!, null, null] } });
        rows.delete(now.id);
      }
      return;
    }
    case "read": {
      // Rows are read after the catalogue was.
      world.alterUnseen(true);
      const row = rows.get(now.id);
      if (row !== undefined) world.own((place) => readEventEncoder(world.table, place)(row, place.sequence));
      return;
    }
    case "truncate":
      world.truncate();
      rows.clear();
      return;
    case "gap":
      world.own((place) => encodeGapEvent(world.table, "snapshot: test", place));
      world.own((place) => encodeSweepEvent(world.table, place.sequence - 1, place));
      // Something was changed without an event.
      for (const [key, row] of rows) rows.set(key, [row[0]!, row[1]!, `${String(row[2])} rewritten`]);
      return;
    case "alter":
      world.alter();
      for (const [key, row] of rows) rows.set(key, [row[0]!, row[1]!, "of another column"]);
      return;
    case "store":
      world.stored();
      return;
    case "kill":
      world.kill();
      return;
    default:
      throw now satisfies never;
  }
}

/** Each event's rows against the database's, as they were before and after it. */
function expectTrue(event: ReturnType<typeof parseStored>, before: string | undefined, world: World): void {
  if (event.operation === "update" || event.operation === "delete") {
    const whole = event.before !== null && Object.keys(event.before).length === COLUMNS.length;
    if (whole) expect(JSON.stringify(event.before)).toBe(before);
  }
  if (event.after !== null && "key" in event && event.key !== null) {
    const row = world.rows.get(Number(event.key.id))!;
    const body = (event.after as { body?: string }).body;
    expect([undefined, row[2]]).toContain(body);
  }
}

test("whatever happens to the table, and wherever it is killed", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
      const world = new World();
      const rebuilt = newStore();
      try {
        const afters = new Map<string | null, string>();
        for (const now of steps) {
          const from = world.topic.length;
          world.alterUnseen();
          play(world, now);
          for (const { key, value: json } of world.topic.slice(from)) {
            const event = parseStored(json);
            expectTrue(event, afters.get(key), world);
            afters.set(key, JSON.stringify(event.after));
            const record = {
              partition: 0,
              offset: 0n,
              key: key === null ? null : Buffer.from(key),
              value: null,
              timestamp: 0n,
            };
            noteStored(rebuilt.table, { event, json, record }, world.shapeOf);
          }
        }
        const next = world.topic.length + 10;
        for (let key = 0; key < 5; key++) {
          const [lived, made] = [world.store.table, rebuilt.table].map((images) => {
            images.begin(world.table.encoder.schema, next, toLsn(BigInt(next)));
            return images.known(`{"id":"${key}"}`);
          });
          expect(made).toEqual(lived);
        }
      } finally {
        world.store.close();
        rebuilt.close();
      }
    }),
    { numRuns: 40 },
  );
}, 120_000);
