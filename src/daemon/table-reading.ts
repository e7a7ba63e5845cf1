// Reads one table beside the stream, chunk by chunk: opens a window, reads rows that count, waits until the stream has
// passed them, and puts those into it of which the stream has nothing newer. A chunk that does not count is not
// published at all.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyTexts, type TableWatch, type Window } from "../capture/table-watch.ts";
import { parseTableName } from "../event/identifier.ts";
import type { Lsn } from "../event/lsn.ts";
import type { TableSnapshot } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { encodeReadEvent } from "../sink/encode-own-event.ts";
import { errorCode } from "../source/session.ts";
import type { Chunk, ChunkStart, ReadableTable } from "../source/snapshot-reader.ts";
import { endSnapshot, giveUp, nameMissing, OnTheirWay, passChange, type ReadingParts } from "./placing.ts";
import { type Key, leftToReadAgain, withoutDoubles } from "./read-again.ts";

const MOST_ROWS = 10_000;
/** Keys that are read again at a time. */
const MOST_KEYS = 500;
/** Events that a window holds while its chunk waits to be counted. */
const MOST_NOTED = 100_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;
const LOCK_NOT_GRANTED = "55P03";
const COLUMN_GONE = "42703";

interface CountedChunk extends ChunkStart, Chunk {
  /** As its rows were read. */
  readonly table: CapturedTable;
  readonly window: Window;
  readonly generation: number;
  /** The keys that were asked for; null for the next rows after the cursor. */
  readonly keys: readonly Key[] | null;
}

/** Read, be it in the stream yet or not. */
interface Ahead extends Pick<TableSnapshot, "cursor" | "atEnd"> {
  readonly generation: number;
}

export class TableReading {
  readonly #parts: ReadingParts;
  readonly #named: ReadableTable;
  readonly #name: string;
  readonly #watch: TableWatch;
  readonly #onTheirWay: OnTheirWay;
  #table: CapturedTable;
  /** The shape that `#table` was made of. */
  #shape: string | null = null;
  #read: Ahead | null = null;

  /** From here on the table's events are noted. */
  constructor(parts: ReadingParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#table = table;
    this.#name = name;
    this.#named = { oid, ...parseTableName(name) };
    this.#watch = parts.book.watch(oid);
    this.#onTheirWay = new OnTheirWay(parts);
  }

  /**
   * Resolves when the table is read to its end and that is durable: with false when it left the publication before,
   * which ends its snapshot without a sweep, since rows that were not read are no rows that are gone. Rejects when the
   * run ends.
   */
  async run(): Promise<boolean> {
    const { writers } = this.#parts;
    const { oid } = this.#named;
    this.#watch.expect(await writers(oid));
    // Under another name it is read anew.
    for (let entry = this.#entry; entry !== undefined; entry = this.#entry) {
      if (entry.behind === true) {
        await this.#onTheirWay.arrived();
        await passChange(this.#parts, this.#table);
        continue;
      }
      const ahead = this.#ahead(entry);
      if (ahead.atEnd || entry.again.length > 0) {
        // What is read next depends on what becomes of the chunks that are on their way.
        await this.#onTheirWay.arrived();
        entry = this.#entry;
        if (entry === undefined) {
          break;
        }
      }
      const keys = entry.again.length === 0 ? null : entry.again.slice(0, MOST_KEYS);
      const chunk = await this.#readChunk(keys);
      failpoint("snapshot.chunk-read");
      if (chunk === null) {
        await this.#onTheirWay.arrived();
        return !(await giveUp(this.#parts, oid, this.#name));
      }
      if (chunk === "again") {
        continue;
      }
      await this.#onTheirWay.put(chunk.after, (lsn, next) => this.#build(chunk, lsn, next));
    }
    await this.#onTheirWay.arrived();
    return true;
  }

  /** Its snapshot, unless that is over, or has become one of the table under another name. */
  get #entry(): TableSnapshot | undefined {
    const entry = this.#parts.book.get(this.#named.oid);
    return entry?.table === this.#name ? entry : undefined;
  }

  /** How far it is read, with what is still on its way. */
  #ahead(entry: TableSnapshot): Ahead {
    const generation = this.#parts.book.generation(entry.oid);
    if (this.#read?.generation !== generation) {
      this.#read = { generation, cursor: entry.cursor, atEnd: entry.atEnd };
    }
    return this.#read;
  }

  /** A chunk that counts; null when the table is gone, "again" when the table is read anew meanwhile. */
  async #readChunk(keys: CountedChunk["keys"]): Promise<CountedChunk | "again" | null> {
    const { book, reader, signal, waits } = this.#parts;
    let window = this.#watch.open();
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const generation = book.generation(this.#named.oid);
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
          const entry = this.#entry;
          if (entry === undefined) {
            await reader.end();
            return null;
          }
          if (book.generation(this.#named.oid) !== generation) {
            // It is read anew, for a change that this chunk may not see.
            await reader.end();
            this.#watch.close(window, start.sight);
            return "again";
          }
          const table = this.#table;
          const ahead = this.#ahead(entry);
          const chunk = await this.#readRows(keys, ahead.cursor, entry.where);
          await reader.end();
          const last = chunk.rows.at(-1);
          if (keys === null && this.#read === ahead) {
            const cursor = last === undefined ? ahead.cursor : keyTexts(table.encoder, last);
            this.#read = { ...ahead, cursor, atEnd: chunk.atEnd };
          }
          return { ...start, ...chunk, table, window, generation: ahead.generation, keys };
        }
        await reader.end();
        // It may wait for hours, and what a window notes is held in memory. Not every time: a server on which something
        // is always streamed and not seen yet would never have a chunk that counts.
        if (window.noted > MOST_NOTED) {
          this.#watch.close(window, start.sight);
          window = this.#watch.open();
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

  #readRows(
    keys: CountedChunk["keys"],
    cursor: TableSnapshot["cursor"],
    where: TableSnapshot["where"],
  ): Promise<Chunk> {
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

  /** Called where the rows stand in the stream: from here on nothing about them is noted. */
  #build(chunk: CountedChunk, lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch } = this.#parts;
    const { oid } = this.#named;
    const { table, sight, window, timestamp, rows, keys } = chunk;
    if (book.generation(oid) === chunk.generation) {
      // Under another key, or of another table, these rows don't follow what stands before: then they are given up.
      book.announced(table);
    }
    const entry = this.#entry;
    if (entry === undefined || book.generation(oid) !== chunk.generation) {
      this.#watch.close(window, null);
      return [];
    }
    const { encoder } = table;
    const events: EncodedEvent[] = [];
    const stale: Key[] = [];
    for (const row of rows) {
      const fate = window.isQuiet ? "publish" : window.fateOf(encoder.recordKey(row)!, sight);
      if (fate === "publish") {
        events.push(encodeReadEvent(table, row, { sequence: next(), epoch, lsn, timestamp }));
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
    return atEnd && again.length === 0 ? [...events, ...endSnapshot(this.#parts, table, lsn, next)] : events;
  }
}
