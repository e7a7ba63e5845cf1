// An older or another server's data in the place of a server's own.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { run } from "../../dev/servers/process.ts";

/** The server gets a copy of the data folder `by`, which nobody writes to meanwhile; then `prepare`; then it starts. */
export async function replaceData(server: PostgresServer, by: string, prepare: () => Promise<unknown>): Promise<void> {
  await server.stop();
  await rm(server.data, { recursive: true });
  await run("cp", ["-a", by, server.data]);
  await prepare();
  await server.start();
}

/** An empty file of the cluster's owner, whose being there decides how the server starts. */
export async function signalFile(server: PostgresServer, name: string): Promise<void> {
  const file = join(server.data, name);
  await writeFile(file, "");
  await run("chown", [`--reference=${server.data}`, file]);
}

/** As pg_basebackup leaves them out. */
export const dropSlots = (server: PostgresServer) =>
  run("find", [join(server.data, "pg_replslot"), "-mindepth", "1", "-delete"]);
