// The real command line as a child process: started, watched, stopped and killed by tests.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait-for.ts";

const BIN = fileURLToPath(new URL("../../bin/afterimage.js", import.meta.url));

export interface Exit {
  /** null after a signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnedDaemon {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Standard output and standard error so far, as they came. */
  output(): string;
  stdout(): string;
  stderr(): string;
  /** Signals that were sent through `signal` and `kill`, in order. */
  readonly sent: readonly NodeJS.Signals[];
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal (SIGKILL by default) and waits until the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<Exit>;
  /** Waits until it ends by itself. */
  exited(options?: { timeout?: number }): Promise<Exit>;
  /** Waits until the output holds the text or matches. Fails at once when the process ends before. */
  says(pattern: string | RegExp, options?: { timeout?: number }): Promise<void>;
}

/** `node bin/afterimage.js ARGS` with the environment given over this process's own, without AFTERIMAGE_* of that. */
export function spawnCli(args: string[], env: NodeJS.ProcessEnv = {}, cwd?: string): SpawnedDaemon {
  return spawnNode(BIN, args, env, cwd);
}

/** As `spawnCli`, with a program of the tests in place of the command line. */
export function spawnNode(script: string, args: string[], env: NodeJS.ProcessEnv = {}, cwd?: string): SpawnedDaemon {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("AFTERIMAGE_")));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...inherited, ...env },
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: { stream: "stdout" | "stderr"; text: string }[] = [];
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => chunks.push({ stream, text }));
  }
  const sent: NodeJS.Signals[] = [];
  const send = (signal: NodeJS.Signals) => {
    sent.push(signal);
    child.kill(signal);
  };
  let exit: Exit | undefined;
  const gone = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  const text = (wanted?: "stdout" | "stderr") =>
    chunks.flatMap((chunk) => (wanted === undefined || chunk.stream === wanted ? [chunk.text] : [])).join("");
  return {
    child,
    pid: child.pid ?? -1,
    output: () => text(),
    stdout: () => text("stdout"),
    stderr: () => text("stderr"),
    sent,
    signal: send,
    kill(signal = "SIGKILL") {
      if (exit === undefined && child.exitCode === null && child.signalCode === null) send(signal);
      return gone;
    },
    async exited({ timeout = 60_000 } = {}) {
      await waitFor(() => exit !== undefined, { what: `the end of \`afterimage ${args[0]}\``, timeout });
      return gone;
    },
    async says(pattern, { timeout = 60_000 } = {}) {
      const found = () => (typeof pattern === "string" ? text().includes(pattern) : pattern.test(text()));
      try {
        await waitFor(
          () => {
            if (!found() && exit !== undefined) throw new Error(`It ended (${exit.code ?? exit.signal})`);
            return found();
          },
          { what: `${pattern} in its output`, timeout },
        );
      } catch (cause) {
        throw new Error(`\`afterimage ${args[0]}\` did not say ${pattern}; it said:\n${text()}`, { cause });
      }
    },
  };
}

/** `afterimage start ARGS`, in the foreground. Kill or stop it before the test ends. */
export function spawnDaemon(args: string[], env: NodeJS.ProcessEnv = {}): SpawnedDaemon {
  return spawnCli(["start", ...args], env);
}
