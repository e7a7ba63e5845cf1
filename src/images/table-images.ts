// The last row of every key of one table, as of the event that was numbered last. What is not durable in Kafka yet is
// held in memory, as the batches are; the file gets it afterwards, so that it never holds what Kafka has aborted.
//
// A fold of the topic and of nothing else: whoever begins with the same events comes to the same rows.
import { type ColumnValue, UNCHANGED } from "../event/column-value.ts";
import type { Lsn } from "../event/lsn.ts";
import type { RowValues } from "../event/row-encoder.ts";
import { holdsSameRows, type TableSchema } from "../event/schema.ts";
import { imagesStep } from "./errors.ts";
import type { ImagePosition, TableFile, TableState } from "./image-file.ts";

/** What an event did. */
interface Step {
  readonly sequence: number;
  /** The key whose row it changed; null when all rows went, or none. */
  readonly key: string | null;
  readonly row: string | null;
  readonly clears: boolean;
  readonly state: TableState;
}

interface Pending {
  readonly sequence: number;
  readonly row: string | null;
}

export class TableImages {
  readonly table: string;
  readonly topic: string;
  readonly #path: string;
  readonly #file: TableFile;
  #state: TableState;
  /** The shape of the rows so far; null when that is not known. */
  #shape: TableSchema | null;
  /** Of the event that was noted last. */
  #sequence: number;
  /** Of the event at hand. */
  #at = 0;
  #trusted = true;
  #steps: Step[] = [];
  readonly #pending = new Map<string, Pending>();
  /** The last event of which the file does not know yet that all rows went. */
  #clearing = 0;

  /** `shapes`: all that the stream has recorded, by their ids. */
  constructor(
    named: { table: string; topic: string },
    path: string,
    file: TableFile,
    shapes: ReadonlyMap<number, TableSchema> = new Map(),
  ) {
    this.table = named.table;
    this.topic = named.topic;
    this.#path = path;
    this.#file = file;
    const { sequence, state } = file.stored();
    this.#sequence = sequence;
    this.#state = state;
    this.#shape = state.schema === null ? null : (shapes.get(state.schema) ?? null);
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Whether every row of the table is known. */
  get whole(): boolean {
    return this.#state.whole;
  }

  /**
   * An event of a row. When its shape is another one than that of the rows so far, all are forgotten: nothing tells
   * which column of the one is which of the other. The catalogue, from which the shape is, may have been read later than
   * where the change stands, so nothing below that position is kept either. `committedAt` is null for a row that a
   * snapshot read: that was after the catalogue.
   */
  begin(schema: TableSchema, sequence: number, committedAt: Lsn | null): void {
    this.#at = sequence;
    const before = this.#state.schema;
    if (before !== schema.schema && this.#shape !== null && holdsSameRows(this.#shape, schema)) {
      this.#state = { ...this.#state, schema: schema.schema };
    } else if (before !== schema.schema) {
      this.#state = { ...this.#state, schema: schema.schema, trustFrom: schema.readAt, moving: null };
      if (before !== null) {
        this.#clear(false);
      }
    }
    this.#shape = schema;
    this.#trusted = committedAt === null || committedAt >= this.#state.trustFrom;
  }

  /** The row of this key as the stream told it last; null when that is not known, or there is none. */
  known(key: string): RowValues | null {
    if (!this.#trusted) {
      return null;
    }
    const pending = this.#pending.get(key);
    const text =
      pending !== undefined
        ? pending.row
        : this.#clearing > 0
          ? null
          : imagesStep(this.#path, () => this.#file.get(key));
    return text === null ? null : (JSON.parse(text) as ColumnValue[]);
  }

  /** The row that the delete right before this event took away from its old key. */
  moved(): RowValues | null {
    const { moving } = this.#state;
    return moving === null || this.#sequence !== this.#at - 1 || !this.#trusted
      ? null
      : (JSON.parse(moving) as ColumnValue[]);
  }

  /** The row after the event; one that leaves values out is not known. */
  put(key: string, row: RowValues): void {
    const known = this.#trusted && !row.includes(UNCHANGED);
    if (!this.#trusted) {
      this.#state = { ...this.#state, whole: false, cleared: this.#at };
    } else if (!known) {
      // While a snapshot is under way the row is still to be read.
      this.#state = { ...this.#state, whole: false };
    }
    this.#settle(key, known ? JSON.stringify(row) : null, null);
  }

  /** The row is gone; `moving`: as a whole, when it goes on under another key. */
  remove(key: string, moving: RowValues | null): void {
    const known = this.#trusted && moving !== null && !moving.includes(UNCHANGED);
    this.#settle(key, null, known ? JSON.stringify(moving) : null);
  }

  /** No row is left. */
  truncated(): void {
    this.#clear(true);
  }

  /** Something is missing from the stream: rows may be others by now. */
  gap(sequence: number): void {
    this.#at = sequence;
    this.#clear(false);
  }

  /** Every row since that gap was told. */
  sweep(sequence: number, since: number): void {
    this.#at = sequence;
    this.#state = { ...this.#state, whole: this.#state.whole || this.#state.cleared <= since };
    this.#step(null, null, false);
  }

  /**
   * Everything up to this sequence is durable in Kafka: the file gets it. Called inside a transaction of the file.
   * Whether there was anything.
   */
  store(sequence: number, positions: ReadonlyMap<number, ImagePosition>): boolean {
    const count = this.#steps.findIndex((step) => step.sequence > sequence);
    const durable = this.#steps.splice(0, count < 0 ? this.#steps.length : count);
    const last = durable.at(-1);
    if (last === undefined) {
      return false;
    }
    for (const step of durable) {
      this.#storeStep(step, sequence);
    }
    this.#file.save(last.sequence, last.state);
    for (const [partition, position] of positions) {
      this.#file.savePosition(partition, position);
    }
    return true;
  }

  /** Whether `store` would have anything to do. */
  hasDurable(sequence: number): boolean {
    return this.#steps.length > 0 && this.#steps[0]!.sequence <= sequence;
  }

  #storeStep({ sequence, key, row, clears }: Step, upTo: number): void {
    if (clears) {
      this.#file.clear();
      if (this.#clearing <= sequence) {
        this.#clearing = 0;
      }
    }
    if (key === null) {
      return;
    }
    const pending = this.#pending.get(key);
    if (pending?.sequence === sequence) {
      this.#pending.delete(key);
    } else if (pending !== undefined && pending.sequence <= upTo) {
      return; // a later event of the same key is stored in this transaction too
    }
    if (row === null) {
      this.#file.remove(key);
    } else {
      this.#file.put(key, row);
    }
  }

  #settle(key: string, row: string | null, moving: string | null): void {
    if (this.#state.moving !== moving) {
      this.#state = { ...this.#state, moving };
    }
    this.#pending.set(key, { sequence: this.#at, row });
    this.#step(key, row, false);
  }

  #clear(whole: boolean): void {
    this.#state = { ...this.#state, whole, cleared: this.#at, moving: null };
    this.#pending.clear();
    this.#clearing = this.#at;
    this.#step(null, null, true);
  }

  #step(key: string | null, row: string | null, clears: boolean): void {
    this.#sequence = this.#at;
    this.#steps.push({ sequence: this.#at, key, row, clears, state: this.#state });
  }
}
