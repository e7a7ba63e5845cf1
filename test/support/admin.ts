// Asks a daemon of a test at its admin address, which it tells in its log.
import { COMMAND_HEADER } from "../../src/daemon/admin-server.ts";
import type { DaemonStatus } from "../../src/daemon/status.ts";
import type { SpawnedDaemon } from "./daemon.ts";
import { waitFor } from "./wait-for.ts";

export const adminAddress = (daemon: SpawnedDaemon): Promise<string> =>
  waitFor(async () => /"admin":"([^"]+)"/.exec(daemon.output())?.[1] ?? null, { what: "the admin address" });

export async function statusOf(daemon: SpawnedDaemon): Promise<DaemonStatus> {
  return (await (await fetch(`${await adminAddress(daemon)}/status`)).json()) as DaemonStatus;
}

/** Gives the code of a refusal; null when the snapshot has begun. */
export const requestSnapshot = (daemon: SpawnedDaemon, table: string, where?: string): Promise<string | null> =>
  askSnapshot(daemon, { table, ...(where === undefined ? {} : { where }) });

/** Gives the code of a refusal; null when the snapshot is given up. */
export const cancelSnapshot = (daemon: SpawnedDaemon, table: string): Promise<string | null> =>
  askSnapshot(daemon, { table, cancel: "yes" });

async function askSnapshot(daemon: SpawnedDaemon, what: Record<string, string>): Promise<string | null> {
  const response = await fetch(`${await adminAddress(daemon)}/snapshot?${new URLSearchParams(what)}`, {
    method: "POST",
    headers: { [COMMAND_HEADER]: "snapshot" },
  });
  const said = (await response.json()) as { code?: string };
  return response.ok ? null : (said.code ?? "none");
}
