// Takes snapshots while the stream goes on: opens each with a gap, reads several tables, and several ranges of one, at a
// time over connections of its own, and tells how far it is. What it has done stands in the progress record; a new session goes on from there.
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { messageOf } from "../errors.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { TableSnapshot } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { BuildEvents } from "../pipeline/placements.ts";
import { encodeGapEvent } from "../sink/encode-own-event.ts";
import { errorCode } from "../source/session.ts";
import { SnapshotReader } from "../source/snapshot-reader.ts";
import { nameHolders, readWriters } from "../source/table-writers.ts";
import type { Connections } from "./connections.ts";
import { KeylessReading } from "./keyless-reading.ts";
import { AHEAD, SNAPSHOT_REASON } from "./placing.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { SnapshotRequests, withSnapshotClient } from "./snapshot-requests.ts";
import type { SnapshotStatus } from "./status.ts";
import { TableReading } from "./table-reading.ts";
import { TableShare } from "./table-share.ts";
import { wallTime } from "./wall-time.ts";

export interface SnapshotterParts {
  readonly config: Config;
  readonly connect: Connections["sql"];
  readonly book: SnapshotBook;
  readonly publication: number;
  readonly epoch: number;
  readonly describe: (oid: number) => Promise<CapturedTable | null>;
  readonly place: (after: Lsn, build: BuildEvents) => Promise<void>;
  readonly ask: () => void;
  /** Lets an idle server write its WAL out. */
  readonly nudge: () => Promise<void>;
  readonly onLost: (error: Error) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * A chunk: all rows, as text, that are read and not durable yet, over all connections; so a crash reads one chunk again at
 * most. In batches, since it is held in memory as they are.
 */
const CHUNK_BATCHES = 4;
/** Each connection reads a part of it while another one is on its way into the stream. */
const PARTS_A_CONNECTION = 1 + AHEAD;

const TOO_MANY_CONNECTIONS = "53300";
const CONNECT_AGAIN_MS = 1_000;

/** A table that is being read. */
interface Work {
  readonly begun: number;
  readonly rowsBefore: number;
  readonly cancelled: AbortController;
  /** Null for a table without a key, which one connection reads. */
  readonly share: TableShare | null;
  /** Of those that read it, what each waits for; null when for nothing. */
  readonly hands: Map<pg.Client, string | null>;
}

export class Snapshotter {
  readonly #parts: SnapshotterParts;
  readonly #over = new AbortController();
  readonly #work = new Map<number, Work>();
  readonly #workers = new Set<Promise<void>>();
  #reads = false;
  /** Why there is no connection to read over; null when there is one, or none was asked for. */
  #unconnected: string | null = null;
  /** What the operator should know of snapshots that were given up. */
  readonly notes: string[] = [];
  readonly requests: SnapshotRequests;

  constructor(parts: SnapshotterParts) {
    this.#parts = parts;
    parts.book.onBegun = (oid, why) => {
      this.#open(oid, why).catch(() => undefined); // the run tells why it ended
      this.#employ();
    };
    this.requests = new SnapshotRequests({
      ...parts,
      over: this.#over.signal,
      begin: async (oid) => {
        await this.#open(oid);
        failpoint("snapshot.requested");
        this.#employ();
      },
      givenUp: (oid) => this.#work.get(oid)?.cancelled.abort(),
    });
  }

  /** Opens the snapshots that are not open yet, before any event of the stream, and goes on with all if asked to read. */
  start(read: boolean): void {
    for (const { oid } of this.#parts.book.state) {
      this.#open(oid).catch(() => undefined); // the run tells why it ended
    }
    this.#reads = read;
    this.#employ();
  }

  async close(): Promise<void> {
    this.#over.abort();
    await Promise.allSettled(this.#workers);
  }

  status(): SnapshotStatus[] {
    return this.#parts.book.state.map(({ oid, table, rows, estimate }) => {
      const work = this.#work.get(oid);
      const seconds = work === undefined ? 0 : (performance.now() - work.begun) / 1000;
      const rate = work === undefined || seconds < 0.1 ? 0 : (rows - work.rowsBefore) / seconds;
      const left = estimate === null || rate <= 0 ? null : Math.max(0, estimate - rows) / rate;
      return {
        table,
        rows,
        estimatedRows: estimate,
        rowsPerSecond: Math.round(rate),
        secondsLeft: left === null ? null : Math.round(left),
        waitingFor: work === undefined ? this.#unconnected : ([...work.hands.values()].find(Boolean) ?? null),
      };
    });
  }

