// Reads one table beside the stream, chunk by chunk: opens a window, reads rows that count, waits until the stream has
// passed them, and puts those into it of which the stream has nothing newer. A chunk that does not count is not
// published at all.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyTexts, type TableWatch, type Window } from "../capture/table-watch.ts";
import { parseTableName } from "../event/identifier.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { TableSnapshot } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { BuildEvents } from "../pipeline/placements.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { encodeReadEvent, encodeSweepEvent } from "../sink/encode-own-event.ts";
import { errorCode } from "../source/session.ts";
import type { Chunk, ChunkStart, ReadableTable, SnapshotReader } from "../source/snapshot-reader.ts";
import { type Key, leftToReadAgain, withoutDoubles } from "./read-again.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { wallTime } from "./wall-time.ts";

export interface ReadingParts {
  readonly book: SnapshotBook;
  readonly reader: SnapshotReader;
  readonly epoch: number;
  /** Of rows, as text, in a chunk. */
  readonly maxBytes: number;
  /** As of `Pipeline.place`. */
  readonly place: (after: Lsn, build: BuildEvents) => Promise<void>;
  /** Asks the server how far it has sent. */
  readonly ask: () => void;
  /** The table as the catalogue has it now; null when it is not published any more. Throws when it was renamed. */
  readonly describe: (oid: number) => Promise<CapturedTable | null>;
  /** Xids of transactions that write to the table. */
  readonly writers: (oid: number) => Promise<string[]>;
  /** Who can end those transactions, for people; those of whom nothing is known are left out. */
  readonly holders: (xids: readonly string[]) => Promise<string[]>;
  /** What it waits for, for people; null when for nothing. */
  readonly waits: (what: string | null) => void;
  readonly signal: AbortSignal;
}

const MOST_ROWS = 10_000;
/** Keys that are read again at a time. */
const MOST_KEYS = 500;
/** Events that a window holds while its chunk waits to be counted. */
const MOST_NOTED = 100_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;
const ASK_EVERY_MS = 20;
/** Who is waited for is looked up only when it takes longer than commits usually do. */
const LONG_PAUSE_MS = 100;
const MOST_NAMED = 3;
/** An idle server writes nothing out that would bring the stream on; a busy one needs no help. */
const FIRST_NUDGE_MS = 200;
const LOCK_NOT_GRANTED = "55P03";
const COLUMN_GONE = "42703";

interface CountedChunk extends ChunkStart, Chunk {
  readonly window: Window;
  /** The snapshot that it was read for. */
  readonly of: Pick<TableSnapshot, "since" | "where">;
  /** The keys that were asked for; null for the next rows after the cursor. */
  readonly keys: readonly Key[] | null;
}

export class TableReading {
  readonly #parts: ReadingParts;
  readonly #named: ReadableTable;
  readonly #name: string;
  readonly #watch: TableWatch;
  #table: CapturedTable;
  /** The shape that `#table` was made of. */
  #shape: string | null = null;

  /** From here on the table's events are noted. */
  constructor(parts: ReadingParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#table = table;
    this.#name = name;
    this.#named = { oid, ...parseTableName(name) };
    this.#watch = parts.book.watch(oid);
  }

  /** Resolves when the table is read to its end and that is durable; rejects when the run ends. */
  async run(): Promise<void> {
    const { writers, book } = this.#parts;
    const { oid } = this.#named;
    this.#watch.expect(await writers(oid));
    // Under another name it is read anew.
    for (let entry = book.get(oid); entry?.table === this.#name; entry = book.get(oid)) {
      const keys = entry.again.length === 0 ? null : entry.again.slice(0, MOST_KEYS);
      const chunk = await this.#readChunk(keys);
      failpoint("snapshot.chunk-read");
      if (chunk === null) {
        await this.#place(ZERO_LSN, (lsn, next) => this.#end(lsn, next));
      } else {
        await this.#place(chunk.after, (lsn, next) => this.#build(chunk, lsn, next));
      }
      failpoint("snapshot.chunk-stored");
    }
  }

