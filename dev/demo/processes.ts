// The demo's child processes: the real command line and the real sample, started, watched, killed and started again.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AfterimageError } from "../../src/errors.ts";
import { end, hasEnded } from "../servers/process.ts";

export class Program {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #wanted = false;
  #ended: (error: AfterimageError) => void = () => undefined;
  /** Rejects when the program ends though nobody asked it to. */
  readonly unexpectedEnd: Promise<never>;

  /**
   * @param args what node runs
   * @param folder takes the log `NAME.log` and the pid `NAME.pid`, by which the folder's guard ends a forgotten program
   */
  constructor(name: string, folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.name = name;
    this.#folder = folder;
    this.#args = args;
    this.#env = env;
    this.unexpectedEnd = new Promise((_, reject) => {
      this.#ended = reject;
    });
    this.unexpectedEnd.catch(() => undefined); // it may happen before anybody waits for it
  }

  async start(): Promise<void> {
    // What configures the demo's user's own daemon must not configure this one.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("AFTERIMAGE_"));
    const log = openSync(join(this.#folder, `${this.name}.log`), "a");
    const child = spawn(process.execPath, [...this.#args], {
      cwd: this.#folder,
      env: { ...Object.fromEntries(inherited), ...this.#env },
      detached: true, // Ctrl-C is for the demo, which ends its programs in order
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    this.#wanted = true;
    child.once("exit", (code, signal) => {
      if (this.#wanted && this.#child === child) void this.#report(code ?? signal);
    });
    await writeFile(join(this.#folder, `${this.name}.pid`), String(child.pid ?? ""));
  }

  async #report(how: number | string | null): Promise<void> {
    const said = (await this.lastLines(12)).map((line) => `  ${line}`).join("\n");
    this.#ended(
      new AfterimageError(
        "DEMO_PROGRAM_ENDED",
        `The ${this.name} ended by itself (${how}). Its last lines:\n${said}`,
        "Mend what they name, and start the demo again.",
      ),
    );
  }

  async lastLines(count: number): Promise<string[]> {
    const text = await readFile(join(this.#folder, `${this.name}.log`), "utf8");
    return text.trimEnd().split("\n").slice(-count);
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#wanted = false;
    if (this.#child !== undefined && !hasEnded(this.#child)) await end(this.#child, signal, 12_000);
  }
}

/** GETs JSON of a program on this machine; undefined while nothing answers with it. */
export async function getJson<T>(url: string): Promise<T | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    return response.ok ? ((await response.json()) as T) : undefined;
  } catch {
    return undefined; // killed or still starting: whoever asks has a deadline
  }
}
