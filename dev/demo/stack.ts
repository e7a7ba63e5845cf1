// Everything the demo runs: servers, an own database, the daemon and the search page; and the way to take it all down.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DaemonStatus } from "../../src/daemon/status.ts";
import { createDatabase, type OwnDatabase, unique } from "../servers/database.ts";
import { freePort, guard, listens } from "../servers/process.ts";
import { startServers } from "../servers/servers.ts";
import { deleteTopics, listTopics } from "../servers/topics.ts";
import { waitFor } from "../servers/wait-for.ts";
import { getJson, Program } from "./processes.ts";
import type { TakeDown } from "./take-down.ts";
import { CREATE_PRODUCTS } from "./workload.ts";

const CLI = fileURLToPath(new URL("../../bin/afterimage.js", import.meta.url));
const SAMPLE = fileURLToPath(new URL("../../src/sample/search-index/main.ts", import.meta.url));

/** What the demo reads of the sample's `/api/status`. */
export interface SampleStatus {
  readonly documents: number;
  /** The highest sequence that the index has applied, of whatever partition. */
  readonly sequence: number;
  /** Offsets still to be read, all partitions together. */
  readonly lag: number | null;
}

export interface Stack {
  readonly stream: string;
  readonly topic: string;
  readonly brokers: string[];
  readonly database: OwnDatabase;
  readonly daemon: Program;
  readonly sample: Program;
  /** The search index's SQLite file. */
  readonly indexFile: string;
  /** Address of the daemon's dashboard. */
  readonly admin: string;
  /** Address of the search page. */
  readonly page: string;
  status(): Promise<DaemonStatus | undefined>;
  sampleStatus(): Promise<SampleStatus | undefined>;
  /** Starts the daemon and waits until it streams. */
  startDaemon(): Promise<void>;
  /** Starts the sample and waits until its page answers. */
  startSample(): Promise<void>;
}

/** Starts the servers, makes the empty table and prepares the programs; starts neither of them. */
export async function buildStack(takeDown: TakeDown, log: (line: string) => void): Promise<Stack> {
  const servers = await takeDown.made(
    () => startServers({ log }),
    (started) => started.stop(),
  );
  const { brokers } = servers;

  // A Kafka that the environment named may have a stream `shop` of somebody else's.
  const taken = servers.kafka === null && (await listTopics(brokers, "shop.")).length > 0;
  const stream = taken ? unique("shop") : "shop";
  // Servers that were started for the demo go with all that they hold.
  if (servers.kafka === null) takeDown.add(() => deleteTopics(brokers, `${stream}.`));

  const database = await takeDown.made(
    () => createDatabase(servers.postgresUrl, "afterimage_demo"),
    (created) => (servers.postgres === null ? created.drop() : created.client.end()),
  );
  await database.client.query(CREATE_PRODUCTS);

  const folder = await mkdtemp(join(tmpdir(), "afterimage-demo-"));
  const watch = guard(folder, "KILL");
  takeDown.add(() => watch.release());

  const adminPort = await freePort();
  const pagePort = (await listens(7799)) ? await freePort() : 7799;
  const admin = `http://127.0.0.1:${adminPort}`;
  const page = `http://127.0.0.1:${pagePort}`;
  const indexFile = join(folder, "search.db");
  // The address holds a password: by the environment it is not seen in the list of processes.
  const daemon = new Program("daemon", folder, [CLI, "start"], {
    AFTERIMAGE_STREAM: stream,
    AFTERIMAGE_POSTGRES_URL: database.url,
    AFTERIMAGE_KAFKA_BROKERS: brokers.join(","),
    AFTERIMAGE_TABLES: "public.products",
    // It shows changes as they come: there is nothing before them.
    AFTERIMAGE_SNAPSHOT: "never",
    AFTERIMAGE_ADMIN_PORT: String(adminPort),
  });
  // biome-ignore format: one option and its value a pair
  const sample = new Program("sample", folder, [SAMPLE, "--kafka", brokers.join(","), "--stream", stream,
    "--table", "public.products", "--file", indexFile, "--port", String(pagePort)]);
  takeDown.add(() => daemon.stop());
  takeDown.add(() => sample.stop());

  const status = () => getJson<DaemonStatus>(`${admin}/status`);
  const sampleStatus = () => getJson<SampleStatus>(`${page}/api/status`);
  return {
    stream,
    topic: `${stream}.public.products`,
    brokers,
    database,
    daemon,
    sample,
    indexFile,
    admin,
    page,
    status,
    sampleStatus,
    async startDaemon() {
      await daemon.start();
      const streams = waitFor(async () => (await status())?.state === "streaming", {
        what: "the daemon to stream",
        timeout: 90_000,
      });
      await Promise.race([streams, daemon.unexpectedEnd]);
    },
    async startSample() {
      await sample.start();
      const answers = waitFor(sampleStatus, { what: "the search page to answer", timeout: 60_000 });
      await Promise.race([answers, sample.unexpectedEnd]);
    },
  };
}