  /** Everything after this gap is either read or streamed. A snapshot of some rows only has none. */
  #open(oid: number, why: string | null = null): Promise<void> {
    const { book, place, epoch } = this.#parts;
    return place(ZERO_LSN, (lsn, next) => {
      const entry = book.get(oid);
      const table = book.tables.get(oid)!;
      // The reading of a table without a key puts its gap itself.
      if (entry === undefined || entry.since !== null || entry.where !== null || !table.encoder.hasKey) {
        return [];
      }
      const sequence = next();
      book.change(oid, { since: sequence });
      const reason = why === null ? SNAPSHOT_REASON : `${SNAPSHOT_REASON} (${why})`;
      return [encodeGapEvent(table, reason, { sequence, epoch, lsn, timestamp: wallTime() })];
    });
  }

  #employ(): void {
    if (!this.#reads || this.#over.signal.aborted) {
      return;
    }
    while (this.#workers.size < this.#wanted()) {
      const worker = this.#readTables().catch((error) => {
        if (!this.#over.signal.aborted) {
          this.#parts.fail(error);
        }
      });
      this.#workers.add(worker);
      void worker.finally(() => {
        this.#workers.delete(worker);
        // One that was asked for while the last worker was ending.
        this.#employ();
      });
    }
  }

  /** Connections that have something to read. */
  #wanted(): number {
    const hands = [...this.#work.values()].reduce((sum, { hands: { size } }) => sum + size, 0);
    const free = this.#parts.book.state.reduce((sum, { oid }) => sum + this.#free(oid), 0);
    return Math.min(this.#parts.config.snapshotConnections, hands + free);
  }

  /** How many could begin to read that table. */
  #free(oid: number): number {
    const work = this.#work.get(oid);
    return work === undefined ? 1 : (work.share?.free ?? 0);
  }

  async #readTables(): Promise<void> {
    const { signal } = this.#over;
    for (;;) {
      try {
        await this.#readWithClient();
        return;
      } catch (error) {
        if (errorCode(error) !== TOO_MANY_CONNECTIONS) {
          throw error;
        }
        // The stream has its own, and shall not end over it again and again.
        this.#unconnected = "a connection: the server, or the user's limit, has no more";
        await sleep(CONNECT_AGAIN_MS, undefined, { signal });
        if (this.#next() === undefined) {
          return;
        }
      }
    }
  }

  async #readWithClient(): Promise<void> {
    await withSnapshotClient(this.#parts, this.#over.signal, async (client) => {
      this.#unconnected = null;
      for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
        await this.#readTable(client, entry);
      }
    });
  }

  #next(): TableSnapshot | undefined {
    return this.#parts.book.state.find(({ oid }) => this.#free(oid) > 0);
  }

  async #readTable(client: pg.Client, entry: TableSnapshot): Promise<void> {
    const { book } = this.#parts;
    const { oid, table: name, where } = entry;
    const work = this.#work.get(oid) ?? this.#begin(entry);
    const generation = book.generation(oid);
    work.hands.set(client, null);
    try {
      if (!(await this.#reading(client, entry, work).run())) {
        this.notes.push(`The snapshot of ${name} was given up: the table is not published any more.`);
      }
    } catch (error) {
      if (work.cancelled.signal.aborted && !this.#over.signal.aborted) {
        await client.query("ROLLBACK");
        return;
      }
      if (where === null || !isOfTheCondition(error)) {
        throw error;
      }
      // It would fail again after every restart.
      await client.query("ROLLBACK");
      if (book.generation(oid) === generation) {
        this.notes.push(`The snapshot of ${name} was given up: its condition failed (${messageOf(error)}).`);
        await this.#parts.place(ZERO_LSN, () => {
          book.remove(oid);
          return [];
        });
      }
    } finally {
      work.hands.delete(client);
      if (work.hands.size === 0) {
        this.#work.delete(oid);
      }
    }
  }

  #begin(entry: TableSnapshot): Work {
    const { oid, rows } = entry;
    const { book } = this.#parts;
    const share = book.tables.get(oid)!.encoder.hasKey ? new TableShare(book, entry) : null;
    const cancelled = new AbortController();
    const work: Work = { begun: performance.now(), rowsBefore: rows, cancelled, share, hands: new Map() };
    this.#work.set(oid, work);
    return work;
  }

  #reading(client: pg.Client, { oid, rows, where }: TableSnapshot, work: Work): TableReading | KeylessReading {
    const { config, publication, book } = this.#parts;
    const { share, cancelled, hands } = work;
    const parts = {
      ...this.#parts,
      reader: new SnapshotReader(client, publication),
      maxBytes: Math.ceil((CHUNK_BATCHES * config.batch.maxBytes) / (PARTS_A_CONNECTION * config.snapshotConnections)),
      // Before the first chunk also those that are idle: they may have written before the table was published, and
      // Postgres streams nothing of that.
      writers: (_: number, anew = false) => readWriters(client, oid, anew || share === null || rows === 0),
      holders: (xids: readonly string[]) => nameHolders(client, xids),
      waits: (what: string | null) => void hands.set(client, what),
      signal: AbortSignal.any([this.#over.signal, cancelled.signal]),
    };
    if (share === null) {
      return new KeylessReading(parts, book.tables.get(oid)!);
    }
    const idle = () => config.snapshotConnections - Math.max(this.#workers.size, this.#wanted());
    return new TableReading({ ...parts, share, where, idle, employ: () => this.#employ() }, book.tables.get(oid)!);
  }
}

/** SQLSTATE classes: data exception; syntax error or access rule violation. */
function isOfTheCondition(error: unknown): boolean {
  return /^(22|42)...$/.test(errorCode((error as Error).cause) ?? "");
}
