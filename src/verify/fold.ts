// The stream folded to rows: what every key holds after its last event.
import {
  type DeleteEvent,
  emptiesTable,
  type GapEvent,
  givesUpSnapshot,
  type InsertEvent,
  type ReadEvent,
  type RowEvent,
  type SweepEvent,
  type UpdateEvent,
  type WireRow,
} from "../event/change-event.ts";
import { convertToken, keyToken, splitRow, UNKNOWN_TOKEN, valueToken } from "./canonical.ts";
import type { StreamRecord } from "./partition-cursor.ts";
import { RowLog } from "./row-log.ts";
import type { Shape } from "./shape.ts";
import { TableRows } from "./table-rows.ts";

export interface FoldedTable {
  readonly rows: TableRows;
  readonly table: string;
  readonly topic: string;
  /** Of its last event. */
  shape: Shape;
  /** A truncate or a whole snapshot was seen: nothing older than the stream can be left. */
  truncated: boolean;
  /** It was, and no row has come since. */
  emptied: boolean;
  /** Why its rows can't be told from its events. */
  unfoldable: string | null;
}

export class Fold {
  readonly #log = new RowLog();
  readonly #shapeOf: (schema: number) => Shape | undefined;
  readonly #tables = new Map<string, FoldedTable>();
  /** Tables with a gap that no sweep has answered, and what it says. */
  readonly #open = new Map<string, string>();
  /** Those whose snapshot was given up. */
  readonly #givenUp = new Set<string>();
  /** Tables of which a whole snapshot was seen. */
  readonly #whole = new Set<string>();
  /** The row of a key change between its two halves, by column. */
  #moving: ReadonlyMap<string, string> | null = null;

  /** Tables that are not to be folded, by name. */
  readonly #skipped: ReadonlySet<string>;

  constructor(shapeOf: (schema: number) => Shape | undefined, skipped: ReadonlySet<string> = new Set()) {
    this.#shapeOf = shapeOf;
    this.#skipped = skipped;
  }

  close(): void {
    this.#log.close();
  }

  table(name: string): FoldedTable | undefined {
    return this.#tables.get(name);
  }

  /** Why the table can't be compared; null when it can. */
  obstacle(name: string): string | null {
    return this.#open.get(name) ?? this.#tables.get(name)?.unfoldable ?? null;
  }

  /** A snapshot of the table goes on while it is compared: what it reads may be newer than what it is compared with. */
  outrun({ event }: Pick<StreamRecord, "event">): void {
    if (event.table !== null) {
      this.#open.set(event.table, "a snapshot of it went on meanwhile; verify again after its end");
    }
  }

  apply(record: StreamRecord): void {
    const { event, topic } = record;
    if (event.table === null || event.table !== topic.table || this.#skipped.has(event.table)) {
      return; // an event in a foreign topic is reported by the check of the stream
    }
    if (event.operation === "gap" || event.operation === "sweep") {
      this.#bracket(event, event.table);
      return;
    }
    const shape = event.schema === null ? undefined : this.#shapeOf(event.schema);
    const table = this.#tableOf(event.table, topic.name, shape);
    if (table === null) {
      return;
    }
    switch (event.operation) {
      case "insert":
      case "read":
      case "update":
      case "delete":
        this.#row(table, record, event);
        break;
      case "truncate":
        table.rows.clear();
        table.truncated = true;
        break;
      default:
        throw event satisfies never;
    }
  }

  /** Whether the last snapshot of the table was given up, and none was whole since. */
  isGivenUp(name: string): boolean {
    return this.#givenUp.has(name);
  }

