// The stream against the tables, at one position and without stopping writes: folds up to what the database shows now,
// takes the snapshot, waits until the stream holds everything that the snapshot sees, and folds exactly that.
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { parseTableName } from "../event/identifier.ts";
import { formatLsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { holdsSameRows } from "../event/schema.ts";
import { readServerIdentity } from "../source/catalog.ts";
import { connectPatiently } from "../source/preflight-connection.ts";
import { closeSql } from "../source/session.ts";
import { PIN_LATE } from "../source/session-settings.ts";
import { readSlot } from "../source/slot.ts";
import { TableComparison } from "./compare.ts";
import { type BucketSum, DatabaseSnapshot, lookAtSnapshot } from "./database-snapshot.ts";
import { demandWhole } from "./demand-whole.ts";
import type { Findings } from "./finding.ts";
import { Fold } from "./fold.ts";
import type { Layout, Target } from "./layout.ts";
import type { DatabaseReport, TableReport } from "./report.ts";
import type { StreamCheck } from "./stream-check.ts";
import {
  asLastTold,
  demandTables,
  findTables,
  findUnseenTables,
  inForce,
  type NamedTables,
  type PlannedTable,
  planTables,
  publicationOid,
  type Selects,
  tellUnseenTables,
} from "./table-plan.ts";

export interface DatabaseOptions {
  readonly postgres: {
    readonly url: string;
    readonly standbyUrl?: string;
    readonly slot: string;
    readonly publication: string;
  };
  /** Which of the stream's tables are compared. */
  readonly selects: Selects;
  /** Tables that were asked for by name. */
  readonly named: readonly NamedTables[];
  /** How long the daemon may take to publish what the snapshot sees. */
  readonly waitMs: number;
  /** Whether findings may name keys. */
  readonly showKeys: boolean;
}

/** How the caller reads the stream. */
export interface StreamSide {
  readTarget(): Promise<Target>;
  /** Goes up to a later target. */
  extend(target: Target): Promise<Layout>;
  readonly onStep: (line: string) => void;
}

const LOOK_EVERY_MS = 100;
const NUDGE_EVERY_MS = 2_000;

export class DatabaseCheck {
  readonly #options: DatabaseOptions;
  readonly #findings: Findings;
  /** Holds the snapshot. */
  readonly #holder: pg.Client;
  readonly #other: pg.Client;
  readonly #publication: number;
  readonly #stream: string;
  /** Transactions of earlier epochs were of another history: every table was read again since. */
  readonly #epoch: number;
  readonly #check: StreamCheck;
  #fold: Fold | null = null;
  #snapshot: DatabaseSnapshot | null = null;
  #tables: readonly PlannedTable[] = [];
  /** By table. */
  readonly #sums = new Map<string, ReadonlyMap<number, BucketSum>>();
  #notYetVisible = 0;

  private constructor(
    options: DatabaseOptions,
    check: StreamCheck,
    findings: Findings,
    clients: readonly [pg.Client, pg.Client],
    publication: number,
    { stream, epoch }: Progress,
  ) {
    this.#options = options;
    this.#check = check;
    this.#findings = findings;
    [this.#holder, this.#other] = clients;
    this.#publication = publication;
    this.#stream = stream;
    this.#epoch = epoch;
  }

  /** Throws VERIFY_ORIGIN, SERVER_FOREIGN, POSTGRES_IN_RECOVERY and the errors of a connection. */
  static async open(
    options: DatabaseOptions,
    check: StreamCheck,
    progress: Progress,
    findings: Findings,
  ): Promise<DatabaseCheck> {
    demandWhole(progress);
    const clients: pg.Client[] = [];
    try {
      const [holder, other] = [await connect(options, clients), await connect(options, clients)];
      await checkServer(other, progress);
      const publication = await publicationOid(other, options.postgres.publication);
      return new DatabaseCheck(options, check, findings, [holder, other], publication, progress);
    } catch (error) {
      await Promise.all(clients.map(closeSql));
      throw error;
    }
  }

  /**
   * Resolves with the target up to which the stream holds everything that the snapshot sees. Throws VERIFY_NO_TABLES,
   * VERIFY_BEHIND and VERIFY_NOT_ALLOWED.
   */
  async fold(layout: Layout, stream: StreamSide): Promise<Target> {
    // What is folded before the snapshot is taken can't be taken out again: it stops at the first transaction that
    // nobody can see yet.
    const earlier = await lookAtSnapshot(this.#other);
    const chosen = await this.#findTables(layout);
    const unseen = await this.#findUnseen(this.#other, layout);
    demandTables(this.#stream, [...chosen.map(({ described }) => described), ...unseen], this.#options.named);
    const wanted = new Set(chosen.map(({ schema }) => schema.table));
    const others = recordedTables(layout).map(({ table }) => table);
    const fold = new Fold((schema) => this.#check.shape(schema), new Set(others.filter((table) => !wanted.has(table))));
    this.#fold = fold;
    await this.#check.run(
      (record) => fold.apply(record),
      ({ event }) => event.transaction.epoch < this.#epoch || earlier.sees(event.transaction),
    );
    const found = asLastTold(await this.#findTables(layout), (name) => fold.table(name)?.shape.schema);
    const snapshot = await DatabaseSnapshot.take(this.#holder, found);
    this.#snapshot = snapshot;
    const { visibility } = snapshot;
    const publication = { name: this.#options.postgres.publication, oid: this.#publication };
    this.#tables = await planTables(this.#holder, publication, found, this.#findings);
    tellUnseenTables(await this.#findUnseen(this.#holder, layout), this.#findings);
    stream.onStep(`Reading ${this.#tables.length} tables as they are at ${formatLsn(visibility.lsn)}.`);
    const [target] = await Promise.all([this.#awaitStream(stream), this.#sumTables()]);
    demandWhole(target.progress);
    const later = await stream.extend(target);
    this.#checkShapesStayed(layout, later);
    await this.#check.run(({ event, ...record }) => {
      if (event.transaction.index === 0) {
        fold.outrun({ event });
      } else if (visibility.sees(event.transaction)) {
        fold.apply({ event, ...record });
      } else {
        this.#notYetVisible++;
      }
    });
    return target;
  }

  async compare(onStep: (line: string) => void): Promise<DatabaseReport> {
    const { visibility } = this.#snapshot!;
    const tables: TableReport[] = [];
    for (const table of this.#tables) {
      const sums = this.#sums.get(table.schema.table)!;
      onStep(`Comparing ${table.schema.table}.`);
      const comparison = new TableComparison(table, this.#fold!, (schema) => this.#check.shape(schema), this.#findings);
      const report = await comparison.run(this.#snapshot!, sums, this.#options.showKeys);
      if (report !== null) {
        tables.push(report);
      }
    }
    return {
      lsn: formatLsn(visibility.lsn),
      snapshot: visibility.snapshot,
      notYetVisible: this.#notYetVisible,
      tables,
    };
  }

  async close(): Promise<void> {
    this.#fold?.close();
    await Promise.all([closeSql(this.#holder), closeSql(this.#other)]);
  }

  #findTables(layout: Layout) {
    return findTables(this.#other, this.#publication, recordedTables(layout), this.#options.selects, this.#findings);
  }

  #findUnseen(client: pg.Client, layout: Layout) {
    return findUnseenTables(client, this.#publication, recordedTables(layout), this.#options.selects);
  }

  async #sumTables(): Promise<void> {
    for (const table of this.#tables) {
      this.#sums.set(table.schema.table, await this.#snapshot!.sums(table));
    }
  }

  /** Throws VERIFY_BEHIND when the stream doesn't get there in time. */
  async #awaitStream({ readTarget, onStep }: StreamSide): Promise<Target> {
    const { lsn } = this.#snapshot!.visibility;
    const deadline = performance.now() + this.#options.waitMs;
    let nudgeAt = 0;
    for (let told = false; ; ) {
      const target = await readTarget();
      const { endLsn } = target.progress;
      if (endLsn >= lsn) {
        return target;
      }
      const now = performance.now();
      if (now > deadline) {
        throw await this.#behind(target.progress);
      }
      if (now >= nudgeAt) {
        // An idle server writes nothing out that would bring the stream past the position: one empty transaction does.
        await this.#other.query("BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_current_xact_id(); COMMIT");
        nudgeAt = now + NUDGE_EVERY_MS;
      }
      if (!told && now > deadline - this.#options.waitMs + 2_000) {
        onStep(`Waiting for the stream, which is at ${formatLsn(endLsn)}, to reach ${formatLsn(lsn)}.`);
        told = true;
      }
      await sleep(LOOK_EVERY_MS);
    }
  }

  async #behind(progress: Progress): Promise<AfterimageError> {
    const { lsn } = this.#snapshot!.visibility;
    const { slot, standbyUrl } = this.#options.postgres;
    // Whether somebody streams from a standby is not known here.
    const active = standbyUrl !== undefined || (await readSlot(this.#other, slot))?.activePid != null;
    const where = `The stream is published up to ${formatLsn(progress.endLsn)}, the tables were read at ${formatLsn(lsn)}`;
    return active
      ? new AfterimageError(
          "VERIFY_BEHIND",
          `${where}: it did not get there within ${this.#options.waitMs / 1000} s.`,
          "Let it catch up (afterimage status shows its lag), or wait longer: --wait 10m.",
        )
      : new AfterimageError(
          "VERIFY_BEHIND",
          `${where}, and no daemon streams from slot ${slot}.`,
          "Start it (afterimage start): the tables can only be compared at a position that the stream has reached.",
        );
  }

  /** A shape recorded between the snapshot and the target: the sums were made of other columns. */
  #checkShapesStayed(before: Layout, after: Layout): void {
    const known = new Map(recordedTables(before).map((schema) => [schema.table, schema]));
    for (const schema of recordedTables(after)) {
      const selected = this.#options.selects({ ...parseTableName(schema.table), ancestors: [] });
      const former = known.get(schema.table);
      // Of TRUNCATE only the table's file is another one.
      const changed = former === undefined || (former.schema !== schema.schema && !holdsSameRows(former, schema));
      if (changed && (selected || this.#sums.has(schema.table))) {
        const what = `Table ${schema.table} was not compared: its shape was recorded while it was read. Verify again.`;
        this.#findings.add("TABLE_NOT_FOLDED", what, { table: schema.table });
        this.#tables = this.#tables.filter((table) => table.schema.table !== schema.table);
      }
    }
  }
}

const recordedTables = (layout: Layout) => inForce(layout.schemas.values());

async function connect({ postgres }: DatabaseOptions, opened: pg.Client[]): Promise<pg.Client> {
  const connected = await connectPatiently({ url: postgres.url }, { waitMs: 0 });
  if ("finding" in connected) {
    const { code, what, remedy } = connected.finding;
    throw new AfterimageError(code, what, remedy);
  }
  opened.push(connected.client);
  await connected.client.query(PIN_LATE);
  return connected.client;
}

async function checkServer(client: pg.Client, progress: Progress): Promise<void> {
  const { rows } = await client.query("SELECT pg_is_in_recovery() AS standby");
  if (rows[0].standby === true) {
    throw new AfterimageError(
      "POSTGRES_IN_RECOVERY",
      "The server is a standby: its position can't be compared with the stream's.",
      "Point postgres.url at the primary.",
    );
  }
  const { systemId, database } = await readServerIdentity(client);
  if (systemId !== progress.systemId || database !== progress.database) {
    throw new AfterimageError(
      "SERVER_FOREIGN",
      "This is not the server, or not the database, that the stream comes from.",
      "Correct postgres.url, or the stream's name.",
    );
  }
}
