// Histories of register operations, and their judge: Porcupine (https://github.com/anishathalye/porcupine), a
// linearizability checker in Go.
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Operation {
  readonly client: number;
  readonly key: string;
  readonly kind: "read" | "write" | "compareAndSet";
  /** JSON, as text; `null` for no value. */
  readonly expected?: string;
  readonly value: string;
  /** Of a compareAndSet that has returned. */
  readonly did?: boolean;
  /** Nanoseconds of the machine's monotonic clock, the same one for all processes. */
  readonly called: number;
  /** Absent when nobody knows what became of it. */
  readonly returned?: number;
}

const SOURCES = fileURLToPath(new URL("porcupine", import.meta.url));

/** Builds the checker once; `judge` gives `linearizable`, `not linearizable: KEY` or `undecided`. */
export function buildJudge(): { judge(history: readonly Operation[]): Promise<string>; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-porcupine-"));
  const program = join(folder, "judge");
  try {
    execFileSync("go", ["build", "-o", program, "."], { cwd: SOURCES, stdio: ["ignore", "pipe", "pipe"] });
  } catch (cause) {
    rmSync(folder, { recursive: true });
    throw new Error("The linearizability checker can't be built: it needs Go 1.19 or later (`go` in the path).", {
      cause,
    });
  }
  return {
    judge: (history) =>
      new Promise((resolve, reject) => {
        const child = execFile(program, (error, stdout) => (error ? reject(error) : resolve(stdout.trim())));
        child.stdin!.end(history.map((operation) => `${JSON.stringify(operation)}\n`).join(""));
      }),
    remove: () => rmSync(folder, { recursive: true }),
  };
}
