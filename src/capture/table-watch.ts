// What the stream says of one table while its rows are read beside it: which transactions were streamed, and which keys
// they touched. Pure. This is what keeps an old row from being published after a newer event of it.
//
// Postgres writes a commit to the WAL before it lets others see it (and may wait for a synchronous standby in between,
// for as long as it likes), so what was streamed already need not be visible to a snapshot that is taken later. A chunk
// of rows counts only when its snapshot sees every transaction that was streamed before the window was opened; what is
// streamed while it is open is told apart key by key, when the window is closed.
import { UNCHANGED } from "../event/column-value.ts";
import type { Lsn } from "../event/lsn.ts";
import type { RowEncoder, RowValues } from "../event/row-encoder.ts";
import type { CapturedTableEvent } from "./captured-event.ts";

/** Which transactions a snapshot of the database sees. */
export interface Sight {
  seesNear(xid: string, commitLsn: Lsn): boolean;
  /** Whether the transaction with this xid was over, with or without a commit. */
  isOver(xid: string): boolean;
}

interface Note {
  readonly id: string;
  readonly commitLsn: Lsn;
  /** Whether the event has every value of the row, or deletes it: then the stream alone is enough. */
  readonly whole: boolean;
}

export type RowFate = "publish" | "drop" | "read-again";

/** From before a chunk's snapshot is taken until its rows are put into the stream. */
export class Window {
  /** Transactions that the chunk's snapshot has to see. */
  readonly #streamed: readonly { readonly id: string; readonly commitLsn: Lsn }[];
  /** Transactions of before this run that have to be over. */
  readonly #writers: readonly string[];
  readonly #notes = new Map<string, Note[]>();
  readonly #truncates: Note[] = [];
  #noted = 0;

  constructor(streamed: Iterable<readonly [string, Lsn]>, writers: Iterable<string>) {
    this.#streamed = Array.from(streamed, ([id, commitLsn]) => ({ id, commitLsn }));
    this.#writers = [...writers];
  }

  /** The transactions that keep a chunk of this snapshot from being counted; none when it counts. */
  missing(sight: Sight): string[] {
    const streamed = this.#streamed.filter(({ id, commitLsn }) => !sight.seesNear(id, commitLsn)).map(({ id }) => id);
    return [...new Set([...streamed, ...this.#writers.filter((xid) => !sight.isOver(xid))])];
  }

  /** Nothing was streamed of the table since it was opened: every row is published. */
  get isQuiet(): boolean {
    return this.#noted === 0 && this.#truncates.length === 0;
  }

  /** How many events are noted. */
  get noted(): number {
    return this.#noted;
  }

  note(key: string, note: Note): void {
    this.#noted++;
    const notes = this.#notes.get(key);
    if (notes === undefined) {
      this.#notes.set(key, [note]);
    } else {
      notes.push(note);
    }
  }

  truncated(note: Note): void {
    this.#truncates.push(note);
  }

  /** What becomes of a row that the snapshot saw under this record key. */
  fateOf(key: string, sight: Sight): RowFate {
    if (this.#truncates.some(({ id, commitLsn }) => !sight.seesNear(id, commitLsn))) {
      return "drop";
    }
    const newer = (this.#notes.get(key) ?? []).filter(({ id, commitLsn }) => !sight.seesNear(id, commitLsn));
    if (newer.length === 0) {
      return "publish";
    }
    return newer.some(({ whole }) => whole) ? "drop" : "read-again";
  }
}

export class TableWatch {
  /** Transactions with events of the table, streamed in this run, that no snapshot was known to see yet. */
  readonly #streamed = new Map<string, Lsn>();
  readonly #writers = new Set<string>();
  readonly #windows = new Set<Window>();
  #truncatesOnly = false;

  /** No further window is opened, and the one that is open is not asked about keys. */
  noteTruncatesOnly(): void {
    this.#truncatesOnly = true;
    this.#streamed.clear();
  }

  /** Transactions that had written to the table, and were not over, once the watch had begun. */
  expect(writers: Iterable<string>): void {
    for (const xid of writers) {
      this.#writers.add(xid);
    }
  }

  note({ table: { encoder }, change, transaction }: CapturedTableEvent): void {
    const { id, commitLsn } = transaction;
    if (this.#truncatesOnly && change.operation !== "truncate") {
      return;
    }
    this.#streamed.set(id, commitLsn);
    if (change.operation === "truncate") {
      for (const window of this.#windows) {
        window.truncated({ id, commitLsn, whole: true });
      }
      return;
    }
    const row = change.operation === "delete" ? change.old : change.new;
    const whole = change.operation === "delete" || !change.new.includes(UNCHANGED);
    const key = encoder.recordKey(row);
    if (key !== null) {
      for (const window of this.#windows) {
        window.note(key, { id, commitLsn, whole });
      }
    }
  }

  /** To be called before the snapshot is taken. */
  open(): Window {
    const window = new Window(this.#streamed, this.#writers);
    this.#windows.add(window);
    return window;
  }

  /** `sight`: of the window's chunk, or null when there was none. What it sees, later ones see too. */
  close(window: Window, sight: Sight | null): void {
    this.#windows.delete(window);
    if (sight === null) {
      return;
    }
    for (const [id, commitLsn] of this.#streamed) {
      if (sight.seesNear(id, commitLsn)) {
        this.#streamed.delete(id);
      }
    }
    for (const xid of this.#writers) {
      if (sight.isOver(xid)) {
        this.#writers.delete(xid);
      }
    }
  }
}

/**
 * The key, in key order, that has to be read again because of this event: the second half of a key change that left
 * values out goes on from a row that readers may not have yet.
 */
export function keyToReadAgain({ table: { encoder }, change }: CapturedTableEvent): string[] | null {
  return encoder.hasKey && change.operation === "insert" && change.new.includes(UNCHANGED)
    ? keyTexts(encoder, change.new)
    : null;
}

/** The values of a row's key, in key order. */
export function keyTexts(encoder: RowEncoder, row: RowValues): string[] {
  return encoder.keyPlaces.map((place) => row[place] as string);
}
