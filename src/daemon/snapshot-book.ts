// How far the snapshots are, as the next progress record will say, and what the stream says of their tables meanwhile.
// Also the one who begins a snapshot when events alone don't lead to the table any more.

import type { CapturedEvent } from "../capture/captured-event.ts";
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyToReadAgain, TableWatch } from "../capture/table-watch.ts";
import type { TableSchema } from "../event/schema.ts";
import { type KeyTexts, type SnapshotState, type TableSnapshot, WHOLE_TABLE } from "../event/snapshot-state.ts";
import type { SnapshotSide } from "../pipeline/parts.ts";
import { type Missed, mayHoldMore, oddNames, refuseWithout, whatWasMissed } from "./missed.ts";
import { advanced, divided, isBegun, toBeRead, weigh } from "./table-snapshot.ts";

export interface BookRules {
  readonly snapshot: "initial" | "never";
  readonly onRewrite: "snapshot" | "halt";
}

/** Every progress record holds the keys to read again. Above so many characters of them the table is read anew. */
export const MOST_AGAIN = 64 * 1024;

export class SnapshotBook implements SnapshotSide {
  /** The captured tables that can be read, by OID. */
  readonly tables = new Map<number, CapturedTable>();
  /** Called when a snapshot of a whole table has to begin, or to begin again. */
  onBegun: (oid: number, why: string | null) => void = () => undefined;
  /** What the operator should know. */
  readonly notes: string[] = [];
  readonly #rules: BookRules;
  #state: SnapshotState;
  /** By name, what is known of a table where the stream stands. */
  readonly #current = new Map<string, TableSchema>();
  /** By name, what was announced, or had an event, last: an older version may still be in use. */
  readonly #seen = new Map<string, TableSchema>();
  /** Every name that a table had. */
  readonly #names = new Map<number, string>();
  /** Keys to read again that are not in `#state` yet: one transaction may name very many. */
  readonly #noted = new Map<number, string[][]>();
  /** Characters of the keys to read again, where some were noted. */
  readonly #weights = new Map<number, number>();
  /** How often what was read of a table was given up. */
  readonly #generations = new Map<number, number>();
  /** Tables with events behind the gap that opened their snapshot. */
  readonly #touched: Set<number>;
  /** Tables that are being read now. */
  readonly #watches = new Map<number, TableWatch>();

  /**
   * `recorded`: what is in force of every table; `tables`: those of them that are there; `gapsAreLast`: no event stands
   * behind the gaps of `state`.
   */
  constructor(
    state: SnapshotState,
    tables: Iterable<CapturedTable>,
    recorded: readonly TableSchema[] = [],
    rules: BookRules = { snapshot: "initial", onRewrite: "snapshot" },
    gapsAreLast = false,
  ) {
    this.#state = state;
    this.#touched = new Set(gapsAreLast ? [] : state.map(({ oid }) => oid));
    this.#rules = rules;
    for (const schema of recorded.toSorted((a, b) => a.schema - b.schema)) {
      this.#know(schema);
    }
    for (const table of tables) {
      this.#keep(table);
      this.#know(table.encoder.schema);
    }
  }

