// Takes snapshots while the stream goes on: opens each with a gap, reads several tables at a time over connections of
// its own, and tells how far it is. What it has done stands in the progress record; a new session goes on from there.
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
import { SNAPSHOT_REASON } from "./placing.ts";
import type { SnapshotBook } from "./snapshot-book.ts";
import { SnapshotRequests, withSnapshotClient } from "./snapshot-requests.ts";
import type { SnapshotStatus } from "./status.ts";
import { TableReading } from "./table-reading.ts";
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

/** Two of them are on their way at most: together what a Kafka transaction holds, and what a crash reads again. */
const CHUNK_BYTES = 512 * 1024;

const TOO_MANY_CONNECTIONS = "53300";
const CONNECT_AGAIN_MS = 1_000;

interface Work {
  readonly begun: number;
  readonly rowsBefore: number;
  readonly cancelled: AbortController;
  waitingFor: string | null;
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
        waitingFor: work === undefined ? this.#unconnected : work.waitingFor,
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
    const { book, config } = this.#parts;
    if (!this.#reads || this.#over.signal.aborted) {
      return;
    }
    const waiting = book.state.filter(({ oid }) => !this.#work.has(oid)).length;
    const wanted = Math.min(config.snapshotConnections, this.#workers.size + waiting);
    while (this.#workers.size < wanted) {
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
      }
    }
  }

  async #readWithClient(): Promise<void> {
    await withSnapshotClient(this.#parts, this.#over.signal, async (client) => {
      this.#unconnected = null;
      const next = () => this.#parts.book.state.find(({ oid }) => !this.#work.has(oid));
      for (let entry = next(); entry !== undefined; entry = next()) {
        await this.#readTable(client, entry);
      }
    });
  }

  async #readTable(client: pg.Client, { oid, table: name, rows, where, cursor }: TableSnapshot): Promise<void> {
    const { config, publication, book } = this.#parts;
    const cancelled = new AbortController();
    const work: Work = { begun: performance.now(), rowsBefore: rows, cancelled, waitingFor: null };
    this.#work.set(oid, work);
    const table = book.tables.get(oid)!;
    const Reading = table.encoder.hasKey ? TableReading : KeylessReading;
    const reading = new Reading(
      {
        ...this.#parts,
        reader: new SnapshotReader(client, publication),
        maxBytes: Math.min(CHUNK_BYTES, config.batch.maxBytes / 2),
        // Before the first chunk also those that are idle: they may have written before the table was published, and
        // Postgres streams nothing of that.
        writers: () => readWriters(client, oid, cursor === null),
        holders: (xids) => nameHolders(client, xids),
        waits: (what) => {
          work.waitingFor = what;
        },
        signal: AbortSignal.any([this.#over.signal, cancelled.signal]),
      },
      table,
    );
    try {
      if (!(await reading.run())) {
        this.notes.push(`The snapshot of ${name} was given up: the table is not published any more.`);
      }
    } catch (error) {
      if (cancelled.signal.aborted && !this.#over.signal.aborted) {
        await client.query("ROLLBACK");
        return;
      }
      if (where === null || !isOfTheCondition(error)) {
        throw error;
      }
      // It would fail again after every restart.
      this.notes.push(`The snapshot of ${name} was given up: its condition failed (${messageOf(error)}).`);
      await client.query("ROLLBACK");
      await this.#parts.place(ZERO_LSN, () => {
        this.#parts.book.remove(oid);
        return [];
      });
    } finally {
      this.#work.delete(oid);
    }
  }
}

/** SQLSTATE classes: data exception; syntax error or access rule violation. */
function isOfTheCondition(error: unknown): boolean {
  return /^(22|42)...$/.test(errorCode((error as Error).cause) ?? "");
}
