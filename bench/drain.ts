// The two that drain a backlog: the daemon as its users start it, and pg_recvlogical, which decodes nothing.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getJson, Program } from "../dev/demo/processes.ts";
import { readTopic } from "../dev/servers/topics.ts";
import { waitFor } from "../dev/servers/wait-for.ts";
import type { DaemonStatus } from "../src/daemon/status.ts";
import { parseProgress } from "../src/event/progress.ts";
import { type Backlog, STREAM, TABLE_NAME } from "./backlog.ts";

const CLI = fileURLToPath(new URL("../bin/afterimage.js", import.meta.url));

/** The clock tick of /proc on every Linux that Node runs on. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS_PER_SECOND = 100;

export interface Drained {
  readonly rowsPerSecond: number;
  /** Null where the system has no /proc. */
  readonly cpuMicrosecondsPerRow: number | null;
  readonly peakMegabytes: number | null;
}

export interface DaemonSettings {
  readonly folder: string;
  readonly brokers: string[];
  readonly adminPort: number;
  /** With `images: complete`. */
  readonly images: boolean;
}

export class DaemonDrain {
  readonly #program: Program;
  readonly #settings: DaemonSettings;

  constructor(settings: DaemonSettings, backlog: Backlog) {
    this.#settings = settings;
    this.#program = new Program("daemon", settings.folder, [CLI, "start"], {
      AFTERIMAGE_STREAM: STREAM,
      AFTERIMAGE_POSTGRES_URL: backlog.url,
      AFTERIMAGE_KAFKA_BROKERS: settings.brokers.join(","),
      AFTERIMAGE_TABLES: TABLE_NAME,
      AFTERIMAGE_SNAPSHOT: "never",
      AFTERIMAGE_ADMIN_PORT: String(settings.adminPort),
      ...(settings.images
        ? { AFTERIMAGE_IMAGES: "public.orders=complete", AFTERIMAGE_IMAGES_FILE: join(settings.folder, "images") }
        : {}),
    });
  }

  /** Starts it, waits until it streams, and ends it: publication, slot and topics are then there. */
  async prepare(): Promise<void> {
    await this.start();
    await this.stop();
  }

  /** Drains up to `sequence`. The rate is from the first Kafka transaction to the last, by the broker's clock. */
  async drain(from: number, sequence: number): Promise<Drained> {
    await this.#program.start();
    const before = await this.#until("the daemon to stream", (status) => status.state === "streaming");
    const cpuBefore = await cpuSeconds(before.pid);
    await this.#until(`sequence ${sequence}`, ({ position }) => (position?.sequence ?? 0) >= sequence);
    const cpuAfter = await cpuSeconds(before.pid);
    const peakMegabytes = await peakMemory(before.pid);
    await this.stop();
    const records = (await readTopic(this.#settings.brokers, `${STREAM}.progress`))
      .map(({ timestamp, value }) => ({ timestamp, progress: parseProgress(value ?? "") }))
      .filter(({ progress }) => progress.firstSequence > from && progress.sequence >= progress.firstSequence);
    const [first, last] = [records[0]!, records.at(-1)!];
    const seconds = (last.timestamp - first.timestamp) / 1000;
    const rows = sequence - from;
    return {
      rowsPerSecond: Math.round((last.progress.sequence - first.progress.sequence) / seconds),
      cpuMicrosecondsPerRow:
        cpuBefore === null || cpuAfter === null ? null : round(((cpuAfter - cpuBefore) / rows) * 1e6),
      peakMegabytes,
    };
  }

  get adminAddress(): string {
    return `http://127.0.0.1:${this.#settings.adminPort}`;
  }

  /** Starts it, with nothing to drain. */
  async start(): Promise<void> {
    await this.#program.start();
    await this.#until("the daemon to stream", (status) => status.state === "streaming");
  }

  /** That it has used so far; null where the system has no /proc. */
  async cpuSeconds(): Promise<number | null> {
    const status = await getJson<DaemonStatus>(`${this.adminAddress}/status`);
    return status === undefined ? null : cpuSeconds(status.pid);
  }

  /** Everything up to that sequence is published. */
  async reached(sequence: number): Promise<void> {
    await this.#until(`sequence ${sequence}`, ({ position }) => (position?.sequence ?? 0) >= sequence);
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }

  async #until(what: string, holds: (status: DaemonStatus) => boolean): Promise<DaemonStatus> {
    const reached = waitFor(
      async () => {
        const status = await getJson<DaemonStatus>(`${this.adminAddress}/status`);
        return status !== undefined && holds(status) ? status : null;
      },
      { what, timeout: 300_000 },
    );
    return Promise.race([reached, this.#program.unexpectedEnd]);
  }
}

/** Drains the peer slot to /dev/null, over TCP; null when pg_recvlogical is not installed. */
export async function drainByRecvlogical(backlog: Backlog, rows: number, endLsn: string): Promise<Drained | null> {
  const url = new URL(backlog.url);
  // biome-ignore format: one option and its value a pair
  const args = ["-h", url.hostname, "-p", url.port, "-U", decodeURIComponent(url.username), "-d", url.pathname.slice(1),
    "-S", backlog.peerSlot, "--start", "--no-loop", "-E", endLsn, "-f", "/dev/null",
    "-o", "proto_version=1", "-o", `publication_names=${backlog.publication}`];
  const started = performance.now();
  const child = spawn("pg_recvlogical", args, {
    env: { ...process.env, PGPASSWORD: decodeURIComponent(url.password) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise<number | null | "missing">((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? resolve("missing") : reject(error),
    );
    child.once("close", resolve);
  });
  if (code === "missing") {
    return null;
  }
  if (code !== 0) {
    throw new Error(`pg_recvlogical ended with ${code}: ${said.trim()}`);
  }
  const seconds = (performance.now() - started) / 1000;
  return { rowsPerSecond: Math.round(rows / seconds), cpuMicrosecondsPerRow: null, peakMegabytes: null };
}

/** User and system time that the process has used. */
async function cpuSeconds(pid: number): Promise<number | null> {
  const stat = await readProc(pid, "stat");
  if (stat === null) {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function peakMemory(pid: number): Promise<number | null> {
  const match = /VmHWM:\s+(\d+) kB/.exec((await readProc(pid, "status")) ?? "");
  return match === null ? null : Math.round(Number(match[1]) / 1024);
}

async function readProc(pid: number, file: string): Promise<string | null> {
  return readFile(join("/proc", String(pid), file), "utf8").catch(() => null); // not Linux
}

const round = (value: number): number => Math.round(value * 10) / 10;
