// The world of one history: real servers, proxies in front of them, and the processes under test.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { unique } from "../../dev/servers/database.ts";
import { startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { waitFor } from "../../dev/servers/wait-for.ts";
import { formatLsn, parseLsn } from "../../src/event/lsn.ts";
import type { SpawnedDaemon } from "../support/daemon.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { verdictOf } from "./ask-verify.ts";
import { describeTables } from "./collect-postgres.ts";
import { inTime } from "./deadline.ts";
import type { Period, Verified } from "./evidence.ts";
import { whole } from "./nemesis/cluster.ts";
import type { HistoryPlan } from "./plan.ts";
import { Processes } from "./processes.ts";
import { Sampler } from "./sampler.ts";
import type { ViewTable } from "./view.ts";
import { CAPTURED, KEYLESS, setupSql } from "./workload/setup.ts";
import type { FreezableServer, KafkaCluster, World } from "./world.ts";

/** Nothing that any process says may hold it. */
export const CANARY = "canary-5up3r-53cr37";

/** Short enough that a stopped daemon loses its connection within a round. */
const WAL_SENDER_TIMEOUT = "3s";

const CAUGHT_UP_MS = 30_000;
const VERIFY_MS = 170_000;
const CLOSE_MS = 90_000;

interface Parts {
  readonly plan: HistoryPlan;
  readonly postgres: FreezableServer;
  readonly kafka: KafkaCluster;
  readonly postgresProxy: TcpProxy;
  readonly kafkaProxy: KafkaProxy;
  readonly stream: string;
  readonly folder: string;
  /** Of a superuser to the captured database, past the proxy. */
  readonly url: string;
}

export class RealWorld implements World {
  readonly postgres: FreezableServer;
  readonly kafka: KafkaCluster;
  readonly postgresProxy: TcpProxy;
  readonly kafkaProxy: KafkaProxy;
  readonly stream: string;
  readonly topic: string;
  readonly url: string;
  readonly viewFile: string;
  readonly began = performance.now();
  readonly sampler: Sampler;
  readonly processes: Processes;
  readonly dark: Period[] = [];
  readonly #folder: string;
  #daemon: SpawnedDaemon | null = null;
  #view: SpawnedDaemon | null = null;

  private constructor(parts: Parts, tables: readonly ViewTable[]) {
    this.postgres = parts.postgres;
    this.kafka = parts.kafka;
    this.postgresProxy = parts.postgresProxy;
    this.kafkaProxy = parts.kafkaProxy;
    this.stream = parts.stream;
    this.topic = `${parts.stream}.public.accounts`;
    this.url = parts.url;
    this.#folder = parts.folder;
    this.viewFile = join(parts.folder, "view.db");
    const { brokers } = parts.kafka;
    this.processes = new Processes(
      daemonSettings(parts),
      { brokers, stream: this.stream, file: this.viewFile, tables },
      parts.folder,
    );
    this.sampler = new Sampler({
      postgresUrl: this.url,
      brokers,
      stream: this.stream,
      adminPorts: () => this.processes.adminPorts(),
      began: this.began,
    });
  }

  /** Starts servers and proxies, and makes the database with its tables. */
  static async open(plan: HistoryPlan): Promise<RealWorld> {
    const resources = new AsyncDisposableStack();
    try {
      const settings = { wal_sender_timeout: WAL_SENDER_TIMEOUT, logical_decoding_work_mem: "1MB" };
      const postgres = await startPostgres({ version: plan.postgres, settings });
      resources.defer(() => postgres.remove());
      const kafka = await startKafkaCluster({ nodes: plan.nodes });
      resources.defer(() => kafka.remove());
      const url = await createDatabase(postgres.address);
      const postgresProxy = await TcpProxy.start(url);
      resources.defer(() => postgresProxy.close());
      const kafkaProxy = await KafkaProxy.start(kafka.brokers);
      resources.defer(() => kafkaProxy.close());
      const folder = await mkdtemp(join(tmpdir(), "afterimage-torture-"));
      const parts = { plan, postgres, kafka, postgresProxy, kafkaProxy, stream: unique("t"), folder, url };
      return new RealWorld(parts, await describeTables(url));
    } catch (error) {
      await resources.disposeAsync();
      throw error;
    }
  }

  get daemon(): SpawnedDaemon {
    if (this.#daemon === null) throw new Error("No daemon was started.");
    return this.#daemon;
  }

  get view(): SpawnedDaemon {
    if (this.#view === null) throw new Error("No view was started.");
    return this.#view;
  }

  async startDaemon(environment: Record<string, string> = {}): Promise<SpawnedDaemon> {
    this.#daemon = await this.processes.startDaemon(environment);
    return this.#daemon;
  }

  async startSecond(): Promise<{ daemon: SpawnedDaemon; promote(): void }> {
    const daemon = await this.processes.startDaemon();
    return {
      daemon,
      promote: () => {
        this.#daemon = daemon;
      },
    };
  }

  async startView(environment: Record<string, string> = {}): Promise<SpawnedDaemon> {
    this.#view = this.processes.startView(environment);
    return this.#view;
  }

  async sql(text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url });
    client.on("error", () => undefined); // what is asked then rejects
    await client.connect();
    try {
      const { rows } = await client.query(text);
      return rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  nothingGetsThrough(): () => void {
    const from = this.now();
    return () => this.dark.push({ from, to: this.now() });
  }

  async caughtUp(timeoutMs = CAUGHT_UP_MS): Promise<void> {
    // A commit that waits brings the write position past every commit that has returned.
    await this.sql("SELECT pg_current_xact_id()");
    const [row] = await this.sql("SELECT pg_current_wal_lsn()::text AS lsn");
    const target = parseLsn(String(row!.lsn));
    let reached = "nothing";
    await waitFor(
      async () => {
        if (this.processes.running("daemon").length === 0) {
          throw new Error(`The daemon has ended:\n${this.daemon.output().slice(-2000)}`);
        }
        const stored = await this.sampler.stored().catch(() => null); // Kafka may still be coming up
        if (stored !== null) reached = `${formatLsn(stored.endLsn as ReturnType<typeof parseLsn>)}`;
        return stored !== null && stored.endLsn >= target;
      },
      { what: `everything up to ${row!.lsn} to be published`, timeout: timeoutMs },
    ).catch((cause) => {
      throw new Error(`It reached ${reached} of ${row!.lsn}.`, { cause });
    });
  }

  sleep(ms: number): Promise<void> {
    return sleep(ms);
  }

  /** Milliseconds since the history began. */
  now(): number {
    return Math.round(performance.now() - this.began);
  }

  /** The project's own judge, past the proxies. */
  verify(): Promise<Verified> {
    const { brokers } = this.kafka;
    return verdictOf(
      this.processes.ask(["verify", "--against-database", "--json"], { url: this.url, brokers }),
      VERIFY_MS,
    );
  }

  /** Network, servers and processes as a strike leaves them that comes to its end. */
  async mend(): Promise<void> {
    this.postgresProxy.heal();
    await this.kafkaProxy.heal();
    const servers = [this.postgres, ...this.kafka.nodes];
    for (const server of servers) server.thaw();
    for (const process of ["daemon", "view"] as const) {
      for (const running of this.processes.running(process)) running.signal("SIGCONT");
    }
    await Promise.all(servers.map((server) => server.start()));
    await whole(this);
    // One that ended by itself stays ended: that is what the history broke off for.
    if (this.processes.wasKilled("daemon")) await this.startDaemon();
    if (this.processes.wasKilled("view")) await this.startView();
  }

  /** What a history that failed shall leave beside what the processes wrote, by the name it gets. */
  get files(): Map<string, string> {
    const logs = this.kafka.nodes.map(({ log }, index): [string, string] => [`kafka-${index + 1}.log`, log]);
    return new Map([["view.db", this.viewFile], ["postgres.log", this.postgres.log], ...logs]);
  }

  /** Ends and removes everything, whatever of it fails; the first failure is thrown. */
  async close(): Promise<void> {
    const steps = [
      () => this.processes.killAll(),
      () => this.sampler.stop(),
      () => Promise.all([this.postgresProxy.close(), this.kafkaProxy.close()]),
      () => Promise.all([this.postgres.remove(), this.kafka.remove()]),
      () => rm(this.#folder, { recursive: true, force: true }),
    ];
    const failures: unknown[] = [];
    for (const step of steps) {
      await inTime<unknown>(step(), CLOSE_MS, "The end of a history's servers").catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}

function daemonSettings({ plan, stream, postgresProxy, kafkaProxy, url }: Parts): Record<string, string> {
  const address = new URL(postgresProxy.through(url));
  address.username = "capture";
  address.password = CANARY;
  return {
    AFTERIMAGE_STREAM: stream,
    AFTERIMAGE_POSTGRES_URL: address.href,
    AFTERIMAGE_KAFKA_BROKERS: kafkaProxy.addresses.join(","),
    AFTERIMAGE_KAFKA_PARTITIONS: String(plan.partitions),
    AFTERIMAGE_TABLES: CAPTURED,
    // The audit knows nothing of rows that were there before.
    AFTERIMAGE_SNAPSHOT: "never",
    AFTERIMAGE_KEYLESS: KEYLESS,
    AFTERIMAGE_BATCH_MAX_BYTES: String(plan.batchMaxBytes),
    AFTERIMAGE_BATCH_LINGER: `${plan.lingerMs}ms`,
  };
}

async function createDatabase(serverUrl: string): Promise<string> {
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query("CREATE DATABASE torture");
  await admin.query(`CREATE ROLE capture LOGIN SUPERUSER REPLICATION PASSWORD '${CANARY}'`);
  await admin.end();
  const address = new URL(serverUrl);
  address.pathname = "/torture";
  const client = new pg.Client({ connectionString: address.href });
  await client.connect();
  await client.query(setupSql());
  await client.end();
  return address.href;
}
