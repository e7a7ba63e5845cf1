// SIGKILL at random moments of snapshots, under a load of writes: is all there at the end, and nothing read twice? Every
// event is held against the tables by `afterimage verify`; here it is counted what each snapshot read.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { createDatabase, unique } from "../../dev/servers/database.ts";
import { deleteTopics, kafkaClient } from "../../dev/servers/topics.ts";
import { requestSnapshot, statusOf } from "../support/admin.ts";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { ReadTap } from "../support/read-tap.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";
import type { Random } from "./random.ts";
import { ReadsLost } from "./reads-lost.ts";

export interface SnapshotKillsPlan {
  readonly postgresUrl: string;
  readonly brokers: readonly string[];
  /** In the table before the stream. */
  readonly rows: number;
  /** Aimed at. */
  readonly writesPerSecond: number;
  readonly kills: number;
  /** A kill comes so long after the daemon streams at most. */
  readonly longestMs: number;
  /** `batch.maxBytes` of the daemon. */
  readonly batchBytes: number;
  readonly random: Random;
  readonly log: (line: string) => void;
}

export interface SnapshotKillsReport {
  /** SIGKILLs while at least one table was being read. */
  readonly kills: number;
  /** Of the table, one after the other. */
  readonly snapshots: number;
  readonly writes: number;
  readonly writesPerSecond: number;
  /** `read` events in the topic. */
  readonly reads: number;
  /** Rows of which one snapshot published two `read` events. */
  readonly readTwice: number;
  /** Rows, and their bytes as text, that came from Postgres again after a kill: of all kills, and of the worst one. */
  readonly readAgain: number;
  readonly mostReadAgain: { readonly rows: number; readonly bytes: number };
  /** Bytes of rows, as text, that may be read again after a kill. */
  readonly chunk: number;
  /** That read at the same time, the most. */
  readonly connections: number;
  readonly verified: boolean;
  /** What `afterimage verify` said, when it found something. */
  readonly found: string;
}

const TABLE = "public.items";
const COLUMNS = ["id", "v", "pad"];
/** What may be read again after a kill: rows as text, in batches, as docs/architecture.md has it. */
const CHUNK_BATCHES = 4;
/** The last rows of a fetch may belong to the next chunk already. */
const OVERSHOOT = 1.05;
const ROWS_A_COMMIT = 10;
const WRITERS = 4;
const VERIFY_MS = 3_600_000;

export async function killSnapshots(plan: SnapshotKillsPlan): Promise<SnapshotKillsReport> {
  const { postgresUrl, brokers, rows, kills, random, log } = plan;
  const database = await createDatabase(postgresUrl, "kills");
  const stream = unique("kills");
  const lost = new ReadsLost();
  const tap = await ReadTap.start(database.url, COLUMNS, (values, connection) =>
    lost.row(values[0]!, values.join("").length, connection),
  );
  const settings = {
    AFTERIMAGE_STREAM: stream,
    AFTERIMAGE_POSTGRES_URL: tap.through(database.url),
    AFTERIMAGE_BATCH_MAX_BYTES: String(plan.batchBytes),
    AFTERIMAGE_KAFKA_BROKERS: brokers.join(","),
    AFTERIMAGE_TABLES: "*.*",
    AFTERIMAGE_ADMIN_PORT: "0",
    AFTERIMAGE_SNAPSHOT: "initial",
  };
  let daemon: SpawnedDaemon | null = null;
  const start = async () => {
    daemon = spawnCli(["start"], settings);
    await daemon.says(/"state":"(streaming|snapshotting)"/, { timeout: 120_000 });
    return daemon;
  };
  const load = new Load(database.url, plan);
  try {
    await database.client.query(
      `CREATE TABLE items (id bigint PRIMARY KEY, v int, pad text);
       INSERT INTO items SELECT g, 0, repeat(md5(g::text), 4) FROM generate_series(1, ${rows}) g; ANALYZE items`,
    );
    await load.begin();
    let snapshots = 1;
    for (let killed = 0; killed < kills; ) {
      const running = await start();
      const [before] = (await statusOf(running)).snapshot;
      if (before === undefined) {
        lost.begin();
        snapshots += (await requestSnapshot(running, TABLE)) === null ? 1 : 0;
      }
      if (random.chance(0.8)) {
        // On a slow machine the first rows may take long; and before them there is little to be lost.
        const goesOn = async () => {
          const [now] = (await statusOf(running)).snapshot;
          return now === undefined || now.rows > (before?.rows ?? 0);
        };
        await waitFor(goesOn, { what: "some rows to be read", timeout: 120_000 });
      }
      await sleep(random.int(0, plan.longestMs));
      const [reading] = (await statusOf(running)).snapshot;
      await running.kill();
      lost.killed();
      if (reading !== undefined) {
        killed++;
        log(`kill ${killed} of ${kills}: ${reading.rows} rows read, ${load.perSecond()} writes a second`);
      }
    }
    const last = await start();
    const { writes, perSecond } = await load.end();
    await waitFor(async () => (await statusOf(last)).snapshot.length === 0, {
      what: "the end of the snapshot",
      timeout: 300_000,
    });
    // A million events on a busy machine take minutes.
    const proof = verifyDatabase({ stream, brokers, database }, ["--wait", "10m"], {}, VERIFY_MS);
    const { code, kinds, output } = await proof;
    const counts = await countReads([...brokers], `${stream}.${TABLE}`);
    const verified = code === 0;
    const found = verified ? "" : `${kinds.join(", ")}\n${output}`;
    return {
      kills,
      snapshots,
      writes,
      writesPerSecond: perSecond,
      ...counts,
      readAgain: lost.all,
      mostReadAgain: lost.most,
      chunk: CHUNK_BATCHES * plan.batchBytes,
      connections: lost.mostConnections,
      verified,
      found,
    };
  } finally {
    await load.end();
    await (daemon as SpawnedDaemon | null)?.kill();
    await tap.close();
    await database.drop();
    await deleteTopics([...brokers], `${stream}.`);
  }
}

