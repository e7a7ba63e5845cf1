// Writers that change the tables of setup.ts at the same time, each by a plan of its own, until they are stopped.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../random.ts";
import { Counters } from "./counters.ts";
import { Planner, type PlanOptions } from "./plan.ts";
import { APPLICATION_NAME, isExpected } from "./session.ts";
import { SEED_SQL } from "./setup.ts";
import { literal } from "./statement.ts";
import { Writer } from "./writer.ts";

export interface WorkloadOptions extends PlanOptions {
  /** Of a superuser, to the database that `setupSql` made; past any proxy. */
  readonly url: string;
  readonly random: Random;
  /** At most 9: each may have one prepared transaction, and the servers allow 10. 6 by default. */
  readonly writers?: number;
  /** Transactions a second of all writers together, each of 15 rows or so on average; 80 by default. */
  readonly rate?: number;
}

/** Inserts the rows that stand there from the beginning, unless they do. */
async function seed(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT FROM public.accounts LIMIT 1");
    if (rowCount === 0) await client.query(SEED_SQL);
  } finally {
    await client.end();
  }
}

export class Workload {
  readonly counters = new Counters();
  readonly #url: string;
  readonly #gidPrefix: string;
  readonly #stopping = new AbortController();
  readonly #writers: Promise<void>[];
  #failure: Error | null = null;
  /** Writers between their turns. */
  #gate: PromiseWithResolvers<void> | null = null;
  #waiting = 0;
  #running: number;
  #settled: PromiseWithResolvers<void> | null = null;

  private constructor(options: WorkloadOptions) {
    const count = options.writers ?? 6;
    if (count > 9) throw new RangeError("At most 9 writers: each may hold a prepared transaction.");
    this.#url = options.url;
    this.#gidPrefix = `torture_${new URL(options.url).pathname.slice(1)}_`;
    this.#running = count;
    this.#writers = Array.from({ length: count }, (_, writer) =>
      new Writer({
        url: options.url,
        planner: new Planner(options.random.fork(`writer ${writer}`), writer, options),
        counters: this.counters,
        gidPrefix: `${this.#gidPrefix}${writer}_`,
        rate: (options.rate ?? 80) / count,
        turn: () => this.#turn(),
        stopped: this.#stopping.signal,
      })
        .run()
        .catch((error: Error) => {
          this.#failure ??= error;
          this.#stopping.abort();
          this.#gate?.resolve();
        })
        .finally(() => {
          this.#running--;
          this.#settle();
        }),
    );
  }

  /** Call it when the daemon streams: the first rows are inserted here, and the stream must see them. */
  static async start(options: WorkloadOptions): Promise<Workload> {
    await seed(options.url);
    return new Workload(options);
  }

  /** Operations and frames, by how often a transaction with them came to its planned end. */
  get operations(): Record<string, number> {
    return Object.fromEntries([...this.counters.frames, ...this.counters.operations]);
  }

  /** The first error that no fault explains; all writers stop then. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Resolves when no writer is inside a transaction; prepared ones stay prepared. Needs a server that answers. */
  async pause(): Promise<void> {
    this.#gate ??= Promise.withResolvers();
    this.#settled ??= Promise.withResolvers();
    const settled = this.#settled.promise;
    this.#settle();
    await settled;
  }

  resume(): void {
    this.#gate?.resolve();
    this.#gate = null;
  }

  /**
   * Resolves when every session has ended and nothing is prepared any more: then audit and tables stand still.
   * Rejects with `failure`. The server must be up, or come up within `timeout` (60 s).
   */
  async stop(timeout = 60_000): Promise<void> {
    this.#stopping.abort();
    this.resume();
    await Promise.all(this.#writers);
    await this.#settleServer(Date.now() + timeout);
    if (this.#failure !== null) throw this.#failure;
  }

  async #turn(): Promise<void> {
    while (this.#gate !== null) {
      this.#waiting++;
      this.#settle();
      await this.#gate.promise;
      this.#waiting--;
    }
  }

  #settle(): void {
    if (this.#settled !== null && this.#waiting >= this.#running) {
      this.#settled.resolve();
      this.#settled = null;
    }
  }

  async #settleServer(deadline: number): Promise<void> {
    for (;;) {
      try {
        if (await this.#nothingLeft()) return;
        if (Date.now() > deadline) throw new Error("Sessions or prepared transactions of the workload don't end.");
      } catch (error) {
        if ((error instanceof pg.DatabaseError && !isExpected(error)) || Date.now() > deadline) throw error;
      }
      await sleep(50);
    }
  }

  /** Ends what is prepared, when no session can prepare more. */
  async #nothingLeft(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.#url, connectionTimeoutMillis: 5_000 });
    client.on("error", () => undefined); // what is asked of it rejects
    try {
      await client.connect();
      const sessions = await client.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
        [APPLICATION_NAME],
      );
      if ((sessions.rowCount ?? 0) > 0) return false;
      const { rows } = await client.query(
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, $1)",
        [this.#gidPrefix],
      );
      // Which way doesn't matter: the audit tells. Both ways happen.
      for (const [at, { gid }] of rows.entries()) {
        const decision = at % 2 === 0 ? "commit" : "rollback";
        await client.query(`${decision} PREPARED ${literal(gid)}`);
        this.counters.decided(decision);
      }
      return true;
    } finally {
      await client.end().catch(() => undefined); // it may never have been open
    }
  }
}
