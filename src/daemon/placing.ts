// Puts what a snapshot has read into the stream, and helps an idle server on, which would else never get there.
import { setTimeout as sleep } from "node:timers/promises";
import type { CapturedTable } from "../capture/captured-table.ts";
import { SNAPSHOT_GIVEN_UP } from "../event/change-event.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import { failpoint } from "../failpoint.ts";
import type { BuildEvents } from "../pipeline/placements.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { encodeGapEvent, encodeSweepEvent } from "../sink/encode-own-event.ts";
import type { SnapshotReader } from "../source/snapshot-reader.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { wallTime } from "./wall-time.ts";

export interface ReadingParts {
  readonly book: SnapshotBook;
  readonly reader: SnapshotReader;
  readonly epoch: number;
  /** Of rows, as text, that are read in one transaction. */
  readonly maxBytes: number;
  /** As of `Pipeline.place`. */
  readonly place: (after: Lsn, build: BuildEvents) => Promise<void>;
  /** Asks the server how far it has sent. */
  readonly ask: () => void;
  /** Lets an idle server write its WAL out. */
  readonly nudge: () => Promise<void>;
  /** The table as the catalogue has it now; null when it is not published any more. Throws when it was renamed. */
  readonly describe: (oid: number) => Promise<CapturedTable | null>;
  /** Xids of transactions that write to the table; `anew`: it may have been out of the publication. */
  readonly writers: (oid: number, anew?: boolean) => Promise<string[]>;
  /** Who can end those transactions, for people; those of whom nothing is known are left out. */
  readonly holders: (xids: readonly string[]) => Promise<string[]>;
  /** What it waits for, for people; null when for nothing. */
  readonly waits: (what: string | null) => void;
  readonly signal: AbortSignal;
}

/** Of what one connection reads, how many portions may be on their way into the stream while the next one is read. */
export const AHEAD = 1;
/** The reason of the gap that opens a snapshot; `opensSnapshot` knows it by its beginning. */
export const SNAPSHOT_REASON = "snapshot: every row of the table follows";

const ASK_EVERY_MS = 20;
/** An idle server writes nothing out that would bring the stream on; a busy one needs no help. */
const FIRST_NUDGE_MS = 200;

/** Who is waited for is looked up only when it takes longer than commits usually do. */
const LONG_PAUSE_MS = 100;
const MOST_NAMED = 3;

type PlacingParts = Pick<ReadingParts, "place" | "ask" | "nudge">;

/** Waits, asking, until the events are in the stream and durable. */
export async function placeAsking(parts: PlacingParts, after: Lsn, build: BuildEvents): Promise<void> {
  const placed = new AbortController();
  const durable = parts.place(after, (lsn, next) => {
    placed.abort();
    return build(lsn, next);
  });
  durable.catch(() => placed.abort());
  let nudge = FIRST_NUDGE_MS;
  let nudgeAt = performance.now() + nudge;
  while (!placed.signal.aborted) {
    parts.ask();
    if (performance.now() > nudgeAt) {
      await parts.nudge();
      nudge *= 2;
      nudgeAt = performance.now() + nudge;
    }
    await sleep(ASK_EVERY_MS, undefined, { signal: placed.signal }).catch(() => undefined); // it is placed
  }
  failpoint("snapshot.chunk-placed");
  await durable;
  failpoint("snapshot.chunk-stored");
}

/** What is on its way into the stream, in the order in which it was read. */
export class OnTheirWay {
  readonly #parts: PlacingParts;
  #chunks: Promise<void>[] = [];

  constructor(parts: PlacingParts) {
    this.#parts = parts;
  }

