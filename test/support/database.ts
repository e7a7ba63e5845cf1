// A fresh database for a test, and its removal with all that a stream leaves in it.
import pg from "pg";
import { inject } from "vitest";
import { createDatabase as createIn, type OwnDatabase, unique } from "../../dev/servers/database.ts";
import { waitFor } from "./wait-for.ts";

export { type OwnDatabase as TestDatabase, unique } from "../../dev/servers/database.ts";

/** A stream name nobody else uses. */
export function uniqueStream(): string {
  return unique("t");
}

/**
 * @param serverUrl a superuser's address of any database of the server; the run's own server by default
 * @param encoding the server's own by default
 */
export function createDatabase(serverUrl: string = inject("postgresUrl"), encoding?: string): Promise<OwnDatabase> {
  return createIn(serverUrl, "afterimage_test", encoding);
}

/**
 * Waits until no walsender has a slot of the database. One whose client is gone may be at work for a moment yet: it reads
 * what was confirmed last, and nobody can drop or move the slot.
 */
export async function slotsReleased(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const active = "SELECT FROM pg_replication_slots WHERE active AND database = current_database()";
    await waitFor(async () => (await client.query(active)).rows.length === 0, { what: "the slots to be released" });
  } finally {
    await client.end();
  }
}
