// Reads a table without a key beside the stream. Its rows can't be told from one another, so each has to be counted
// once: either as a row that one snapshot of the database sees, or by the stream's events from its gap on. So the gap is
// put exactly where the stream has all that the snapshot sees and nothing that it doesn't, and all rows are read in the
// transaction that has that snapshot. A crash, or a session that ends, begins again from a gap of its own.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { TableWatch, Window } from "../capture/table-watch.ts";
import { KEYLESS_SNAPSHOT } from "../event/change-event.ts";
import { parseTableName } from "../event/identifier.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { encodeGapEvent, readEventEncoder } from "../sink/encode-own-event.ts";
import type { ReadableTable } from "../source/chunk-sql.ts";
import { errorCode } from "../source/session.ts";
import type { ChunkStart } from "../source/snapshot-reader.ts";
import { endSnapshot, giveUp, nameMissing, OnTheirWay, placeAsking, type ReadingParts } from "./placing.ts";
import { wallTime } from "./wall-time.ts";

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1_000;
const LOCK_NOT_GRANTED = "55P03";

type Rows = readonly (readonly (string | null)[])[];

export class KeylessReading {
  readonly #parts: ReadingParts;
  readonly #named: ReadableTable;
  readonly #watch: TableWatch;
  #table: CapturedTable;
  /** The shape that `#table` was made of. */
  #shape: string | null = null;
  /** Before the table was looked at last. */
  #generation = 0;

  /** From here on the table's events are noted. */
  constructor(parts: ReadingParts, table: CapturedTable) {
    const { oid, table: name } = table.encoder.schema;
    this.#parts = parts;
    this.#table = table;
    this.#named = { oid, ...parseTableName(name) };
    this.#watch = parts.book.watch(oid);
  }

  /** As of `TableReading`. */
  async run(): Promise<boolean> {
    const { reader, maxBytes } = this.#parts;
    const { oid } = this.#named;
    const begun = await this.#begin();
    if (begun === null) {
      const { table: name } = this.#table.encoder.schema;
      return !(await giveUp(this.#parts, { oid, name, generation: this.#generation }));
    }
    const onTheirWay = new OnTheirWay(this.#parts);
    const columns = this.#table.encoder.schema.columns.map(({ name }) => name);
    for await (const rows of reader.readAll(this.#named, { columns, maxBytes })) {
      failpoint("snapshot.chunk-read");
      await onTheirWay.put(ZERO_LSN, (lsn, next) => this.#build(rows, begun, lsn, next));
      this.#parts.signal.throwIfAborted();
    }
    await reader.end();
    await onTheirWay.put(ZERO_LSN, (lsn, next) =>
      this.#isOurs(begun) ? endSnapshot(this.#parts, this.#table, lsn, next) : [],
    );
    await onTheirWay.arrived();
    return true;
  }

  /** A transaction that sees exactly what stands before the gap; null when the table is gone. */
  async #begin(): Promise<Begun | null> {
    const { book, reader, signal, waits, describe, writers } = this.#parts;
    let looked: number | null = null;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const generation = book.generation(this.#named.oid);
        this.#generation = generation;
        if (generation !== looked) {
          // It may have been out of the publication since the last look.
          this.#watch.expect(await writers(this.#named.oid));
          looked = generation;
        }
        const start = await reader.begin(this.#named);
        signal.throwIfAborted();
        if (start !== null && start.shape === this.#shape) {
          const begun = await this.#open(start, generation, pause);
          if (begun !== null) {
            return begun;
          }
          await reader.end();
          failpoint("snapshot.chunk-not-counted");
        } else {
          await reader.end();
          const described = await describe(this.#named.oid);
          if (described === null) {
            return null;
          }
          this.#table = described;
          this.#shape = start?.shape ?? null;
          if (start !== null) {
            continue;
          }
        }
      } catch (error) {
        if (errorCode(error) !== LOCK_NOT_GRANTED) {
          throw error;
        }
        await reader.end();
        waits("a lock on the table");
      }
      await sleep(pause, undefined, { signal });
    }
  }

  /**
   * Puts the gap where the stream has reached the snapshot, which was taken in that generation; null when it has
   * something there that this does not see.
   */
  async #open(start: ChunkStart, generation: number, pause: number): Promise<Begun | null> {
    const { book, epoch } = this.#parts;
    const { oid } = this.#named;
    let unseen: string[] = [];
    let begun: Begun | null = null;
    await placeAsking(this.#parts, start.after, (lsn, next) => {
      const window = this.#watch.open();
      const missing = window.missing(start.sight);
      if (missing.length > 0 || book.generation(oid) !== generation) {
        this.#watch.close(window, start.sight);
        unseen = missing;
        return [];
      }
      begun = { ...start, window, generation };
      this.#watch.noteTruncatesOnly();
      const sequence = next();
      book.change(oid, { since: sequence, rows: 0 });
      return [encodeGapEvent(this.#table, KEYLESS_SNAPSHOT, { sequence, epoch, lsn, timestamp: wallTime() })];
    });
    this.#parts.waits(unseen.length === 0 ? null : await nameMissing(this.#parts, unseen, pause));
    return begun;
  }

  #build(rows: Rows, begun: Begun, lsn: Lsn, next: () => number): EncodedEvent[] {
    const { book, epoch } = this.#parts;
    const { oid } = this.#named;
    // A TRUNCATE waits for our transaction, and not for its last rows to be in the stream.
    if (!this.#isOurs(begun) || begun.window.fateOf("", begun.sight) === "drop") {
      return [];
    }
    const encode = readEventEncoder(this.#table, { epoch, lsn, timestamp: begun.timestamp });
    const events = rows.map((row) => encode(row, next()));
    book.change(oid, { rows: book.get(oid)!.rows + events.length });
    return events;
  }

  #isOurs({ generation }: Begun): boolean {
    return this.#parts.book.generation(this.#named.oid) === generation;
  }
}

interface Begun extends ChunkStart {
  /** Opened with the gap. */
  readonly window: Window;
  readonly generation: number;
}
