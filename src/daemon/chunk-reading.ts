// One chunk of a table with a key: rows that count, as the table is when they are read. What a cursor or a border says
// holds only in the order in which it was kept, and with another key the rows are others to readers: so the table is
// compared, in the chunk's own transaction, with what its snapshot was begun for.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import { keyTexts, type Window } from "../capture/table-watch.ts";
import { parseTableName } from "../event/identifier.ts";
import type { KeyTexts } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import { orderOf, type ReadableTable, type RowsWanted } from "../source/chunk-sql.ts";
import { errorCode } from "../source/session.ts";
import type { Chunk, ChunkStart } from "../source/snapshot-reader.ts";
import { nameMissing, placeAsking, type ReadingParts } from "./placing.ts";
import type { OwnRange, TableShare } from "./table-share.ts";

const MOST_ROWS = 10_000;
/** Events that a window holds while its chunk waits to be counted. */
const MOST_NOTED = 100_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;
const LOCK_NOT_GRANTED = "55P03";
/** SQLSTATE classes: data exception; syntax error or access rule violation. */
const MAY_BE_ANOTHER_SHAPE = /^(22|42)...$/;

/** The next rows of a range, or some keys once more. */
export type Wanted =
  | { readonly range: OwnRange; readonly keys: null }
  | { readonly range: null; readonly keys: readonly KeyTexts[]; readonly generation: number };

export type CountedChunk = ChunkStart &
  Chunk &
  Wanted & {
    /** As its rows were read. */
    readonly table: CapturedTable;
    /** To be closed where the rows are put. */
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

export class ChunkReading {
  readonly #parts: TableParts;
  readonly #named: ReadableTable;
  #table: CapturedTable;
  /** The shape that `#table` was made of. */
  #shape: string | null = null;
  /** With which shape, and which version of the table, a chunk could not be read. */
  #doubted: string | null = null;

  constructor(parts: TableParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#table = table;
    this.#named = { oid, ...parseTableName(name) };
  }

  /** Null when the table is gone, or its snapshot over; "again" when it is read anew meanwhile. */
  async read(wanted: Wanted): Promise<CountedChunk | "again" | null> {
    const { watch } = this.#parts.share;
    const opened = { window: watch.open() };
    let chunk: CountedChunk | "again" | null = null;
    try {
      chunk = await this.#counted(wanted, opened);
      return chunk;
    } finally {
      if (chunk === null || chunk === "again") {
        watch.close(opened.window, null); // others may read on for hours, and it would note every event
      }
    }
  }

  async #counted(wanted: Wanted, opened: { window: Window }): Promise<CountedChunk | "again" | null> {
    const { reader, signal, waits, share, book } = this.#parts;
    const { oid } = this.#named;
    const { generation } = wanted.range ?? wanted;
    const { watch } = share;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const start = await reader.begin(this.#named);
        signal.throwIfAborted();
        if (start === null) {
          if ((await this.#parts.describe(oid)) === null) {
            return null;
          }
          await sleep(pause, undefined, { signal });
          continue;
        }
        const missing = opened.window.missing(start.sight);
        if (missing.length === 0 && start.shape === this.#shape) {
          waits(null);
          if (share.entry === undefined) {
            await reader.end();
            return null;
          }
          // It is read anew, for a change that this chunk may not see; or from here on, since it is sorted otherwise.
          const isSame =
            book.generation(oid) === generation && book.keepsOrder(oid, orderOf(this.#named, this.#key(), start));
          if (!isSame) {
            await reader.end();
            return "again";
          }
          const table = this.#table;
          const chunk = await this.#readRows(wanted);
          await reader.end();
          this.#doubted = null;
          if (wanted.range !== null) {
            const last = chunk.rows.at(-1);
            wanted.range.after = last === undefined ? wanted.range.after : keyTexts(table.encoder, last);
            wanted.range.atEnd = chunk.atEnd;
            if (!chunk.atEnd) {
              share.sawChunk(chunk.rows.length);
            }
          }
          return { ...start, ...chunk, ...wanted, table, window: opened.window, generation };
        }
        await reader.end();
        // It may wait for hours, and what a window notes is held in memory. Not every time: a server on which something
        // is always streamed and not seen yet would never have a chunk that counts.
        if (opened.window.noted > MOST_NOTED) {
          watch.close(opened.window, start.sight);
          opened.window = watch.open();
        }
        if (missing.length > 0) {
          waits(await nameMissing(this.#parts, missing, pause));
          failpoint("snapshot.chunk-not-counted");
        } else {
          // Not inside the chunk's transaction: an ALTER TABLE that waits for that would make the look wait for it.
          const described = await this.#parts.describe(oid);
          if (described === null) {
            return null;
          }
          this.#table = described;
          this.#shape = start.shape;
          if (share.entry !== undefined && book.isNews(described)) {
            await this.#announce(generation);
            return "again";
          }
          continue;
        }
      } catch (error) {
        if (errorCode(error) === LOCK_NOT_GRANTED) {
          // REINDEX holds an index that is asked for only while rows are read: then the transaction is still there.
          await reader.end();
          waits("a lock on the table");
        } else if (this.#mayBeAnotherShape(error)) {
          await reader.end();
        } else {
          throw error;
        }
      }
      await sleep(pause, undefined, { signal });
    }
  }

  /**
   * Another key, for one: the snapshot begins anew once the stream has passed all that comes with the former one. The
   * table is described as it is then, since rows of before may have been met in between.
   */
  async #announce(generation: number): Promise<void> {
    const { book, reader, share, describe } = this.#parts;
    const { oid } = this.#named;
    await placeAsking(this.#parts, await reader.position(), () => []);
    const described = await describe(oid);
    if (described !== null && share.entry !== undefined && book.generation(oid) === generation) {
      this.#table = described;
      book.announced(described);
    }
  }

  /** The table may have been altered twice while it was described, or a value of the cursor's type renamed. */
  #mayBeAnotherShape(error: unknown): boolean {
    const { code, cause } = error as { code?: unknown; cause?: unknown };
    const isOfShape =
      code === "SNAPSHOT_KEY_GONE" ||
      (code === "POSTGRES_QUERY_FAILED" && MAY_BE_ANOTHER_SHAPE.test(errorCode(cause) ?? ""));
    const doubted = `${this.#table.encoder.schema.schema} ${this.#shape}`;
    if (!isOfShape || this.#shape === null || this.#doubted === doubted) {
      return false;
    }
    this.#doubted = doubted;
    this.#shape = null;
    return true;
  }

  #key(): string[] {
    const { schema, keyPlaces } = this.#table.encoder;
    return keyPlaces.map((place) => schema.columns[place]!.name);
  }

  async #readRows({ range, keys }: Wanted): Promise<Chunk> {
    const { reader, maxBytes, share, idle, employ, where } = this.#parts;
    const key = this.#key();
    if (range !== null && share.mayBeCut(range)) {
      const parts = idle() + 1;
      if (parts > 1) {
        const rest: RowsWanted = { key, after: range.after, upTo: range.upTo, keys: null, where };
        share.cut(range, await reader.sample(this.#named, rest, parts, maxBytes));
        employ();
      }
    }
    return reader.read(this.#named, {
      columns: this.#table.encoder.schema.columns.map(({ name }) => name),
      key,
      after: range?.after ?? null,
      upTo: range?.upTo ?? null,
      keys,
      where,
      maxRows: MOST_ROWS,
      maxBytes,
    });
  }
}
