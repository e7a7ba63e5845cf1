// A Postgres of a test's own with no transaction open but the test's: doctor names every one that making a slot would wait
// for, also those of tests beside it.
import pg from "pg";
import { type OwnServer, startPostgres } from "../../dev/servers/servers.ts";

export async function startQuietPostgres(): Promise<OwnServer> {
  const server = await startPostgres();
  const client = new pg.Client({ connectionString: server.address });
  await client.connect();
  // Its workers open transactions whenever they like.
  await client.query("ALTER SYSTEM SET autovacuum = off");
  await client.query("SELECT pg_reload_conf()");
  await client.end();
  return server;
}
