// Child processes of the embedded servers: free ports, output of short commands, and a guard that outlives a killed parent.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** The error code of something thrown by node, or undefined. */
export function codeOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException | undefined)?.code;
}

/** A port is free until its server listens: those that were given are not given again. */
const given = new Set<number>();

/**
 * A free TCP port of 127.0.0.1 below the range from which systems take the ports of outgoing connections: a server that
 * is stopped and started again must find its port free, though clients keep dialling it meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 16_000);
    if (given.has(port)) continue;
    given.add(port);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Whether something accepts connections there. */
export function listens(port: number, host = "127.0.0.1"): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => settle(false));
    socket.once("error", () => settle(false));
    socket.connect(port, host, () => settle(true));
  });
}

export interface Credentials {
  uid?: number;
  gid?: number;
}

/** Runs a short command. Rejects with its output when it fails, or with node's ENOENT when it is not installed. */
export function run(
  command: string,
  args: string[],
  options: Credentials & { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.once("error", reject);
    child.once("close", (status, signal) => {
      if (status === 0) resolve(output);
      else reject(new Error(`${command} ended with ${status ?? signal}: ${output.trim().slice(-2000)}`));
    });
  });
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Sends the signal and resolves when the process is gone; SIGKILL follows after `patience` milliseconds. */
export async function end(child: ChildProcess, signal: NodeJS.Signals, patience: number): Promise<void> {
  if (hasEnded(child)) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const stopWaiting = new AbortController();
  const impatience = sleep(patience, undefined, { signal: stopWaiting.signal }).then(
    () => child.kill("SIGKILL"),
    () => undefined, // ended in time
  );
  await gone;
  stopWaiting.abort();
  await impatience;
}

/** Processes whose parent is `pid`. */
function childrenOf(pid: number): number[] {
  let listed: string;
  if (process.platform === "linux") {
    const file = `/proc/${pid}/task/${pid}/children`;
    listed = existsSync(`/proc/${pid}`) ? readFileSync(file, "utf8") : "";
  } else {
    const all = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
    listed = [...all.matchAll(/^ *(\d+) +(\d+)$/gm)]
      .flatMap(([, own, parent]) => (parent === `${pid}` ? [own] : []))
      .join(" ");
  }
  return listed.split(/\s+/).filter(Boolean).map(Number);
}

function sendTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error; // it has ended by itself
  }
}

/** Sends the signal to a process and its children; the parent first, so that it makes no more of them meanwhile. */
export function signalTree(pid: number, signal: "SIGSTOP" | "SIGCONT"): void {
  sendTo(pid, signal);
  for (const child of childrenOf(pid)) sendTo(child, signal);
}

const GUARD = `
read -r _
for file in "$1"/*.pid; do
  pid=$(cat "$file" 2>/dev/null)
  [ -n "$pid" ] || continue
  for one in $pid $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do kill -s CONT "$one" 2>/dev/null; done
  kill -s "$2" "$pid" 2>/dev/null
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
  kill -s KILL "$pid" 2>/dev/null
done
rm -rf "$1"
`;

/**
 * A shell that waits on a pipe from this process. When the pipe closes, be it that `release` was called or that this
 * process was killed, it ends the processes whose pids stand in `directory/*.pid` and removes the directory.
 */
export function guard(directory: string, signal: "QUIT" | "KILL"): { release(): Promise<void> } {
  const shell = spawn("sh", ["-c", GUARD, "sh", directory, signal], {
    detached: true, // Ctrl-C in a terminal reaches the whole process group
    stdio: ["pipe", "ignore", "ignore"],
    cwd: "/",
  });
  const gone = new Promise<void>((resolve) => shell.once("exit", () => resolve()));
  shell.unref();
  (shell.stdin as Socket).unref();
  return {
    async release() {
      shell.ref();
      shell.stdin.end();
      await gone;
    },
  };
}
