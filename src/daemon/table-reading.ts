// Reads one table beside the stream, chunk by chunk: opens a window, reads rows that count, waits until the stream has
// passed them, and puts those into it of which the stream has nothing newer. A chunk that does not count is not
// published at all. (In the documentation this is a portion of a chunk: what a crash reads again is called that there.)
// Several may read one table, each over a connection of its own and a range of its keys, in any order among each other.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyTexts, type Window } from "../capture/table-watch.ts";
import { parseTableName } from "../event/identifier.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { KeyTexts } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { readEventEncoder } from "../sink/encode-own-event.ts";
import type { ReadableTable, RowsWanted } from "../source/chunk-sql.ts";
import { errorCode } from "../source/session.ts";
import type { Chunk, ChunkStart } from "../source/snapshot-reader.ts";
import { endSnapshot, giveUp, nameMissing, OnTheirWay, passChange, placeAsking, type ReadingParts } from "./placing.ts";
import { leftToReadAgain, withoutDoubles } from "./read-again.ts";
import type { OwnRange, TableShare } from "./table-share.ts";

const MOST_ROWS = 10_000;
/** Keys that are read again at a time. */
const MOST_KEYS = 500;
/** Events that a window holds while its chunk waits to be counted. */
const MOST_NOTED = 100_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;
const LOCK_NOT_GRANTED = "55P03";
const COLUMN_GONE = "42703";

/** The next rows of a range, or some keys once more. */
type Wanted =
  | { readonly range: OwnRange; readonly keys: null }
  | { readonly range: null; readonly keys: readonly KeyTexts[]; readonly generation: number };

type CountedChunk = ChunkStart &
  Chunk &
  Wanted & {
    /** As its rows were read. */
    readonly table: CapturedTable;
    readonly window: Window;
    readonly generation: number;
  };

export interface TableParts extends ReadingParts {
  readonly share: TableShare;
  /** SQL condition of the rows that were asked for; null for all. */
  readonly where: string | null;
  /** Connections that have nothing to read. */
  readonly idle: () => number;
  /** There are ranges that nobody reads. */
  readonly employ: () => void;
}

export class TableReading {
  readonly #parts: TableParts;
  readonly #named: ReadableTable;
  readonly #name: string;
  readonly #onTheirWay: OnTheirWay;
  #table: CapturedTable;
  /** The shape that `#table` was made of. */
  #shape: string | null = null;
  #own: OwnRange | null = null;

  constructor(parts: TableParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#table = table;
    this.#name = name;
    this.#named = { oid, ...parseTableName(name) };
    this.#onTheirWay = new OnTheirWay(parts);
  }

  /**
   * Resolves when there is nothing left to do for one more: the table is read to its end and that is durable, or others
   * read what is left. With false when it left the publication before, which ends its snapshot without a sweep, since
   * rows that were not read are no rows that are gone. Rejects when the run ends.
   */
  async run(): Promise<boolean> {
    const { share, writers } = this.#parts;
    const { oid } = this.#named;
    this.#range();
    await share.join(() => writers(oid));
    for (let wanted = await this.#next(); wanted !== null; wanted = await this.#next()) {
      const chunk = await this.#readChunk(wanted);
      failpoint("snapshot.chunk-read");
      if (chunk === null) {
        await this.#onTheirWay.arrived();
        share.left(this);
        return !(await giveUp(this.#parts, oid, this.#name));
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
        () => passChange(this.#parts, this.#table),
        () => writers(this.#named.oid, true),
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
      return { range: null, keys: entry.again.slice(0, MOST_KEYS), generation: book.generation(this.#named.oid) };
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
    if (this.#own === null || this.#own.atEnd || this.#own.generation !== book.generation(this.#named.oid)) {
      this.#own = share.take();
    }
    return this.#own;
  }

  /** A chunk that counts; null when the table is gone, "again" when the table is read anew meanwhile. */
  async #readChunk(wanted: Wanted): Promise<CountedChunk | "again" | null> {
    const { reader, signal, waits, share, book } = this.#parts;
    const { generation } = wanted.range ?? wanted;
    const { watch } = share;
    let window = watch.open();
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const start = await reader.begin(this.#named);
        signal.throwIfAborted();
        if (start === null) {
          if ((await this.#parts.describe(this.#named.oid)) === null) {
            return null;
          }
          await sleep(pause, undefined, { signal });
          continue;
        }
        const missing = window.missing(start.sight);
        if (missing.length === 0 && start.shape === this.#shape) {
          waits(null);
          if (share.entry === undefined) {
            await reader.end();
            return null;
          }
          if (book.generation(this.#named.oid) !== generation) {
            // It is read anew, for a change that this chunk may not see.
            await reader.end();
            watch.close(window, start.sight);
            return "again";
          }
          const table = this.#table;
          const chunk = await this.#readRows(wanted);
          await reader.end();
          if (wanted.range !== null) {
            const last = chunk.rows.at(-1);
            wanted.range.after = last === undefined ? wanted.range.after : keyTexts(table.encoder, last);
            wanted.range.atEnd = chunk.atEnd;
            if (!chunk.atEnd) {
              share.sawChunk(chunk.rows.length);
            }
          }
          return { ...start, ...chunk, ...wanted, table, window, generation };
        }
        await reader.end();
        // It may wait for hours, and what a window notes is held in memory. Not every time: a server on which something
        // is always streamed and not seen yet would never have a chunk that counts.
        if (window.noted > MOST_NOTED) {
          watch.close(window, start.sight);
          window = watch.open();
        }
        if (missing.length > 0) {
          waits(await nameMissing(this.#parts, missing, pause));
          failpoint("snapshot.chunk-not-counted");
        } else {
          // Not inside the chunk's transaction: an ALTER TABLE that waits for that would make the look wait for it.
          const described = await this.#parts.describe(this.#named.oid);
          if (described === null) {
            return null;
          }
          this.#table = described;
          this.#shape = start.shape;
          continue;
        }
      } catch (error) {
        if (errorCode(error) === LOCK_NOT_GRANTED) {
          // REINDEX holds an index that is asked for only while rows are read: then the transaction is still there.
          await reader.end();
          waits("a lock on the table");
        } else if (errorCode((error as Error).cause) === COLUMN_GONE && this.#shape !== null) {
          this.#shape = null;
          await reader.end();
        } else {
          throw error;
        }
      }
      await sleep(pause, undefined, { signal });
    }
  }

  async #readRows({ range, keys }: Wanted): Promise<Chunk> {
    const { reader, maxBytes, share, idle, employ, where } = this.#parts;
    const { schema, keyPlaces } = this.#table.encoder;
    const key = keyPlaces.map((place) => schema.columns[place]!.name);
    if (range !== null && share.mayBeCut(range)) {
      const parts = idle() + 1;
      if (parts > 1) {
        const rest: RowsWanted = { key, after: range.after, upTo: range.upTo, keys: null, where };
        share.cut(range, await reader.sample(this.#named, rest, parts, maxBytes));
        employ();
      }
    }
    return reader.read(this.#named, {
      columns: schema.columns.map(({ name }) => name),
      key,
      after: range?.after ?? null,
      upTo: range?.upTo ?? null,
      keys,
      where,
      maxRows: MOST_ROWS,
      maxBytes,
    });
  }

  /** Called where the rows stand in the stream: from here on nothing about them is noted. */
  #build(chunk: CountedChunk, lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch, share } = this.#parts;
    const { oid } = this.#named;
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
    const { entry } = this.#parts.share;
    return entry?.ranges.length === 0 && entry.again.length === 0
      ? endSnapshot(this.#parts, this.#table, lsn, next)
      : [];
  }
}
