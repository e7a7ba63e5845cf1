// `afterimage stop`: asks the daemon to drain to a batch boundary and waits until it is gone.
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "../daemon/pid-file.ts";
import type { DaemonStatus } from "../daemon/status.ts";
import { AfterimageError } from "../errors.ts";
import { askStatus, askStop, type FoundDaemon, findDaemon } from "./find-daemon.ts";
import type { Flags } from "./options.ts";

/** The daemon promises 10 s; a little more for the process to end. */
const PATIENCE_MS = 12_000;
const LOOK_EVERY_MS = 50;

export async function stop(flags: Flags): Promise<void> {
  const found = await findDaemon(flags);
  const { address, status } = found;
  const pid = status?.pid ?? found.pidFile?.pid ?? null;
  if (address === null || !(await askStop(address))) signal(pid);
  await untilGone(found, pid);
  const where = status?.position;
  const stream = status === null ? "" : ` stream ${status.stream}`;
  const position = where == null ? "" : ` It had published sequence ${where.sequence} when asked.`;
  process.stdout.write(`Stopped${stream}.${position}\n`);
}

function signal(pid: number | null): void {
  if (pid === null) return;
  try {
    process.kill(pid, "SIGTERM");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return;
    throw new AfterimageError(
      "STOP_REFUSED",
      `Process ${pid} can't be signalled (${(error as NodeJS.ErrnoException).code}).`,
      "Run afterimage stop as the user who runs the daemon.",
      { cause: error },
    );
  }
}

async function untilGone({ address, status, pidFile }: FoundDaemon, pid: number | null): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  // In a container the daemon's pid is not one of ours: then only its address can tell.
  const local = pidFile !== null || (address !== null && isLocal(address) && pid !== null && isAlive(pid));
  let last: DaemonStatus | null = status;
  while (performance.now() < deadline) {
    if (local && pid !== null && !isAlive(pid)) return;
    const now = address === null ? null : await askStatus(address).catch(() => null);
    if (!local && (now === null || now.pid !== status?.pid)) return;
    last = now ?? last;
    await sleep(LOOK_EVERY_MS);
  }
  throw new AfterimageError(
    "STOP_TIMEOUT",
    `The daemon${pid === null ? "" : ` (process ${pid})`} still runs after ${PATIENCE_MS / 1000} s${last === null ? "" : `, state ${last.state}`}.`,
    `Look at its log. ${pid === null ? "Ending it" : `kill -9 ${pid}`} by force is safe: nothing is lost or doubled.`,
  );
}

const isLocal = (address: string): boolean => /^http:\/\/(localhost|127\.|\[::1\])/.test(address);