  /** Between a gap and its sweep the table is not what the stream says of it. */
  #bracket(event: GapEvent | SweepEvent, name: string): void {
    if (event.operation === "gap") {
      if (givesUpSnapshot(event)) {
        this.#givenUp.add(name);
        this.#open.set(name, `at sequence ${event.sequence} stands "${event.reason}", and not all rows were read`);
        return;
      }
      this.#givenUp.delete(name);
      this.#open.set(name, `the gap at sequence ${event.sequence} is not answered by a sweep`);
      const emptied = emptiesTable(event) ? this.#tables.get(name) : undefined;
      if (emptied !== undefined) {
        emptied.rows.clear();
        emptied.unfoldable = null;
        emptied.emptied = true;
      }
      return;
    }
    this.#open.delete(name);
    this.#givenUp.delete(name);
    this.#whole.add(name);
    const table = this.#tables.get(name);
    if (table !== undefined) {
      table.rows.sweep(event.since);
      table.truncated = true;
      if (table.shape.key.length > 0) {
        table.unfoldable = null; // of rows that had no key none is left
      }
    }
  }

  #tableOf(name: string, topic: string, shape: Shape | undefined): FoldedTable | null {
    const known = this.#tables.get(name);
    if (shape === undefined) {
      return known ?? null;
    }
    if (known === undefined) {
      const rows = new TableRows(this.#log);
      const truncated = this.#whole.has(name);
      const made: FoldedTable = { rows, table: name, topic, shape, truncated, emptied: false, unfoldable: null };
      this.#tables.set(name, made);
      return made;
    }
    if (known.shape !== shape) {
      if (shape.key.length === 0 && !known.emptied && !shape.hasSameColumns(known.shape)) {
        known.unfoldable = "it has no key and its columns changed, so old rows can't be told from new ones";
      }
      known.shape = shape;
    }
    return known;
  }

  #row(table: FoldedTable, record: StreamRecord, event: RowEvent): void {
    table.emptied = false;
    if (table.shape.key.length === 0) {
      this.#keylessRow(table, record, event);
    } else if (event.key !== null) {
      const texts = table.shape.keyTexts(event.key, record.key ?? "");
      if (texts !== null) {
        this.#keyedRow(table, record, event, texts.map(keyToken).join(","));
      }
    }
  }

  #keyedRow(table: FoldedTable, record: StreamRecord, event: RowEvent, key: string): void {
    const place = { partition: record.partition, offset: record.offset, sequence: event.sequence };
    const schema = table.shape.schema.schema;
    if (event.operation === "delete") {
      const moves = event.nextKey !== undefined && event.unchanged !== undefined;
      this.#moving = moves ? this.#stored(table, key) : null;
      table.rows.put(key, null, schema, place);
      return;
    }
    const row = rowText(table.shape, event.after, () => this.#older(table, key, event));
    this.#moving = null;
    table.rows.put(key, row, schema, place);
  }

  /** The row that an event with unchanged columns continues; empty when the stream never held it. */
  #older(table: FoldedTable, key: string, event: InsertEvent | UpdateEvent | ReadEvent): ReadonlyMap<string, string> {
    const older = event.operation === "insert" ? this.#moving : this.#stored(table, key);
    return older ?? new Map();
  }

  #stored(table: FoldedTable, key: string): ReadonlyMap<string, string> | null {
    const found = table.rows.get(key);
    const shape = found === undefined ? undefined : this.#shapeOf(found.schema);
    if (found === undefined || found.row === null || shape === undefined) {
      return null;
    }
    const tokens = splitRow(found.row, shape.columns);
    const now = new Map(table.shape.columns.map(({ name, oid }) => [name, oid]));
    return new Map(
      shape.columns.map(({ name, oid }, at) => [name, convertToken(tokens[at]!, oid, now.get(name) ?? oid)]),
    );
  }

  #keylessRow(table: FoldedTable, record: StreamRecord, event: RowEvent): void {
    const removed = event.operation === "update" || event.operation === "delete" ? event.before : undefined;
    const added = event.operation === "delete" ? undefined : event.after;
    if (removed !== undefined && !isWhole(table.shape, removed, event)) {
      table.unfoldable = "it has no key, and its events don't hold the whole old row (REPLICA IDENTITY FULL)";
      return;
    }
    for (const [row, count] of [[removed, -1] as const, [added, 1] as const]) {
      if (row !== undefined && row !== null) {
        const text = rowText(table.shape, row, () => new Map());
        const { partition, offset } = record;
        table.rows.add(text, table.shape.schema.schema, count, {
          partition,
          offset,
          sequence: event.sequence,
        });
      }
    }
  }
}

function isWhole(shape: Shape, row: DeleteEvent["before"] | null, event: RowEvent): boolean {
  const unchanged = event.operation === "read" ? undefined : event.unchanged;
  return row !== null && unchanged === undefined && shape.columns.every(({ name }) => Object.hasOwn(row, name));
}

function rowText(shape: Shape, row: WireRow, older: () => ReadonlyMap<string, string>): string {
  let known: ReadonlyMap<string, string> | undefined;
  let text = "";
  for (const { name, oid } of shape.columns) {
    let token: string;
    if (Object.hasOwn(row, name)) {
      token = valueToken(row[name]!, oid);
    } else {
      known ??= older();
      token = known.get(name) ?? UNKNOWN_TOKEN;
    }
    text += text === "" ? token : `,${token}`;
  }
  return text;
}
