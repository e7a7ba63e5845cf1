// Opens the database and reads the stream's tables in one moment's catalogue, so that columns and types fit together.
import { AfterimageError } from "../errors.ts";
import { connectPatiently } from "../source/preflight-connection.ts";
import { closeSql } from "../source/session.ts";
import { readTypedCatalog, type TableChoice, type TypedCatalog } from "./read-tables.ts";

/** Throws the errors of a connection. */
export async function readCatalog(url: string, choice: TableChoice): Promise<TypedCatalog> {
  const connected = await connectPatiently({ url }, { waitMs: 0 });
  if ("finding" in connected) {
    const { code, what, remedy } = connected.finding;
    throw new AfterimageError(code, what, remedy);
  }
  const { client } = connected;
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    return await readTypedCatalog(client, choice);
  } finally {
    await closeSql(client);
  }
}
