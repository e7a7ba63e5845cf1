// Snapshots that somebody asks for, or gives up: refused with a code before anything is touched, answered once stored.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { parseTableName } from "../event/identifier.ts";
import { ZERO_LSN } from "../event/lsn.ts";
import { runEnded } from "../pipeline/placements.ts";
import { closeSql } from "../source/session.ts";
import type { Connections } from "./connections.ts";
import { endUnread } from "./placing.ts";
import { checkCondition, estimateRows } from "./snapshot-plan.ts";
import type { SnapshotterParts } from "./snapshotter.ts";
import { toBeRead } from "./table-snapshot.ts";

interface RequestParts extends Pick<SnapshotterParts, "config" | "connect" | "book" | "epoch" | "place" | "onLost"> {
  /** Aborts when the run ends. */
  readonly over: AbortSignal;
  /** Begins what was put into the book; resolves once that is durable. */
  readonly begin: (oid: number) => Promise<void>;
  /** The table's snapshot is not in the book any more. */
  readonly givenUp: (oid: number) => void;
}

export class SnapshotRequests {
  readonly #parts: RequestParts;

  constructor(parts: RequestParts) {
    this.#parts = parts;
  }

  /**
   * Begins a snapshot; resolves once that is durable. Throws SNAPSHOT_TABLE_UNKNOWN, SNAPSHOT_KEYLESS,
   * SNAPSHOT_UNDER_WAY, SNAPSHOT_CONDITION, and NOT_STREAMING when the run ends meanwhile.
   */
  begin(name: string, where: string | null): Promise<void> {
    return this.#whileRunning(() => this.#begin(name, where));
  }

  /**
   * Gives up the snapshot of a table: no sweep follows, but where a gap had opened it, one that says so. Resolves once that is durable.
   * Throws SNAPSHOT_TABLE_UNKNOWN, SNAPSHOT_NOT_UNDER_WAY, and NOT_STREAMING when the run ends meanwhile.
   */
  cancel(name: string): Promise<void> {
    return this.#whileRunning(() => this.#cancel(name));
  }

  async #begin(name: string, where: string | null): Promise<void> {
    const { book, over, begin } = this.#parts;
    const table = this.#tableOf(name);
    if (where !== null && !table.encoder.hasKey) {
      throw new AfterimageError(
        "SNAPSHOT_KEYLESS",
        `Table ${name} has no key: views could not tell some of its rows from those that they have.`,
        "Leave --where out: all rows are read then, and views begin from nothing.",
      );
    }
    const { oid } = table.encoder.schema;
    const read = await withSnapshotClient(this.#parts, over, async (client) => {
      await checkCondition(client, parseTableName(table.encoder.schema.table), where);
      return estimateRows(client, oid);
    });
    if (book.get(oid) !== undefined) {
      throw new AfterimageError(
        "SNAPSHOT_UNDER_WAY",
        `A snapshot of ${name} is under way already.`,
        "Wait for its end (afterimage status shows how far it is), or give it up: --cancel.",
      );
    }
    book.add(toBeRead(table, { where, estimate: where === null ? read : null }));
    await begin(oid);
  }

  async #cancel(name: string): Promise<void> {
    const { book, epoch, place, givenUp } = this.#parts;
    const { oid } = this.#tableOf(name).encoder.schema;
    let found = false;
    await place(ZERO_LSN, (lsn, next) => {
      found = book.get(oid) !== undefined;
      if (!found) {
        return [];
      }
      const events = endUnread({ book, epoch }, { oid, why: "it was cancelled" }, lsn, next);
      givenUp(oid);
      return events;
    });
    if (!found) {
      throw new AfterimageError(
        "SNAPSHOT_NOT_UNDER_WAY",
        `No snapshot of ${name} is under way.`,
        "afterimage status lists those that are.",
      );
    }
  }

  async #whileRunning(what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      throw this.#parts.over.aborted && !(error instanceof AfterimageError) ? runEnded(error) : error;
    }
  }

  #tableOf(name: string): CapturedTable {
    const tables = [...this.#parts.book.tables.values()];
    const named = (wanted: string) => tables.find(({ encoder }) => encoder.schema.table === wanted);
    const table = named(name) ?? named(`public.${name}`);
    if (table === undefined) {
      throw new AfterimageError(
        "SNAPSHOT_TABLE_UNKNOWN",
        `Table ${name} is not captured by this stream.`,
        "Name a table that afterimage status lists, with its schema; one that is new is taken up within seconds.",
      );
    }
    return table;
  }
}

/** With a connection that is closed afterwards, and at once when the run ends. */
export async function withSnapshotClient<T>(
  { config, connect, onLost }: { config: Config; connect: Connections["sql"]; onLost: (error: Error) => void },
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
