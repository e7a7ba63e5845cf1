// The rows of a fold: each row that an event leaves is appended to a log on disk, and an index in memory knows the last one
// of each key. Nothing is written in place, so a table that is larger than any cache costs no more for each event.
import { digestOf } from "./canonical.ts";
import { KEY_BYTES, KeyIndex } from "./key-index.ts";
import type { LoggedRow, RowLog } from "./row-log.ts";

export interface FoldedRow extends LoggedRow {
  /** How often; of a table with a key 1. Below zero when older rows were removed. */
  readonly count: number;
}

export type FoldedPlace = Pick<LoggedRow, "partition" | "offset" | "sequence">;

/** Of one table. Positions in the index are one more than in the log, which begins at zero. */
export class TableRows {
  readonly #log: RowLog;
  #index = new KeyIndex();
  /** What lies before it is gone. */
  #least = 1;

  /** Several tables may share a log. */
  constructor(log: RowLog) {
    this.#log = log;
  }

  /** The row of a key from now on; null for none. */
  put(key: string, row: string | null, schema: number, place: FoldedPlace): void {
    const digest = keyDigest(key);
    this.#index.set(digest, this.#append(digest, row, schema, place));
  }

  /** One more of this row in a table without a key, or one less. */
  add(row: string, schema: number, count: 1 | -1, place: FoldedPlace): void {
    const digest = keyDigest(row);
    const before = this.#index.position(digest) < this.#least ? 0 : this.#index.count(digest);
    this.#index.set(digest, this.#append(digest, row, schema, place), before + count);
  }

  get(key: string): LoggedRow | undefined {
    const position = this.#index.position(keyDigest(key));
    return position < this.#least ? undefined : this.#log.at(position - 1);
  }

  clear(): void {
    this.#index = new KeyIndex();
  }

  /** Without what an event before this sequence left last. */
  sweep(since: number): void {
    this.#least = Math.max(this.#least, this.#log.positionOf(since) + 1);
  }

  /** Every key, in no order that means anything. */
  *all(): Generator<FoldedRow> {
    for (const [position, count] of this.#index.inLogOrder(this.#least)) {
      yield { ...this.#log.at(position - 1), count };
    }
  }

  /** The keys of these buckets in the order of their digests. */
  *inBuckets(buckets: ReadonlySet<number>): Generator<FoldedRow> {
    for (const [position, count] of this.#index.inKeyOrder(this.#least, buckets)) {
      yield { ...this.#log.at(position - 1), count };
    }
  }

  #append(key: Buffer, row: string | null, schema: number, { partition, offset, sequence }: FoldedPlace): number {
    return this.#log.append({ key, row, schema, partition, offset, sequence }) + 1;
  }
}

const keyDigest = (text: string): Buffer => digestOf(text).subarray(0, KEY_BYTES);