  /** Resolves as soon as another chunk may be read; rejects with the failure of an earlier one. */
  async put(after: Lsn, build: BuildEvents): Promise<void> {
    const chunk = placeAsking(this.#parts, after, build);
    chunk.catch(() => undefined); // whoever waits for it is told
    this.#chunks.push(chunk);
    while (this.#chunks.length > AHEAD) {
      await this.#chunks.shift();
    }
  }

  /** Resolves when all are durable. */
  async arrived(): Promise<void> {
    const chunks = this.#chunks.splice(0);
    await Promise.all(chunks);
  }
}

/**
 * Waits until the stream has passed what the catalogue shows. Where events of before came behind the table's gap, the gap
 * is put again: such a row may have gone without an event, and the sweep would keep it.
 */
export async function passChange({ book, reader, epoch, ...parts }: ReadingParts, oid: number): Promise<void> {
  const generation = book.generation(oid);
  await placeAsking(parts, await reader.position(), (lsn, next) => {
    if (book.generation(oid) !== generation) {
      return [];
    }
    if (!book.isTouched(oid)) {
      book.change(oid, { behind: false });
      return [];
    }
    const sequence = next();
    book.change(oid, { behind: false, since: sequence, again: [] });
    const reason = `${SNAPSHOT_REASON} (now that the stream has passed the change)`;
    return [encodeGapEvent(book.tables.get(oid)!, reason, { sequence, epoch, lsn, timestamp: wallTime() })];
  });
  failpoint("snapshot.change-passed");
}

/** What keeps a snapshot of the database from being counted, for people. */
export async function nameMissing(
  { holders }: Pick<ReadingParts, "holders">,
  missing: readonly string[],
  pauseMs: number,
): Promise<string> {
  const named = missing.slice(0, MOST_NAMED);
  const known = pauseMs < LONG_PAUSE_MS ? [] : await holders(named);
  return known.length > 0 ? known.join("; ") : `transaction ${named.join(", ")}, which others can't see yet`;
}

/** The table's snapshot is over: a sweep, when a gap had opened it. */
export function endSnapshot(
  { book, epoch }: Pick<ReadingParts, "book" | "epoch">,
  table: CapturedTable,
  lsn: Lsn,
  next: () => number,
): EncodedEvent[] {
  const { oid } = table.encoder.schema;
  const { since } = book.get(oid)!;
  book.remove(oid);
  const place = () => ({ sequence: next(), epoch, lsn, timestamp: wallTime() });
  return since === null ? [] : [encodeSweepEvent(table, since, place())];
}

/**
 * The table's snapshot is over before all of it was read. Without a sweep: rows that were not read are no rows that are
 * gone. Where a gap had opened it another one tells readers that nothing more comes.
 */
export function endUnread(
  { book, epoch }: Pick<ReadingParts, "book" | "epoch">,
  { oid, why }: { readonly oid: number; readonly why: string },
  lsn: Lsn,
  next: () => number,
): EncodedEvent[] {
  const entry = book.get(oid);
  const table = book.tables.get(oid);
  book.remove(oid);
  if (entry === undefined || entry.since === null || table?.encoder.schema.table !== entry.table) {
    return [];
  }
  return [
    encodeGapEvent(table, `${SNAPSHOT_GIVEN_UP} ${why}`, { sequence: next(), epoch, lsn, timestamp: wallTime() }),
  ];
}

/**
 * Ends the snapshot of a table that was found to be gone, as `endUnread`. `generation`: as it was before the table was found
 * to be gone. Resolves with false when there is nothing to give up: somebody else has ended the snapshot meanwhile, the
 * table is back and begun anew, or under another name it has a snapshot of its own.
 */
export async function giveUp(
  { book, epoch, ...parts }: PlacingParts & Pick<ReadingParts, "book" | "epoch">,
  { oid, name, generation }: { readonly oid: number; readonly name: string; readonly generation: number },
): Promise<boolean> {
  let ended = false;
  await placeAsking(parts, ZERO_LSN, (lsn, next) => {
    ended = book.get(oid)?.table === name && book.generation(oid) === generation;
    return ended ? endUnread({ book, epoch }, { oid, why: "the table is not published any more" }, lsn, next) : [];
  });
  return ended;
}
