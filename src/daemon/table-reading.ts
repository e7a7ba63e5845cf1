// Reads one table beside the stream, chunk by chunk: opens a window, reads rows that count, waits until the stream has
// passed them, and puts those into it of which the stream has nothing newer. A chunk that does not count is not
// published at all. (In the documentation this is a portion of a chunk: what a crash reads again is called that there.)
// Several may read one table, each over a connection of its own and a range of its keys, in any order among each other.
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyTexts } from "../capture/table-watch.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { KeyTexts } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { readEventEncoder } from "../sink/encode-own-event.ts";
import { ChunkReading, type CountedChunk, type TableParts, type Wanted } from "./chunk-reading.ts";
import { endSnapshot, giveUp, OnTheirWay, passChange, placeAsking } from "./placing.ts";
import { leftToReadAgain, withoutDoubles } from "./read-again.ts";
import type { OwnRange } from "./table-share.ts";

/** Keys that are read again at a time. */
const MOST_KEYS = 500;

export class TableReading {
  readonly #parts: TableParts;
  readonly #chunks: ChunkReading;
  readonly #oid: number;
  readonly #name: string;
  readonly #onTheirWay: OnTheirWay;
  #own: OwnRange | null = null;

  constructor(parts: TableParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#chunks = new ChunkReading(parts, table);
    this.#oid = oid;
    this.#name = name;
    this.#onTheirWay = new OnTheirWay(parts);
  }

  /**
   * Resolves when there is nothing left to do for one more: the table is read to its end and that is durable, or others
   * read what is left. With false when it left the publication before, which ends its snapshot without a sweep, since
   * rows that were not read are no rows that are gone. Rejects when the run ends.
   */
  async run(): Promise<boolean> {
    const { share, writers } = this.#parts;
    this.#range();
    await share.join(() => writers(this.#oid));
    for (let wanted = await this.#next(); wanted !== null; wanted = await this.#next()) {
      const chunk = await this.#chunks.read(wanted);
      failpoint("snapshot.chunk-read");
      if (chunk === null) {
        await this.#onTheirWay.arrived();
        share.left(this);
        const { generation } = wanted.range ?? wanted;
        return !(await giveUp(this.#parts, { oid: this.#oid, name: this.#name, generation }));
      }
      if (chunk === "again") {
        continue;
      }
      await this.#onTheirWay.put(chunk.after, (lsn, next) => this.#build(chunk, lsn, next));
    }
    return true;
  }

  /** Null when the table's snapshot is over, or the others do the rest. */
  async #next(): Promise<Wanted | null> {
    const { book, share, writers } = this.#parts;
    if (share.entry?.behind === true) {
      await this.#onTheirWay.arrived();
      await share.pass(
        () => passChange(this.#parts, this.#oid),
        () => writers(this.#oid, true),
      );
    }
    if (share.entry !== undefined && !this.#readsAgain()) {
      const range = this.#range();
      if (range !== null) {
        return { range, keys: null };
      }
    }
    // What is read next depends on what becomes of the chunks that are on their way.
    await this.#onTheirWay.arrived();
    const { entry } = share;
    if (entry === undefined) {
      share.left(this);
      return null;
    }
    if (entry.behind === true) {
      return this.#next();
    }
    if (this.#readsAgain()) {
      return { range: null, keys: entry.again.slice(0, MOST_KEYS), generation: book.generation(this.#oid) };
    }
    const range = this.#range();
    if (range !== null) {
      return { range, keys: null };
    }
    if (!share.mayLeave(this)) {
      share.left(this);
      await placeAsking(this.#parts, ZERO_LSN, (lsn, next) => this.#end(lsn, next));
    }
    return null;
  }

  #readsAgain(): boolean {
    const { share } = this.#parts;
    return share.entry !== undefined && share.entry.again.length > 0 && share.readsAgain(this);
  }

  /** The range that this one reads, or may read now. */
  #range(): OwnRange | null {
    const { book, share } = this.#parts;
    if (this.#own === null || this.#own.atEnd || this.#own.generation !== book.generation(this.#oid)) {
      this.#own = share.take();
    }
    return this.#own;
  }

  /** Called where the rows stand in the stream: from here on nothing about them is noted. */
  #build(chunk: CountedChunk, lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch, share } = this.#parts;
    const oid = this.#oid;
    if (share.entry !== undefined && book.generation(oid) === chunk.generation) {
      // Under another key, or of another table, these rows don't follow what stands before: then they are given up.
      book.announced(chunk.table);
    }
    if (share.entry === undefined || book.generation(oid) !== chunk.generation) {
      share.watch.close(chunk.window, null);
      return [];
    }
    const { table, sight, window, timestamp, rows, range, keys } = chunk;
    const { encoder } = table;
    const events: EncodedEvent[] = [];
    const stale: KeyTexts[] = [];
    const encode = readEventEncoder(table, { epoch, lsn, timestamp });
    for (const row of rows) {
      const fate = window.isQuiet ? "publish" : window.fateOf(encoder.recordKey(row)!, sight);
      if (fate === "publish") {
        events.push(encode(row, next()));
      } else if (fate === "read-again") {
        stale.push(keyTexts(encoder, row));
      }
    }
    if (range !== null) {
      book.advance(oid, range.upTo, chunk.atEnd ? null : keyTexts(encoder, rows.at(-1)!));
    }
    const entry = book.get(oid)!;
    const waiting = keys === null ? entry.again : leftToReadAgain(entry.again, { ...chunk, keys, encoder });
    book.change(oid, { again: withoutDoubles([...waiting, ...stale]), rows: entry.rows + events.length });
    share.watch.close(window, sight);
    return [...events, ...this.#end(lsn, next)];
  }

  /** The end of the table's snapshot, when nothing of it is left to be read. */
  #end(lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, share } = this.#parts;
    const { entry } = share;
    // Who ends it may have read nothing since the table was altered: the stream knows the shape that is in force.
    return entry?.ranges.length === 0 && entry.again.length === 0
      ? endSnapshot(this.#parts, book.tables.get(this.#oid)!, lsn, next)
      : [];
  }
}
