// `afterimage start --detach`: starts the daemon as a process of its own and returns once it is up, or with its failure.
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { defaultPidFile, detachedLog, isAlive, readPidFile } from "../daemon/pid-file.ts";
import type { DaemonStatus } from "../daemon/status.ts";
import { AfterimageError, revived } from "../errors.ts";
import type { Report } from "./report.ts";

export async function startDetached(config: Config): Promise<void> {
  const pidFile = config.pidFile ?? defaultPidFile(config.stream);
  const holder = readPidFile(pidFile);
  if (holder !== null && isAlive(holder.pid)) {
    throw new AfterimageError(
      "ALREADY_RUNNING",
      `The pid file ${pidFile} belongs to process ${holder.pid}, which runs.`,
      "Stop it first (afterimage stop), or choose another file with --pid-file.",
    );
  }
  const logFile = config.log.file ?? detachedLog(pidFile);
  const { report, pid } = await spawnDaemon(pidFile, logFile);
  if (report.kind === "failed") throw revived(report);
  process.stdout.write(describeUp(report.status, `process ${pid}, pid file ${pidFile}, log ${logFile}`));
}

/** What is only a warning in the log is told here too: whoever detaches a daemon does not read it. */
export function describeUp({ stream, state, tables }: DaemonStatus, where: string): string {
  const isIdle = state === "streaming" && tables.length === 0;
  return `Stream ${stream} is ${state} (${where}).\n${isIdle ? NO_TABLE : ""}`;
}

const NO_TABLE =
  "TABLES_MATCH_NOTHING: No table is captured.\n  → Check the patterns of the setting tables, or create the tables; each start looks again.\n";

/** The arguments of this command again; with `--detached-child` the wish to detach, however it was written, is no more. */
function childArguments(pidFile: string, logFile: string): string[] {
  return [...process.argv.slice(2), "--detached-child", "--pid-file", pidFile, "--log-file", logFile];
}

function spawnDaemon(pidFile: string, logFile: string): Promise<{ report: Report; pid: number }> {
  const log = openLog(logFile);
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...childArguments(pidFile, logFile)], {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  return new Promise((resolve, reject) => {
    const interrupt = () => child.kill("SIGTERM");
    process.once("SIGINT", interrupt);
    process.once("SIGTERM", interrupt);
    let report: Report | undefined;
    child.on("message", (message) => {
      report = message as Report;
      if (report.kind === "up") {
        process.off("SIGINT", interrupt);
        process.off("SIGTERM", interrupt);
        child.unref();
        resolve({ report, pid: child.pid! });
      }
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      // After "up" nobody listens any more.
      if (report !== undefined) {
        resolve({ report, pid: child.pid! });
        return;
      }
      reject(
        new AfterimageError(
          "DAEMON_ENDED",
          `The daemon ended (${code ?? signal}) before it was up.`,
          `Its log ${logFile} says why.`,
        ),
      );
    });
  });
}

function openLog(file: string): number {
  try {
    return openSync(file, "a", 0o600);
  } catch (error) {
    throw new AfterimageError(
      "CONFIG_INVALID",
      `The log file ${file} can't be written (${(error as NodeJS.ErrnoException).code}).`,
      "Set --log-file or log.file to a file in a folder that exists and that this user may write.",
      { cause: error },
    );
  }
}
