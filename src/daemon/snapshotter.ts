// Takes snapshots while the stream goes on: opens each with a gap, reads several tables at a time over connections of
// its own, and tells how far it is. What it has done stands in the progress record; a new session goes on from there.
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { AfterimageError, messageOf } from "../errors.ts";
import { parseTableName } from "../event/identifier.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { TableSnapshot } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { BuildEvents } from "../pipeline/placements.ts";
import { encodeGapEvent } from "../sink/encode-own-event.ts";
import { closeSql, errorCode } from "../source/session.ts";
import { SnapshotReader } from "../source/snapshot-reader.ts";
import { nameHolders, readWriters } from "../source/table-writers.ts";
import type { Connections } from "./connections.ts";
import { type SnapshotBook, toBeRead } from "./snapshot-book.ts";
import { checkCondition, estimateRows } from "./snapshot-plan.ts";
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
  readonly onLost: (error: Error) => void;
  readonly fail: (error: unknown) => void;
}

/** A chunk fills a Kafka transaction, and is what a crash reads again. */
const CHUNK_BYTES = 1024 * 1024;

/** The reason of the gap that opens a snapshot; `opensSnapshot` knows it by its beginning. */
const REASON = "snapshot: every row of the table follows";

const TOO_MANY_CONNECTIONS = "53300";
const CONNECT_AGAIN_MS = 1_000;

interface Work {
  readonly begun: number;
  readonly rowsBefore: number;
  waitingFor: string | null;
}

export class Snapshotter {
  readonly #parts: SnapshotterParts;
  readonly #over = new AbortController();
  readonly #work = new Map<number, Work>();
  readonly #workers = new Set<Promise<void>>();
  /** Why there is no connection to read over; null when there is one, or none was asked for. */
  #unconnected: string | null = null;
  /** What the operator should know of snapshots that were given up. */
  readonly notes: string[] = [];

  constructor(parts: SnapshotterParts) {
    this.#parts = parts;
    parts.book.onBegun = (oid, why) => {
      this.#open(oid, why).catch(() => undefined); // the run tells why it ended
      this.#employ();
    };
  }

  /** Opens the snapshots that are not open yet, before any event of the stream, and goes on with all. */
  start(): void {
    for (const { oid } of this.#parts.book.state) {
      this.#open(oid).catch(() => undefined); // the run tells why it ended
    }
    this.#employ();
  }

  /**
   * Begins a snapshot; resolves once that is durable. Throws SNAPSHOT_TABLE_UNKNOWN, SNAPSHOT_KEYLESS,
   * SNAPSHOT_UNDER_WAY and SNAPSHOT_CONDITION.
   */
  async request(name: string, where: string | null): Promise<void> {
    const { book } = this.#parts;
    const { tables } = book;
    const named = (wanted: string) => [...tables.values()].find(({ encoder }) => encoder.schema.table === wanted);
    const table = named(name) ?? named(`public.${name}`);
    if (table === undefined) {
      throw new AfterimageError(
        "SNAPSHOT_TABLE_UNKNOWN",
        `Table ${name} is not captured by this stream.`,
        "Name a table that afterimage status lists, with its schema; one that is new is taken up within seconds.",
      );
    }
    if (!table.encoder.hasKey) {
      throw new AfterimageError(
        "SNAPSHOT_KEYLESS",
        `Table ${name} has no key, and this version reads only tables that have one.`,
        "Give it a primary key, or touch its rows once (UPDATE … SET column = column).",
      );
    }
    const { oid } = table.encoder.schema;
    const read = await withClient(this.#parts, this.#over.signal, async (client) => {
      await checkCondition(client, parseTableName(table.encoder.schema.table), where);
      return estimateRows(client, oid);
    });
    if (book.get(oid) !== undefined) {
      throw new AfterimageError(
        "SNAPSHOT_UNDER_WAY",
        `A snapshot of ${name} is under way already.`,
        "Wait for its end: afterimage status shows how far it is.",
      );
    }
    book.add(toBeRead(table, { where, estimate: where === null ? read : null }));
    await this.#open(oid);
    failpoint("snapshot.requested");
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
      if (entry === undefined || entry.since !== null || entry.where !== null) {
        return [];
      }
      const sequence = next();
      book.change(oid, { since: sequence });
      const reason = why === null ? REASON : `${REASON} (${why})`;
      return [encodeGapEvent(book.tables.get(oid)!, reason, { sequence, epoch, lsn, timestamp: wallTime() })];
    });
  }

  #employ(): void {
    const { book, config } = this.#parts;
    if (this.#over.signal.aborted) {
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
    await withClient(this.#parts, this.#over.signal, async (client) => {
      this.#unconnected = null;
      const next = () => this.#parts.book.state.find(({ oid }) => !this.#work.has(oid));
      for (let entry = next(); entry !== undefined; entry = next()) {
        await this.#readTable(client, entry);
      }
    });
  }

  async #readTable(client: pg.Client, { oid, table, rows, where, cursor }: TableSnapshot): Promise<void> {
    const { config, publication, book } = this.#parts;
    const work: Work = { begun: performance.now(), rowsBefore: rows, waitingFor: null };
    this.#work.set(oid, work);
    const reading = new TableReading(
      {
        ...this.#parts,
        reader: new SnapshotReader(client, publication),
        maxBytes: Math.min(CHUNK_BYTES, config.batch.maxBytes),
        // Before the first chunk also those that are idle: they may have written before the table was published, and
        // Postgres streams nothing of that.
        writers: () => readWriters(client, oid, cursor === null),
        holders: (xids) => nameHolders(client, xids),
        waits: (what) => {
          work.waitingFor = what;
        },
        signal: this.#over.signal,
      },
      book.tables.get(oid)!,
    );
    try {
      await reading.run();
    } catch (error) {
      if (where === null || !isOfTheCondition(error)) {
        throw error;
      }
      // It would fail again after every restart.
      this.notes.push(`The snapshot of ${table} was given up: its condition failed (${messageOf(error)}).`);
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

/** With a connection that is closed afterwards, and at once when the run ends. */
async function withClient<T>(
  { config, connect, onLost }: SnapshotterParts,
  signal: AbortSignal,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connect(config.postgres, `afterimage ${config.stream} snapshot`, onLost, signal);
  const abort = () => void closeSql(client);
  signal.addEventListener("abort", abort);
  try {
    return await use(client);
  } finally {
    signal.removeEventListener("abort", abort);
    await closeSql(client);
  }
}
