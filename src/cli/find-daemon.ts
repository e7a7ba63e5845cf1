// How `stop` and `status` find a daemon: by its admin address, else by the pid file.

import { existsSync } from "node:fs";
import { loadConfigPart } from "../config/config.ts";
import { COMMAND_HEADER } from "../daemon/admin-server.ts";
import { defaultPidFile, detachedLog, isAlive, type PidFile, readPidFile } from "../daemon/pid-file.ts";
import type { DaemonStatus } from "../daemon/status.ts";
import { AfterimageError } from "../errors.ts";
import { type Flags, sourcesOf } from "./options.ts";

export interface FoundDaemon {
  /** Null when only the pid file tells of it. */
  readonly status: DaemonStatus | null;
  readonly address: string | null;
  readonly pidFile: PidFile | null;
}

const PATIENCE_MS = 3_000;
/** For what is answered only when it is stored in Kafka. */
const LONG_PATIENCE_MS = 30_000;

/** Throws NOT_RUNNING, or ADMIN_ADDRESS when something else answers there. */
export async function findDaemon(flags: Flags): Promise<FoundDaemon> {
  const sources = sourcesOf(flags);
  const { admin, pidFile: configured, log } = loadConfigPart(sources, ["admin", "pidFile", "log"]);
  const stream = streamOf(flags, sources);
  const path = configured ?? (stream === null ? null : defaultPidFile(stream));
  const pidFile = path === null ? null : livePidFile(path);
  const configuredAddress = `http://${hostToAsk(admin.host)}:${admin.port}`;
  const addresses = new Set([...(pidFile?.address ? [pidFile.address] : []), configuredAddress]);
  let other: DaemonStatus | null = null;
  for (const address of addresses) {
    const status = await askStatus(address);
    if (status === null) continue;
    if (stream === null || status.stream === stream) return { status, address, pidFile };
    other = status;
  }
  // A pid file may name a daemon of another stream, when the file was given by hand.
  if (pidFile !== null && other?.pid !== pidFile.pid) return { status: null, address: null, pidFile };
  throw new AfterimageError(
    "NOT_RUNNING",
    other === null
      ? `No daemon answers at ${configuredAddress}${path === null ? "" : `, and ${path} names no running one`}.`
      : `At ${configuredAddress} runs the stream ${other.stream}, not ${stream}.`,
    other === null
      ? `${lastWords(path, log.file)}Start it with afterimage start; or name where it runs: --admin-host, --admin-port or --pid-file.`
      : "Name its admin port with --admin-port, or its pid file with --pid-file.",
  );
}

/** Where a detached daemon that has ended has said why; empty when there is no such log. */
function lastWords(pidFile: string | null, configured: string | null): string {
  const log = configured ?? (pidFile === null ? null : detachedLog(pidFile));
  return log !== null && existsSync(log) ? `What the last one said stands in ${log}. ` : "";
}

function streamOf(flags: Flags, sources: ReturnType<typeof sourcesOf>): string | null {
  if (typeof flags.stream === "string" || sources.env.AFTERIMAGE_STREAM || sources.file !== undefined) {
    try {
      return loadConfigPart(sources, ["stream"]).stream;
    } catch (error) {
      // Nobody named a stream: then any daemon at the address is meant.
      if (error instanceof AfterimageError && error.code === "CONFIG_MISSING") return null;
      throw error;
    }
  }
  return null;
}

function livePidFile(path: string): PidFile | null {
  const file = readPidFile(path);
  return file !== null && isAlive(file.pid) ? file : null;
}

/** A daemon that listens everywhere is asked at this machine's own address. */
function hostToAsk(host: string): string {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Null when nothing answers there. */
export async function askStatus(address: string): Promise<DaemonStatus | null> {
  const response = await ask(`${address}/status`, { method: "GET" });
  if (response === null) return null;
  const status = response.ok ? await response.json().catch(() => null) : null;
  if (typeof status !== "object" || status === null || !("stream" in status) || !("state" in status)) {
    await response.body?.cancel().catch(() => undefined);
    throw new AfterimageError(
      "ADMIN_ADDRESS",
      `What answers at ${address} is not an afterimage daemon, or it refuses this name (HTTP ${response.status}).`,
      "Name the daemon's admin address with --admin-host and --admin-port; names other than localhost must be in admin.hostnames.",
    );
  }
  return status as DaemonStatus;
}

/** False when nothing answered: then it is already gone. */
export async function askStop(address: string): Promise<boolean> {
  const response = await ask(`${address}/stop`, { method: "POST", headers: { [COMMAND_HEADER]: "stop" } });
  await response?.body?.cancel().catch(() => undefined);
  return response?.ok === true;
}

/** Null when nothing answered; what the daemon refused is thrown as it says it. */
export async function askSnapshot(
  address: string,
  what: { table: string; where?: string; cancel?: "yes" },
): Promise<true | null> {
  const query = new URLSearchParams(what);
  const init = { method: "POST", headers: { [COMMAND_HEADER]: "snapshot" } };
  const response = await ask(`${address}/snapshot?${query}`, init, LONG_PATIENCE_MS);
  if (response === null) return null;
  const said = (await response.json().catch(() => ({}))) as Partial<Record<"code" | "message" | "advice", string>>;
  if (response.ok) return true;
  throw new AfterimageError(
    said.code ?? "ADMIN_ADDRESS",
    said.message ?? `The daemon at ${address} takes no snapshots (HTTP ${response.status}).`,
    said.advice ?? "Start it with this version of afterimage.",
  );
}

async function ask(url: string, init: RequestInit, patienceMs = PATIENCE_MS): Promise<Response | null> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(patienceMs), redirect: "error" });
  } catch (error) {
    // fetch wraps every network failure in a TypeError; a bad address would be one of ours and was checked before.
    if (error instanceof TypeError || (error as Error).name === "TimeoutError") return null;
    throw error;
  }
}
