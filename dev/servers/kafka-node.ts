// The process of one Kafka node: started from its jars, watched until it answers, stopped, killed and frozen.
import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../../src/errors.ts";
import { end, hasEnded, listens, run } from "./process.ts";
import type { FreezableServer, StopMode } from "./server-control.ts";

export interface KafkaNodeOptions {
  /** Holds its `server.properties`, and gets its log. */
  readonly folder: string;
  /** Where its records are: its `log.dirs`. */
  readonly data: string;
  /** In the folder of a guard. */
  readonly pidFile: string;
  readonly classPath: string;
  readonly port: number;
  /** Of the Java machine. */
  readonly javaOptions: readonly string[];
  /** What remains to be done when it has been removed. */
  readonly removed: () => Promise<void>;
}

export class KafkaNode implements FreezableServer {
  readonly address: string;
  /** Where its records are: its `log.dirs`. */
  readonly data: string;
  /** The file that it writes its log to. */
  readonly log: string;
  readonly #options: KafkaNodeOptions;
  #child: ChildProcess | undefined;

  constructor(options: KafkaNodeOptions) {
    this.address = `127.0.0.1:${options.port}`;
    this.data = options.data;
    this.log = join(options.folder, "log");
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#child && !hasEnded(this.#child)) return;
    const { folder, classPath, port, javaOptions, pidFile } = this.#options;
    const log = await open(this.log, "a");
    try {
      this.#child = spawn(
        "java",
        // biome-ignore format: one option a line says less than the command line
        [...javaOptions, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "-cp", classPath, "kafka.Kafka", join(folder, "server.properties")],
        { cwd: folder, detached: true, stdio: ["ignore", log.fd, log.fd] },
      );
    } finally {
      await log.close();
    }
    const child = this.#child;
    child.unref();
    await writeFile(pidFile, String(child.pid ?? ""));
    const deadline = Date.now() + 60_000;
    while (!(await listens(port))) {
      if (hasEnded(child) || Date.now() > deadline) {
        const output = await readFile(this.log, "utf8");
        throw new AfterimageError(
          "KAFKA_NOT_STARTED",
          `The embedded Kafka ${hasEnded(child) ? "ended" : "did not answer within 60 s"}: ${output.trim().slice(-1000)}`,
          "Look at free memory, disk and ports, or name brokers in AFTERIMAGE_TEST_KAFKA_BROKERS.",
        );
      }
      await sleep(50);
    }
  }

  async stop(mode: StopMode = "fast"): Promise<void> {
    if (this.#child === undefined) return;
    this.thaw();
    await end(this.#child, mode === "fast" ? "SIGTERM" : "SIGKILL", 30_000);
  }

  kill(): Promise<void> {
    return this.stop("immediate");
  }

  async restart({ mode = "fast" }: { mode?: StopMode } = {}): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /**
   * Until it is started anew none of its files can grow beyond `bytes`. Its writes fail as on a full disk, and nobody
   * needs the right to mount one. https://man7.org/linux/man-pages/man2/getrlimit.2.html (RLIMIT_FSIZE)
   */
  async fill(bytes: number): Promise<void> {
    await run("prlimit", [`--pid=${this.#child!.pid}`, `--fsize=${bytes}`]);
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#options.pidFile, { force: true });
    await this.#options.removed();
  }
}
