// A child process that is killed with SIGKILL at some line of what it prints, and what it had printed by then.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export class Worker {
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";
  #errors = "";
  #killAt = Number.POSITIVE_INFINITY;

  /** `args` begin with the path of the program. */
  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#closed = once(this.child, "close");
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
      this.#killIfDue();
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
  }

  /** Whole lines, as values: a kill may have cut the last one. */
  lines<T>(): T[] {
    return this.#output
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as T);
  }

  /** Kills when so many lines have come: in the middle of whatever follows them. Never when it ends before. */
  killAfter(lines: number): void {
    this.#killAt = lines;
    this.#killIfDue();
  }

  /** Waits for the end, by itself or killed. Throws when it failed by itself. Gives whether it was killed. */
  async ended(): Promise<boolean> {
    await this.#closed;
    if (this.child.signalCode !== "SIGKILL" && this.child.exitCode !== 0) {
      throw new Error(`A worker ended with ${this.child.exitCode}:\n${this.#errors}`);
    }
    return this.child.signalCode === "SIGKILL";
  }

  #killIfDue(): void {
    if (this.#output.split("\n").length - 1 >= this.#killAt) {
      this.child.kill("SIGKILL");
    }
  }
}