  get state(): SnapshotState {
    if (this.#noted.size > 0) {
      this.#state = this.#state.map((entry) => {
        const noted = this.#noted.get(entry.oid);
        return noted === undefined ? entry : { ...entry, again: [...entry.again, ...noted] };
      });
      this.#noted.clear();
    }
    return this.#state;
  }

  /** Throws KEY_CHANGED, TABLE_REPUBLISHED or TABLE_REWRITTEN where reading the table is not possible or not wanted. */
  announced(table: CapturedTable): void {
    const { encoder } = table;
    const { schema } = encoder;
    if (this.#seen.get(schema.table) === schema) {
      return;
    }
    this.#seen.set(schema.table, schema);
    const before = this.#current.get(schema.table);
    if (before === undefined) {
      this.#meet(table);
      return;
    }
    const missed = this.#missedSince(before, schema);
    if (missed !== null) {
      refuseWithout(this.#rules, table, missed);
    }
    if (missed !== null || schema.schema >= before.schema) {
      this.#know(schema);
      this.#keep(table);
    }
    if (missed !== null) {
      this.#begin(table, missed.why);
    }
  }

  /** Whether the table, as it is described here, has to be read anew once the stream has got there. */
  isNews({ encoder: { schema } }: CapturedTable): boolean {
    const before = this.#current.get(schema.table);
    return (
      before !== undefined && this.#seen.get(schema.table) !== schema && this.#missedSince(before, schema) !== null
    );
  }

  note(event: CapturedEvent): void {
    if (event.table === null) {
      return;
    }
    this.announced(event.table);
    if (this.#state.length === 0) {
      return;
    }
    const { oid } = event.table.encoder.schema;
    const entry = this.#state.find((one) => one.oid === oid);
    if (entry === undefined) {
      return;
    }
    this.#touched.add(oid);
    const watch = this.#watches.get(oid);
    watch?.note(event);
    if (watch !== undefined || isBegun(entry)) {
      const key = keyToReadAgain(event);
      if (key !== null) {
        this.#readAgain(entry, key);
      }
    }
  }

  /** A chunk of another generation than this was read of a snapshot that is given up, or begun anew. */
  generation(oid: number): number {
    return this.#generations.get(oid) ?? 0;
  }

  get(oid: number): TableSnapshot | undefined {
    return this.state.find((entry) => entry.oid === oid);
  }

  add(entry: TableSnapshot): void {
    this.#state = [...this.state, entry];
  }

  /** Whether events of the table may stand behind the gap that opened its snapshot. */
  isTouched(oid: number): boolean {
    return this.#touched.has(oid);
  }

  change(oid: number, what: Partial<TableSnapshot>): void {
    if (what.since !== undefined) {
      this.#touched.delete(oid);
    }
    if (what.again !== undefined) {
      this.#weights.delete(oid);
    }
    this.#state = this.state.map((entry) => (entry.oid === oid ? { ...entry, ...what } : entry));
  }

  /** A range of the table is read up to that key, or to its end (null). */
  advance(oid: number, upTo: KeyTexts | null, after: KeyTexts | null): void {
    this.change(oid, { ranges: advanced(this.get(oid)!.ranges, upTo, after) });
  }

  /** Makes several ranges of one: `ends` are the last keys of all but the last of them, in order. */
  split(oid: number, upTo: KeyTexts | null, ends: readonly KeyTexts[]): void {
    this.change(oid, { ranges: divided(this.get(oid)!.ranges, upTo, ends) });
  }

  /**
   * Rows are about to be read in that order. With false their table begins again: what is left of it was kept in another
   * one, where a key stands for other rows.
   */
  keepsOrder(oid: number, order: readonly string[]): boolean {
    const entry = this.get(oid)!;
    if (JSON.stringify(entry.order) === JSON.stringify(order)) {
      return true;
    }
    if (entry.order === undefined && !isBegun(entry)) {
      this.change(oid, { order });
      return true;
    }
    this.#beginAgain(oid);
    this.change(oid, { order });
    this.notes.push(`Table ${entry.table} is read from its beginning again: its key is sorted otherwise now.`);
    return false;
  }

  /** The snapshot of this table is over. */
  remove(oid: number): void {
    this.#watches.delete(oid);
    this.#weights.delete(oid);
    this.#generations.set(oid, this.generation(oid) + 1);
    this.#state = this.state.filter((entry) => entry.oid !== oid);
  }

  /** From now on every event of the table is noted. */
  watch(oid: number): TableWatch {
    const watch = new TableWatch();
    this.#watches.set(oid, watch);
    return watch;
  }

  /** The watch of the table's reading; not that of a snapshot which is over, though another one may have begun. */
  isWatchedBy(oid: number, watch: TableWatch): boolean {
    return this.#watches.get(oid) === watch;
  }

  #missedSince(before: TableSchema, schema: TableSchema): Missed | null {
    // What is older tells nothing of the catalogue that is not known already.
    const isOlder = schema.schema < before.schema;
    const { rows, publicationRel } = before;
    const former = this.#names.get(schema.oid);
    if (!isOlder && former !== undefined && former !== schema.table) {
      return { code: "TABLE_REPUBLISHED", why: `it was called ${former} before` };
    }
    const now = isOlder ? { ...schema, rows, publicationRel } : schema;
    // One that waits for the stream to pass what the catalogue shows answers such rows already.
    const isAnswered = this.get(schema.oid)?.behind === true;
    return whatWasMissed(before, now) ?? (isAnswered ? null : oddNames(before, now));
  }

  #readAgain(entry: TableSnapshot, key: string[]): void {
    const { oid } = entry;
    const weight = (this.#weights.get(oid) ?? weigh(entry.again)) + weigh([key]);
    if (weight > MOST_AGAIN) {
      this.#beginAgain(oid);
      return;
    }
    this.#weights.set(oid, weight);
    const noted = this.#noted.get(oid) ?? [];
    noted.push(key);
    this.#noted.set(oid, noted);
  }

  /** Behind the same gap: what is read from here on sees all that is streamed by then. */
  #beginAgain(oid: number): void {
    this.#forget(oid);
    this.change(oid, { ranges: [WHOLE_TABLE], again: [], rows: 0 });
  }

  /** What was read of the table so far counts no more. */
  #forget(oid: number): void {
    this.#noted.delete(oid);
    this.#weights.delete(oid);
    this.#generations.set(oid, this.generation(oid) + 1);
  }

  #begin(table: CapturedTable, why: string | null): void {
    const { oid, table: name } = table.encoder.schema;
    for (const entry of this.state.filter((one) => one.oid === oid || one.table === name)) {
      this.#forget(entry.oid);
    }
    const others = this.state.filter((entry) => entry.oid !== oid && entry.table !== name);
    this.#state = [...others, toBeRead(table, { behind: true })];
    this.onBegun(oid, why);
  }

  /** Instead of a table that had the name before. */
  #keep(table: CapturedTable): void {
    const { oid, table: name } = table.encoder.schema;
    for (const [other, { encoder }] of this.tables) {
      if (other !== oid && encoder.schema.table === name) {
        this.tables.delete(other);
      }
    }
    this.tables.set(oid, table);
  }

  #know(schema: TableSchema): void {
    this.#current.set(schema.table, schema);
    this.#names.set(schema.oid, schema.table);
  }

  /** A name that is new to the stream. */
  #meet(table: CapturedTable): void {
    const { schema } = table.encoder;
    const former = this.#names.get(schema.oid);
    this.#know(schema);
    this.#keep(table);
    if (former !== undefined) {
      this.#begin(table, `it was called ${former} before`);
    } else if (mayHoldMore(schema)) {
      this.#begin(table, null);
    } else if (this.#rules.snapshot === "never" && schema.publicationRel !== null) {
      this.notes.push(
        `Table ${schema.table} came into the publication while the daemon runs: rows that it held before are read only when asked for (afterimage snapshot ${schema.table}).`,
      );
    }
  }
}
