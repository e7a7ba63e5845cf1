// A fresh database, and its removal with all that a stream leaves in it.
import { randomBytes } from "node:crypto";
import pg from "pg";
import { waitFor } from "./wait-for.ts";

/** SQLSTATE object_in_use: the server ends the sessions, and waits five seconds for them to be gone. */
const IN_USE = "55006";

export interface OwnDatabase {
  readonly name: string;
  /** Of a superuser, to this database. */
  readonly url: string;
  /** A connection to it. */
  readonly client: pg.Client;
  /** Ends walsenders and every other session of the database, drops its slots and the database itself. */
  drop(): Promise<void>;
}

/** `prefix` and eight random hexadecimal digits. */
export function unique(prefix: string): string {
  return `${prefix}_${randomBytes(4).toString("hex")}`;
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined); // a test may kill the server; what is asked of the client then rejects
  await client.connect();
  return client;
}

/**
 * @param serverUrl a superuser's address of any database of the server
 * @param prefix of the new database's name
 * @param encoding the server's own by default
 */
export async function createDatabase(serverUrl: string, prefix: string, encoding?: string): Promise<OwnDatabase> {
  const name = unique(prefix);
  const admin = await connect(serverUrl);
  try {
    const encoded =
      encoding === undefined ? "" : ` ENCODING '${encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`;
    await admin.query(`CREATE DATABASE ${name}${encoded}`);
    // Otherwise pg_current_wal_lsn() can lie below a commit that has returned.
    await admin.query(`ALTER DATABASE ${name} SET synchronous_commit = on`);
  } finally {
    await admin.end();
  }
  const address = new URL(serverUrl);
  address.pathname = `/${name}`;
  const client = await connect(address.href);
  return {
    name,
    url: address.href,
    client,
    async drop() {
      await client.end();
      const last = await connect(serverUrl);
      try {
        // The function returns once the process is gone, or false after the timeout.
        await last.query(
          "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots WHERE database = $1 AND active",
          [name],
        );
        await last.query(
          "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT temporary",
          [name],
        );
        await waitFor(
          () =>
            last.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`).then(
              () => true,
              (error) => {
                if (error.code !== IN_USE) throw error;
                return false;
              },
            ),
          { what: `the end of database ${name}` },
        );
      } finally {
        await last.end();
      }
    },
  };
}