  /** A chunk that counts; null when the table is gone. */
  async #readChunk(keys: CountedChunk["keys"]): Promise<CountedChunk | null> {
    const { reader, signal, waits } = this.#parts;
    let window = this.#watch.open();
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const start = await reader.begin(this.#named);
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
          const of = this.#parts.book.get(this.#named.oid);
          if (of?.table !== this.#name) {
            await reader.end();
            return null;
          }
          const chunk = await this.#readRows(of, keys);
          await reader.end();
          return { ...start, ...chunk, window, of, keys };
        }
        await reader.end();
        // It may wait for hours, and what a window notes is held in memory. Not every time: a server on which something
        // is always streamed and not seen yet would never have a chunk that counts.
        if (window.noted > MOST_NOTED) {
          this.#watch.close(window, start.sight);
          window = this.#watch.open();
        }
        if (missing.length > 0) {
          waits(await this.#nameMissing(missing, pause));
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

  async #nameMissing(missing: readonly string[], pause: number): Promise<string> {
    const named = missing.slice(0, MOST_NAMED);
    const holders = pause < LONG_PAUSE_MS ? [] : await this.#parts.holders(named);
    return holders.length > 0 ? holders.join("; ") : `transaction ${named.join(", ")}, which others can't see yet`;
  }

  #readRows({ cursor, where }: TableSnapshot, keys: CountedChunk["keys"]): Promise<Chunk> {
    const { reader, maxBytes } = this.#parts;
    const { schema, keyPlaces } = this.#table.encoder;
    return reader.read(this.#named, {
      columns: schema.columns.map(({ name }) => name),
      key: keyPlaces.map((place) => schema.columns[place]!.name),
      cursor: keys === null ? cursor : null,
      keys,
      where,
      maxRows: MOST_ROWS,
      maxBytes,
    });
  }

  /** Waits, asking, until the events are in the stream and durable. */
  async #place(after: Lsn, build: BuildEvents): Promise<void> {
    const { place, ask, reader } = this.#parts;
    const placed = new AbortController();
    const durable = place(after, (lsn, next) => {
      placed.abort();
      return build(lsn, next);
    });
    durable.catch(() => placed.abort());
    let nudge = FIRST_NUDGE_MS;
    let nudgeAt = performance.now() + nudge;
    while (!placed.signal.aborted) {
      ask();
      if (performance.now() > nudgeAt) {
        await reader.nudge();
        nudge *= 2;
        nudgeAt = performance.now() + nudge;
      }
      await sleep(ASK_EVERY_MS, undefined, { signal: placed.signal }).catch(() => undefined); // it is placed
    }
    failpoint("snapshot.chunk-placed");
    await durable;
  }

  /** Called where the rows stand in the stream: from here on nothing about them is noted. */
  #build(chunk: CountedChunk, lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch } = this.#parts;
    const { oid } = this.#named;
    const { encoder } = this.#table;
    const { sight, window, timestamp, rows, keys } = chunk;
    const events: EncodedEvent[] = [];
    // Under another key, or of another table, these rows don't follow what stands before.
    book.announced(this.#table);
    const entry = book.get(oid);
    if (entry?.table !== this.#name || entry.since !== chunk.of.since || entry.where !== chunk.of.where) {
      this.#watch.close(window, sight);
      return [];
    }
    const stale: Key[] = [];
    for (const row of rows) {
      const fate = window.fateOf(encoder.recordKey(row)!, sight);
      if (fate === "publish") {
        events.push(encodeReadEvent(this.#table, row, { sequence: next(), epoch, lsn, timestamp }));
      } else if (fate === "read-again") {
        stale.push(keyTexts(encoder, row));
      }
    }
    const last = rows.at(-1);
    const waiting = keys === null ? entry.again : leftToReadAgain(entry.again, { ...chunk, keys, encoder });
    book.change(oid, {
      cursor: keys === null && last !== undefined ? keyTexts(encoder, last) : entry.cursor,
      again: withoutDoubles([...waiting, ...stale]),
      atEnd: entry.atEnd || (keys === null && chunk.atEnd),
      rows: entry.rows + events.length,
    });
    this.#watch.close(window, sight);
    const { atEnd, again } = book.get(oid)!;
    return atEnd && again.length === 0 ? [...events, ...this.#end(lsn, next)] : events;
  }

  /** The table's snapshot is over: a sweep, when a gap had opened it. */
  #end(lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch } = this.#parts;
    const entry = book.get(this.#named.oid);
    if (entry?.table !== this.#name) {
      return [];
    }
    const { since } = entry;
    book.remove(this.#named.oid);
    const place = () => ({ sequence: next(), epoch, lsn, timestamp: wallTime() });
    return since === null ? [] : [encodeSweepEvent(this.#table, since, place())];
  }
}
