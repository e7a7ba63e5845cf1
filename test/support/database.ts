// A fresh database for a test, and its removal with all that a stream leaves in it.
import { inject } from "vitest";
import { createDatabase as createIn, type OwnDatabase, unique } from "../../dev/servers/database.ts";

export { type OwnDatabase as TestDatabase, unique } from "../../dev/servers/database.ts";

/** A stream name nobody else uses. */
export function uniqueStream(): string {
  return unique("t");
}

/** @param serverUrl a superuser's address of any database of the server; the run's own server by default */
export function createDatabase(serverUrl: string = inject("postgresUrl")): Promise<OwnDatabase> {
  return createIn(serverUrl, "afterimage_test");
}