/** Writers that change, add, re-key and delete rows, as fast as they are told to. */
class Load {
  readonly #url: string;
  readonly #plan: SnapshotKillsPlan;
  #writing: Promise<void>[] = [];
  #stopped = false;
  #writes = 0;
  #begun = 0;
  #rate = 0;
  #next: number;

  constructor(url: string, plan: SnapshotKillsPlan) {
    this.#url = url;
    this.#plan = plan;
    this.#next = plan.rows;
  }

  async begin(): Promise<void> {
    this.#begun = performance.now();
    this.#writing = Array.from({ length: WRITERS }, (_, writer) => this.#write(writer));
  }

  perSecond(): number {
    return Math.round((this.#writes / (performance.now() - this.#begun)) * 1000);
  }

  async end(): Promise<{ writes: number; perSecond: number }> {
    if (!this.#stopped) {
      this.#stopped = true;
      await Promise.all(this.#writing);
      this.#rate = this.perSecond();
    }
    return { writes: this.#writes, perSecond: this.#rate };
  }

  async #write(writer: number): Promise<void> {
    const random = this.#plan.random.fork(`writer ${writer}`);
    const client = new pg.Client({ connectionString: this.#url });
    await client.connect();
    try {
      while (!this.#stopped) {
        const due = (this.#plan.writesPerSecond * (performance.now() - this.#begun)) / 1000;
        if (this.#writes >= due) {
          await sleep(2);
          continue;
        }
        this.#writes += ROWS_A_COMMIT;
        // Sorted: two writers that lock the same rows in another order would wait for each other.
        const ids = Array.from({ length: ROWS_A_COMMIT }, () => random.int(1, this.#plan.rows)).sort((a, b) => a - b);
        await client.query(...this.#statement(random, ids)).catch((error) => {
          if (error.code !== DEADLOCK && error.code !== DOUBLE) throw error;
        });
      }
    } finally {
      await client.end();
    }
  }

  #statement(random: Random, ids: number[]): [string, unknown[]] {
    const kind = random.int(1, 20);
    if (kind <= 14) {
      return ["UPDATE items SET v = v + 1 WHERE id = ANY ($1)", [ids]];
    }
    if (kind <= 17) {
      this.#next += ROWS_A_COMMIT;
      return [
        "INSERT INTO items SELECT $1::bigint + g, 0, 'new' FROM generate_series(1, $2::int) g",
        [this.#next, ROWS_A_COMMIT],
      ];
    }
    return kind === 18
      ? ["DELETE FROM items WHERE id = ANY ($1)", [ids]]
      : ["UPDATE items SET id = -id, v = v + 1 WHERE id = ANY ($1)", [ids.map((id) => (kind === 19 ? id : -id))]];
  }
}

const DEADLOCK = "40P01";
const DOUBLE = "23505";

/** Of each snapshot, from its gap on: how many rows it read, and how many of them twice. */
async function countReads(brokers: string[], topic: string): Promise<{ reads: number; readTwice: number }> {
  const kafka = kafkaClient(brokers);
  const admin = kafka.admin();
  await admin.connect();
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, BigInt(high)]));
  await admin.disconnect();
  for (const [partition, end] of ends) if (end === 0n) ends.delete(partition);
  /** By partition: the gap that stands before, and the keys read since. */
  const seen = new Map<number, Set<string>>();
  const counts = { reads: 0, readTwice: 0 };
  const consumer = kafka.consumer({ groupId: unique("count"), maxWaitTimeInMs: 200 });
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    if (BigInt(payload.lastOffset) + 1n >= (ends.get(payload.partition) ?? 0n)) ends.delete(payload.partition);
  });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const { key, value } of batch.messages) {
          const operation = /"operation":"([a-z]+)"/.exec(value?.toString() ?? "")?.[1];
          if (operation === "gap") {
            seen.set(batch.partition, new Set());
          } else if (operation === "read") {
            const keys = seen.get(batch.partition) ?? new Set();
            counts.reads++;
            counts.readTwice += keys.has(String(key)) ? 1 : 0;
            keys.add(String(key));
          }
        }
      },
    });
    await waitFor(() => ends.size === 0, { what: `the end of ${topic}`, timeout: 300_000 });
  } finally {
    await consumer.disconnect();
  }
  return counts;
}

export const holdsSnapshots = (report: SnapshotKillsReport): boolean =>
  report.verified &&
  report.readTwice === 0 &&
  report.reads > 0 &&
  report.mostReadAgain.bytes <= OVERSHOOT * report.chunk;

export const snapshotLine = (report: SnapshotKillsReport): string =>
  `${holdsSnapshots(report) ? "held" : "NOT HELD"}: ${report.kills} kills during ${report.snapshots} snapshots, ${report.writes} rows written (${report.writesPerSecond} a second), ${report.reads} rows read, ${report.readTwice} of them twice by one snapshot, over up to ${report.connections} connections; from Postgres again after a kill: ${Math.round(report.readAgain / report.kills)} rows on average, ${report.mostReadAgain.rows} rows and ${report.mostReadAgain.bytes} bytes at most (a chunk is ${report.chunk}); verify --against-database: ${report.verified ? "equal" : report.found}`;
