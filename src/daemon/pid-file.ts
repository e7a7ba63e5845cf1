// The pid file: how `stop` and `status` find a daemon without its admin address. Line 1 is the process id, line 2 the
// admin address. A file whose process is gone is stale and gives way.
import { closeSync, fstatSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AfterimageError } from "../errors.ts";

export interface PidFile {
  readonly pid: number;
  /** `http://127.0.0.1:7788`; null when the daemon has not written it yet. */
  readonly address: string | null;
}

/** Where `start --detach` puts it when none is configured: the user's runtime folder, else the one for temporary files. */
export function defaultPidFile(stream: string, env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_RUNTIME_DIR || tmpdir(), `afterimage-${stream}.pid`);
}

/** Where `start --detach` writes its log when none is configured: beside the pid file. */
export const detachedLog = (pidFile: string): string => `${pidFile.replace(/\.pid$/, "")}.log`;

/**
 * Claims the file for this process. Throws ALREADY_RUNNING when a living process holds it, PID_FILE when it can't be
 * written. Returns what removes it again.
 */
export function writePidFile(path: string, address: string | null, pid: number = process.pid): () => void {
  const holder = readPidFile(path);
  if (holder !== null && holder.pid !== pid) {
    if (isAlive(holder.pid)) {
      throw new AfterimageError(
        "ALREADY_RUNNING",
        `The pid file ${path} belongs to process ${holder.pid}, which runs.`,
        "Stop it first (afterimage stop), or choose another file with --pid-file.",
      );
    }
    rmSync(path, { force: true });
  }
  try {
    // "wx" for a new file: of two starters that see none, one fails.
    const file = openSync(path, holder?.pid === pid ? "w" : "wx", 0o600);
    try {
      writeSync(file, `${pid}\n${address === null ? "" : `${address}\n`}`);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new AfterimageError(
      "PID_FILE",
      `The pid file ${path} can't be written (${(error as NodeJS.ErrnoException).code}).`,
      "Choose another with --pid-file, in a folder that exists and that this user may write.",
      { cause: error },
    );
  }
  return () => {
    if (readPidFile(path)?.pid === pid) rmSync(path, { force: true });
  };
}

/** Null when there is none, or it isn't ours: in a shared folder another user could name any process in it. */
export function readPidFile(path: string): PidFile | null {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "ENOTDIR") return null;
    throw error;
  }
  try {
    const owner = fstatSync(file).uid;
    const self = process.getuid?.();
    if (self !== undefined && owner !== self && self !== 0) return null;
    const [first = "", second = ""] = readFileSync(file, "utf8").split("\n");
    return /^[1-9]\d{0,9}$/.test(first) ? { pid: Number(first), address: second === "" ? null : second } : null;
  } finally {
    closeSync(file);
  }
}

/** Whether a process of that id runs; one that has ended and was not yet reaped by its parent does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !isZombie(pid);
}

// In a container often nobody reaps processes whose parent is gone. proc(5): the state stands after the command's name.
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false; // no /proc here, or it has just gone: the next look tells
  }
}
