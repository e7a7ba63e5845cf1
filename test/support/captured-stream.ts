// A stream under test: a database of its own, a daemon in its own process, and its topics read by an ordinary client.
import pg from "pg";
import { inject } from "vitest";
import type { ChangeEvent } from "../../src/event/change-event.ts";
import { parseEnvelope } from "../../src/event/envelope.ts";
import { formatLsn, type Lsn, parseLsn } from "../../src/event/lsn.ts";
import { type Progress, parseProgress } from "../../src/event/progress.ts";
import { type SpawnedDaemon, spawnCli } from "./daemon.ts";
import { createDatabase, type TestDatabase, uniqueStream } from "./database.ts";
import { deleteTopics, listTopics, readTopic, type TopicRecord } from "./topics.ts";
import { waitFor } from "./wait-for.ts";

export interface StoredEvent extends TopicRecord {
  readonly topic: string;
  readonly event: ChangeEvent;
}

export class CapturedStream {
  readonly stream = uniqueStream();
  readonly database: TestDatabase;
  readonly brokers: string[];
  readonly #settings: Record<string, string>;
  #daemon: SpawnedDaemon | null = null;

  private constructor(database: TestDatabase, brokers: string[], settings: Record<string, string>) {
    this.database = database;
    this.brokers = brokers;
    this.#settings = settings;
  }

  /** Runs `setup` in a fresh database and starts a daemon that captures all of it; on the run's own servers by default. */
  static async create(...given: Parameters<typeof CapturedStream.prepare>): Promise<CapturedStream> {
    const stream = await CapturedStream.prepare(...given);
    await stream.start();
    return stream;
  }

  /** The same before its first start. */
  static async prepare(
    setup: string,
    settings: Record<string, string> = {},
    servers: { postgresUrl: string; brokers: string[] } = {
      postgresUrl: inject("postgresUrl"),
      brokers: inject("brokers"),
    },
    encoding?: string,
  ): Promise<CapturedStream> {
    const database = await createDatabase(servers.postgresUrl, encoding);
    await database.client.query(setup);
    return new CapturedStream(database, servers.brokers, settings);
  }

  get daemon(): SpawnedDaemon {
    if (this.#daemon === null) {
      throw new Error("No daemon was started.");
    }
    return this.#daemon;
  }

  /** Another daemon on the same stream; the caller ends it. */
  spawn(settings: Record<string, string> = {}): SpawnedDaemon {
    return this.ask("start", settings);
  }

  /** Any command of the command line with this stream's settings; `args` follow it. */
  ask(command: string, settings: Record<string, string> = {}, args: readonly string[] = []): SpawnedDaemon {
    const url = new URL(this.database.url);
    return spawnCli([command, ...args], {
      AFTERIMAGE_STREAM: this.stream,
      AFTERIMAGE_POSTGRES_URL: url.href,
      AFTERIMAGE_KAFKA_BROKERS: this.brokers.join(","),
      AFTERIMAGE_TABLES: "*.*",
      AFTERIMAGE_ADMIN_PORT: "0",
      // Most tests are of what is committed while they run.
      AFTERIMAGE_SNAPSHOT: "never",
      // Making a slot waits for every transaction on the server, those of tests that run beside this one too.
      AFTERIMAGE_STARTUP_WAIT: "2m",
      ...this.#settings,
      ...settings,
    });
  }

  async start(settings: Record<string, string> = {}, args: readonly string[] = []): Promise<SpawnedDaemon> {
    this.#daemon = this.ask("start", settings, args);
    await this.#daemon.says(/"state":"(streaming|snapshotting)"/);
    return this.#daemon;
  }

  sql(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }> {
    return this.database.client.query(text, values) as Promise<{ rows: Record<string, unknown>[] }>;
  }

  /** Asks over a connection of its own: the server may have been restarted. */
  async sqlAfresh(text: string): Promise<{ rows: Record<string, unknown>[] }> {
    const client = new pg.Client({ connectionString: this.database.url });
    await client.connect();
    try {
      return await client.query(text);
    } finally {
      await client.end();
    }
  }

  /** Waits until everything that is committed now is published. */
  async published(timeout = 90_000): Promise<Progress> {
    // With synchronous_commit off, as subscriptions have it, commits are visible that are not written yet. A commit that
    // waits for its own record, which nobody decodes, brings the write position past them.
    await this.sqlAfresh(
      "SET synchronous_commit = local; SELECT pg_current_xact_id(), pg_create_restore_point('afterimage test')",
    );
    const { rows } = await this.sqlAfresh("SELECT pg_current_wal_lsn()::text AS lsn");
    const target = parseLsn(String(rows[0]!.lsn));
    let reached = "nothing";
    return waitFor(
      async () => {
        if (this.#daemon?.child.exitCode != null) {
          throw new Error(`The daemon has ended:\n${this.#daemon.output()}`);
        }
        const progress = await this.progress();
        reached = progress === null ? "nothing" : `${formatLsn(progress.endLsn)}, sequence ${progress.sequence}`;
        return progress !== null && progress.endLsn >= target ? progress : null;
      },
      { what: `everything up to ${rows[0]!.lsn} to be published`, timeout },
    ).catch((cause) => {
      throw new Error(`It reached ${reached}; the daemon said:\n${this.#daemon?.output()}`, { cause });
    });
  }

  /** The progress record stored last. */
  async progress(): Promise<Progress | null> {
    const value = (await readTopic(this.brokers, `${this.stream}.progress`)).at(-1)?.value;
    return value == null ? null : parseProgress(value);
  }

  async confirmedFlushLsn(): Promise<Lsn> {
    const { rows } = await this.sql(
      "SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1",
      [`afterimage_${this.stream}`],
    );
    return parseLsn(String(rows[0]!.lsn));
  }

  /** Everything committed in the tables' topics, by sequence; copies of a barrier stand side by side. */
  async stored(): Promise<StoredEvent[]> {
    const own = new Set([`${this.stream}.progress`, `${this.stream}.schemas`]);
    const topics = (await listTopics(this.brokers, `${this.stream}.`)).filter((topic) => !own.has(topic));
    const stored: StoredEvent[] = [];
    for (const topic of topics) {
      for (const record of await readTopic(this.brokers, topic)) {
        stored.push({ ...record, topic, event: parseEnvelope(record.value ?? "null") });
      }
    }
    return stored.sort((a, b) => a.event.sequence - b.event.sequence);
  }

  /** The events once everything committed is published; each barrier once. */
  async events(timeout?: number): Promise<ChangeEvent[]> {
    await this.published(timeout);
    const bySequence = new Map((await this.stored()).map(({ event }) => [event.sequence, event]));
    return [...bySequence.values()];
  }

  /** Waits for the sweep that ends a snapshot of the table: the one that comes after so many. */
  async swept(table: string, before = 0): Promise<void> {
    await waitFor(
      async () => {
        if (this.daemon.child.exitCode !== null) {
          throw new Error(`The daemon has ended:\n${this.daemon.output()}`);
        }
        const sweeps = (await this.stored()).flatMap(({ event }) =>
          event.operation === "sweep" && event.table === table ? [event.sequence] : [],
        );
        return new Set(sweeps).size > before;
      },
      { what: `sweep ${before + 1} of ${table}`, timeout: 60_000 },
    );
  }

  async drop(): Promise<void> {
    await this.#daemon?.kill();
    await this.database.drop();
    await deleteTopics(this.brokers, `${this.stream}.`);
  }
}
